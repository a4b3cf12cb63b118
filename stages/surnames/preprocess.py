"""Clean, de-duplicate, split and encode the surnames: data/raw/ -> data/preprocessed/surnames/.

Run by DVC as `python -m stages.surnames.preprocess RAW OUT`.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from stages.shared.errors import InputError, exit_on_input_error
from stages.shared.json_files import write_json
from stages.shared.params import Params, read_params
from stages.surnames.alphabet import SYMBOLS, clean_name, encode_name

FEWEST_NAMES = 3  # one for each split


class SplitParams(Params):
    """Section `preprocess_surnames` of params.yaml."""

    validation_share: float = Field(gt=0, lt=1)  # of each language's names
    test_share: float = Field(gt=0, lt=1)
    seed: int = Field(ge=0)

    @model_validator(mode="after")
    def _leave_some_to_train_on(self) -> "SplitParams":
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share must add up to less than 1")
        return self


def read_lines(path: Path) -> list[str]:
    """Lines of one names file; blanks at the ends of a line stay, as in the walk-through.

    Raises:
        InputError: not UTF-8, or empty.
    """
    try:
        text = path.read_bytes().decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8") from None
    if not text:
        raise InputError(f"{path} is empty: write one name a line, or remove the file")
    return text.split("\n")


def clean_lines(lines: list[str]) -> list[str]:
    """Distinct names after the clean-up, in order of first appearance."""
    return [name for name in dict.fromkeys(map(clean_name, lines)) if name.strip()]


def split_names(
    num_names: int, params: SplitParams, generator: np.random.Generator
) -> NDArray[np.str_]:
    """Split of each name of one language, `(num_names,)`, at least one name in each."""
    num_validation = max(1, round(params.validation_share * num_names))
    num_test = max(1, round(params.test_share * num_names))
    num_train = num_names - num_validation - num_test
    if num_train < 1:
        raise InputError(
            f"params.yaml: preprocess_surnames: the shares leave none of {num_names} names of a "
            "language to train on: lower them"
        )
    counts = [num_train, num_validation, num_test]
    return generator.permutation(np.repeat(["train", "validation", "test"], counts))


def report_cleaning(
    lines: dict[str, list[str]], names: dict[str, list[str]], data: str
) -> dict[str, Any]:
    """What was dropped and why: characters, duplicates, and names of several languages."""
    every_line = [line for group in lines.values() for line in group]
    seen = Counter(letter for line in every_line for letter in line)
    owners = Counter(name for group in names.values() for name in group)
    return {
        "data": data,
        "lines": len(every_line),
        "pairs": sum(map(len, names.values())),
        "duplicates": len(every_line) - sum(map(len, names.values())),
        "distinct_names": len(owners),
        "ambiguous_names": sorted(name for name, count in owners.items() if count > 1),
        "dropped_characters": {c: n for c, n in sorted(seen.items()) if not clean_name(c)},
        "plain_letters": {c: n for c, n in sorted(seen.items()) if clean_name(c) not in ("", c)},
        "languages": {
            language: {"lines": len(lines[language]), "names": len(names[language])}
            for language in lines
        },
    }


def encode_splits(names: dict[str, list[str]], params: SplitParams) -> dict[str, NDArray[Any]]:
    """All names end to end as symbol indices, with length, language and split of each.

    Args:
        names: distinct clean names by language, languages sorted.
        params: shares and seed.

    Returns:
        `letters (total,)`, `lengths (N,)`, `languages (N,)`, `splits (N,)`.
    """
    generator = np.random.default_rng(params.seed)
    every = [name for group in names.values() for name in group]
    counts = [len(group) for group in names.values()]
    return {
        "letters": np.array(encode_name("".join(every)), dtype=np.uint8),
        "lengths": np.array([len(name) for name in every], dtype=np.int64),
        "languages": np.repeat(np.arange(len(names)), counts),
        "splits": np.concatenate([split_names(n, params, generator) for n in counts]),
    }


def main(raw: str, out: str) -> None:
    """Write names.npz, vocabulary.json and report.json."""
    params = read_params("preprocess_surnames", SplitParams)
    source = json.loads((Path(raw) / "source.json").read_text(encoding="utf-8"))
    lines = {path.stem: read_lines(path) for path in sorted(Path(raw).glob("*.txt"))}
    names = {language: clean_lines(group) for language, group in lines.items()}
    for language, group in names.items():
        if len(group) < FEWEST_NAMES:
            raise InputError(
                f"{raw}/{language}.txt holds {len(group)} distinct name(s) after the clean-up, "
                f"fewer than {FEWEST_NAMES}: add names or remove the file"
            )
    if len(names) < 2:
        raise InputError(f"{raw} holds {len(names)} language(s): there is nothing to tell apart")
    vocabulary = {"data": source["data"], "symbols": SYMBOLS, "languages": list(names)}
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "names.npz", **encode_splits(names, params))
    write_json(folder / "vocabulary.json", vocabulary)
    write_json(folder / "report.json", report_cleaning(lines, names, source["data"]))


if __name__ == "__main__":
    with exit_on_input_error():
        main(*sys.argv[1:])
