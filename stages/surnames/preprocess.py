"""Clean, de-duplicate, split and encode the surnames: data/raw/ -> data/preprocessed/surnames/.

Run by DVC as `python stages/run.py surnames.preprocess RAW OUT`.
"""

import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from stages.shared.command import run_as_command, show
from stages.shared.errors import InputError
from stages.shared.json_files import write_json
from stages.shared.params import Count, Params, Seed, read_params
from stages.surnames.alphabet import (
    SYMBOLS,
    UNKNOWN,
    choose_symbols,
    clean_name,
    count_changes,
    encode_name,
    has_letter,
    normalize_name,
)
from stages.surnames.archive import LabelledNames, read_raw
from stages.surnames.names import Corpus, Report, Vocabulary, write_corpus, write_vocabulary

_SPLITS = ("train", "validation", "test")
_OTHER = "other"  # label of those that are merged
_SHOWN = 20  # names under several labels in the report

_Divided = dict[str, list[str]]  # label -> the split of each of its names


class SplitParams(Params):
    """Section `preprocess_surnames` of params.yaml."""

    validation_share: float = Field(gt=0, lt=1)  # of each language's names
    test_share: float = Field(gt=0, lt=1)  # of each language's names
    seed: Seed  # of the draw
    # auto: official for the official names and the sample, data for all others
    alphabet: Literal["auto", "official", "data"] = "auto"
    least_count: Count = 3  # of a letter in the training names, to be a symbol of alphabet data
    rare: Literal["reject", "drop", "merge"] = "reject"  # labels with fewer than three names

    @model_validator(mode="after")
    def _leave_some_to_train_on(self) -> "SplitParams":
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share must add up to less than 1")
        return self


def preprocess(
    raw: LabelledNames, data: str, params: SplitParams
) -> tuple[Corpus, Vocabulary, Report]:
    """Clean, de-duplicate, split and encode the names of all languages.

    Each split has at least one name of each language. All rows of a name are in one split, except
    in the official data.

    Args:
        raw: the given names.
        data: `official`, `sample`, or any other word for a user's own names.
        params: params of the split, the alphabet and labels with few names.

    Raises:
        InputError: if a language has too few names, or there are fewer than two languages.
    """
    groups: LabelledNames = {}
    for label, group in raw.items():
        groups.setdefault(normalize_name(label), []).extend(group)
    if "language" in groups:
        raise InputError("label 'language' is the name of a column of our tables: rename it")
    alphabet = params.alphabet
    is_own = data not in ("official", "sample")
    if alphabet == "auto":
        alphabet = "data" if is_own else "official"

    symbols = f"{SYMBOLS}{UNKNOWN}" if is_own else SYMBOLS
    if alphabet == "data":
        # from the training names of this split, which is the final one, unless names become equal
        # in the new alphabet
        names, _ = _clean_groups(groups, None, params)
        splits = _divide(names, data, params)
        training = [
            name
            for label in names
            for name, split in zip(names[label], splits[label], strict=True)
            if split == "train"
        ]
        symbols = choose_symbols(training, params.least_count)
    names, rare = _clean_groups(groups, symbols, params)
    splits = _divide(names, data, params)

    every = [name for group in names.values() for name in group]
    corpus = Corpus(
        letters=np.array(
            encode_name("".join(every), symbols),
            dtype=np.uint8 if len(symbols) <= 256 else np.int32,
        ),
        lengths=np.array([len(name) for name in every], dtype=np.int64),
        languages=np.repeat(np.arange(len(names)), [len(group) for group in names.values()]),
        splits=np.array([split for label in names for split in splits[label]]),
    )
    report = _report(raw, names, symbols, alphabet, rare, params)
    return corpus, Vocabulary(data, symbols, list(names)), report


def _clean_groups(
    groups: LabelledNames, symbols: str | None, params: SplitParams
) -> tuple[LabelledNames, dict[str, int]]:
    """Return distinct names with a known letter by label, in order of first appearance.

    Also returns the labels with too few names, dropped or merged, with their number of names.
    Without symbols all letters are known.
    """
    names = {}
    for label, group in groups.items():
        cleaned = (clean_name(name, symbols) if symbols else normalize_name(name) for name in group)
        distinct = dict.fromkeys(cleaned)
        names[label] = [name for name in distinct if has_letter(name)]
    rare = {label: len(group) for label, group in names.items() if len(group) < len(_SPLITS)}
    if rare and params.rare == "reject":
        label = min(rare, key=lambda label: rare[label])
        more = f"; {len(rare) - 1} more labels have too few" if len(rare) > 1 else ""
        if symbols:
            changes = count_changes(groups[label], symbols)
            lost = [*(changes["unknown"] | changes["dropped"])]
            more += f"; its alphabet has no {' '.join(lost[:_SHOWN])}" if lost else ""
        raise InputError(
            f"label {label!r} has {rare[label]} distinct name(s) after the clean-up, fewer than "
            f"{len(_SPLITS)}{more}: add names, or set preprocess_surnames.rare: drop or merge in "
            "params.yaml"
        )
    merged: dict[str, None] = {}
    for label in rare:
        merged |= dict.fromkeys(names.pop(label))
    if rare and params.rare == "merge":
        merged = dict.fromkeys(names.get(_OTHER, [])) | merged
        if len(merged) >= len(_SPLITS):
            names = dict(sorted({**names, _OTHER: [*merged]}.items()))
    if len(names) < 2:
        raise InputError(f"the names are of {len(names)} label(s): add some to tell apart")
    return names, rare


