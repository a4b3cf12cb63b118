"""Clean, de-duplicate, split and encode the surnames: data/raw/ -> data/preprocessed/surnames/.

Run by DVC as `python stages/run.py surnames.preprocess RAW OUT`.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from stages.shared.errors import InputError, exit_on_input_error
from stages.shared.params import Params, Seed, read_params
from stages.surnames.alphabet import SYMBOLS, clean_name, encode_name
from stages.surnames.archive import read_names_folder, read_source
from stages.surnames.names import Corpus, Vocabulary, write_corpus, write_vocabulary

FEWEST_NAMES = 3  # one for each split


class SplitParams(Params):
    """Section `preprocess_surnames` of params.yaml."""

    validation_share: float = Field(gt=0, lt=1)  # of each language's names
    test_share: float = Field(gt=0, lt=1)  # of each language's names
    seed: Seed  # of the draw

    @model_validator(mode="after")
    def _leave_some_to_train_on(self) -> "SplitParams":
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share must add up to less than 1")
        return self


def preprocess(
    files: dict[str, bytes], data: str, params: SplitParams
) -> tuple[Corpus, Vocabulary]:
    """Clean, de-duplicate, split and encode the names of all languages.

    Args:
        files: content of each `<Language>.txt`, sorted.
        data: what data they are.
        params: shares and seed of the splits.

    Raises:
        InputError: a file that cannot be used, or fewer than two.
    """
    names = {}
    for file, content in files.items():
        language = file.removesuffix(".txt")
        names[language] = clean_lines(split_lines(content, file))
        if len(names[language]) < FEWEST_NAMES:
            raise InputError(
                f"{file} holds {len(names[language])} distinct name(s) after the clean-up, "
                f"fewer than {FEWEST_NAMES}: add names or remove the file"
            )
    if len(names) < 2:
        raise InputError(
            f"the raw names are of {len(names)} language(s): add files, to have some to tell apart"
        )
    return encode_splits(names, params), Vocabulary(data, SYMBOLS, list(names))


def split_lines(content: bytes, file: str) -> list[str]:
    """Lines of one names file; blanks at the ends of a line stay, as in the walk-through.

    Raises:
        InputError: not UTF-8, or empty.
    """
    try:
        text = content.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 (byte {error.start}): save it as UTF-8") from None
    if not text:
        raise InputError(f"{file} is empty: write one name a line, or remove the file")
    return text.split("\n")


def clean_lines(lines: list[str]) -> list[str]:
    """Distinct names after the clean-up, in order of first appearance."""
    distinct = dict.fromkeys(clean_name(line) for line in lines)
    return [name for name in distinct if name.strip()]


def encode_splits(names: dict[str, list[str]], params: SplitParams) -> Corpus:
    """All names end to end as symbol indices, with length, language and split of each.

    Args:
        names: distinct clean names by language, languages sorted.
        params: shares and seed.
    """
    generator = np.random.default_rng(params.seed)
    every: list[str] = []
    splits = []
    for group in names.values():
        every += group
        splits.append(draw_splits(len(group), params, generator))
    counts = [len(group) for group in names.values()]
    return Corpus(
        letters=np.array(encode_name("".join(every)), dtype=np.uint8),
        lengths=np.array([len(name) for name in every], dtype=np.int64),
        languages=np.repeat(np.arange(len(names)), counts),
        splits=np.concatenate(splits),
    )


def draw_splits(
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


def main(raw: str, out: str) -> None:
    """Write names.npz and vocabulary.json."""
    params = read_params("preprocess_surnames", SplitParams)
    files = read_names_folder(Path(raw))
    corpus, vocabulary = preprocess(files, read_source(Path(raw)), params)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    write_corpus(folder, corpus)
    write_vocabulary(folder, vocabulary)


if __name__ == "__main__":
    with exit_on_input_error():
        main(*sys.argv[1:])
