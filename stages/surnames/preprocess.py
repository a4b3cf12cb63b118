"""Clean, de-duplicate, split and encode the surnames: data/raw/ -> data/preprocessed/surnames/.

Run by DVC as `python stages/run.py surnames.preprocess RAW OUT`.
"""

import sys
from pathlib import Path

import numpy as np
from pydantic import Field, model_validator

from stages.shared.command import run_as_command
from stages.shared.errors import InputError
from stages.shared.params import Params, Seed, read_params
from stages.surnames.alphabet import SYMBOLS, clean_name, encode_name
from stages.surnames.archive import LabelledNames, read_raw
from stages.surnames.names import Corpus, Vocabulary, write_corpus, write_vocabulary


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


def preprocess(raw: LabelledNames, data: str, params: SplitParams) -> tuple[Corpus, Vocabulary]:
    """Clean, de-duplicate, split and encode the names of all languages.

    At least one name of each language is in each split.

    Raises:
        InputError: a language has too few names, or there are fewer than two languages.
    """
    names: dict[str, list[str]] = {}
    for language, group in raw.items():
        names[language] = clean_names(group)
        if len(names[language]) < 3:  # one for each split
            raise InputError(
                f"{language} has {len(names[language])} distinct name(s) after the clean-up, "
                "fewer than 3: add names or leave that language out"
            )
    if len(names) < 2:
        raise InputError(f"the raw names are of {len(names)} language(s): add some to tell apart")

    generator = np.random.default_rng(params.seed)
    counts = [len(group) for group in names.values()]
    splits = []
    for count in counts:
        num_validation = max(1, round(params.validation_share * count))
        num_test = max(1, round(params.test_share * count))
        num_train = count - num_validation - num_test
        if num_train < 1:
            raise InputError(
                f"params.yaml: preprocess_surnames: the shares leave none of {count} names of a "
                "language to train on: lower them"
            )
        sizes = [num_train, num_validation, num_test]
        splits.append(generator.permutation(np.repeat(["train", "validation", "test"], sizes)))

    every = [name for group in names.values() for name in group]
    corpus = Corpus(
        letters=np.array(encode_name("".join(every)), dtype=np.uint8),
        lengths=np.array([len(name) for name in every], dtype=np.int64),
        languages=np.repeat(np.arange(len(names)), counts),
        splits=np.concatenate(splits),
    )
    return corpus, Vocabulary(data, SYMBOLS, list(names))


def clean_names(names: list[str]) -> list[str]:
    """Distinct names after the clean-up, in order of first appearance."""
    distinct = dict.fromkeys(clean_name(name) for name in names)
    return [name for name in distinct if name.strip()]


def main(raw: str, out: str) -> None:
    """Write names.npz and vocabulary.json."""
    params = read_params("preprocess_surnames", SplitParams)
    names, source = read_raw(Path(raw))
    corpus, vocabulary = preprocess(names, source.data, params)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    write_corpus(folder, corpus)
    write_vocabulary(folder, vocabulary)


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