def _divide(names: LabelledNames, data: str, params: SplitParams) -> _Divided:
    """Draw the split of each name of each label.

    A name under several labels gets the split of the label with the fewest names.
    """
    generator = np.random.default_rng(params.seed)
    order = [*names] if data == "official" else sorted(names, key=lambda label: len(names[label]))
    drawn: dict[str, str] = {}
    splits: _Divided = {}
    for label in order:
        if data == "official":  # split before names under several labels were kept together
            drawn = {}
        count = len(names[label])
        num_validation = max(1, round(params.validation_share * count))
        num_test = max(1, round(params.test_share * count))
        if count - num_validation - num_test < 1:
            raise InputError(
                f"params.yaml: preprocess_surnames: the shares leave none of {count} names of "
                f"label {label!r} to train on: lower them"
            )
        free = [name for name in names[label] if name not in drawn]
        counts = Counter(drawn[name] for name in names[label] if name in drawn)
        num_validation = min(max(num_validation - counts["validation"], 0), len(free))
        num_test = min(max(num_test - counts["test"], 0), len(free) - num_validation)
        sizes = [len(free) - num_validation - num_test, num_validation, num_test]
        draws = generator.permutation(np.repeat(_SPLITS, sizes)).tolist()
        drawn.update(zip(free, draws, strict=True))
        splits[label] = [drawn[name] for name in names[label]]
        for split in _SPLITS:
            if split not in splits[label]:
                raise InputError(
                    f"label {label!r} has {len(free)} of {count} names for itself, which leaves "
                    f"none for {split}: add names, or give shared ones one label"
                )
    return splits


def _report(
    raw: LabelledNames,
    names: LabelledNames,
    symbols: str,
    alphabet: str,
    rare: dict[str, int],
    params: SplitParams,
) -> Report:
    """Report the changes of the raw names, and problems of their labels."""
    labels_of: dict[str, list[str]] = {}
    for label, group in names.items():
        for name in group:
            labels_of.setdefault(name, []).append(label)
    shared = {name: labels for name, labels in labels_of.items() if len(labels) > 1}
    labels = dict.fromkeys(map(normalize_name, raw))
    similar: dict[str, list[str]] = {}
    for label in labels:
        similar.setdefault(label.casefold(), []).append(label)
    no_letter: Counter[str] = Counter()
    num_rows = num_kept = 0
    for label, group in raw.items():
        num_rows += len(group)
        kept = sum(has_letter(clean_name(name, symbols)) for name in group)
        if kept < len(group):
            no_letter[normalize_name(label)] += len(group) - kept
        if normalize_name(label) not in rare or params.rare == "merge":
            num_kept += kept
    num_names = sum(map(len, names.values()))
    return Report(
        alphabet=alphabet,
        num_symbols=len(symbols),
        num_rows=num_rows,
        num_names=num_names,
        num_duplicates=num_kept - num_names,
        **count_changes((name for group in raw.values() for name in group), symbols),
        no_letter=dict(no_letter),
        num_shared=len(shared),
        shared=dict([*shared.items()][:_SHOWN]),
        blanks={
            label: len(group) for label, group in raw.items() if label != normalize_name(label)
        },
        similar=[group for group in similar.values() if len(group) > 1],
        rare=rare,
        merged_into=_OTHER if rare and params.rare == "merge" and _OTHER in names else None,
    )


def main(raw: str, out: str) -> None:
    """Write names.npz, vocabulary.json and report.json, and print the report."""
    params = read_params("preprocess_surnames", SplitParams)
    names, source = read_raw(Path(raw))
    corpus, vocabulary, report = preprocess(names, source.data, params)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    write_corpus(folder, corpus)
    write_vocabulary(folder, vocabulary)
    write_json(folder / "report.json", asdict(report))
    lines = report.list_lines()
    if source.data not in ("official", "sample"):  # `make repro` shows what warns
        lines[1:] = [f"WARNING: {line}" for line in lines[1:]]
    show("\n".join(lines))


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
