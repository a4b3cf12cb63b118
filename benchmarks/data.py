"""What the bench measures on: surnames of the workspace, of a zip or of the sample, and series."""

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks.clock import ROOT, run_stage
from stages.forecasting.preprocess import cut_series
from stages.forecasting.series import GeneratedSeries
from stages.forecasting.signals import GeneratedParams, draw_segments
from stages.shared.errors import InputError
from stages.shared.intervals import Items
from stages.shared.params import read_params
from stages.surnames.archive import (
    LabelledNames,
    list_names,
    parse_names,
    read_names_folder,
    read_raw,
    write_raw,
)
from stages.surnames.assessment import EvaluateParams, hide_test
from stages.surnames.names import (
    Splits,
    Vocabulary,
    divide_corpus,
    read_splits,
    read_vocabulary,
)
from stages.surnames.preprocess import SplitParams, preprocess

REPEATS = 5


@dataclass(frozen=True)
class Bench:
    """What all sections share."""

    surnames: Path  # folder as preprocess_surnames writes it
    scratch: Path  # an empty folder that is thrown away
    archive: Path | None = None  # surname zip
    quick: bool = False
    search: bool = False  # of m3: recipes are chosen again, on validation

    @property
    def repeats(self) -> int:
        """How often two short programs run in turn."""
        return 1 if self.quick else REPEATS

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Of the surnames."""
        return read_vocabulary(self.surnames)

    @cached_property
    def splits(self) -> Splits:
        """The surnames by split."""
        return read_splits(self.surnames)

    def make_folder(self, name: str) -> Path:
        """Make a folder in the scratch."""
        folder = self.scratch / name
        folder.mkdir(parents=True)
        return folder


@dataclass(frozen=True)
class Division:
    """The surnames as one seed divides them."""

    splits: Splits
    vocabulary: Vocabulary
    test_rows: Items  # of the corpus: a name of a language has the same row in every division


def divide_names(names: LabelledNames, data: str, seed: int) -> Division:
    """Preprocess raw names in memory, divided by a seed; the test is what evaluation is shown.

    Args:
        names: by language.
        data: what data they are.
        seed: in place of preprocess_surnames.seed.
    """
    params = read_params("preprocess_surnames", SplitParams)
    corpus, vocabulary, _ = preprocess(names, data, params.model_copy(update={"seed": seed}))
    evaluation = read_params("evaluate_classifiers", EvaluateParams)
    splits = hide_test(divide_corpus(corpus), evaluation)
    return Division(splits, vocabulary, np.flatnonzero(corpus.splits == evaluation.split))


def find_surnames(archive: Path | None, scratch: Path) -> Path:
    """The preprocessed surnames of the workspace if they are official, else made in `scratch`.

    Args:
        archive: zip to prepare them from; None: the sample in git.
        scratch: folder to prepare them in.
    """
    held = ROOT / "data/preprocessed/surnames"
    if (held / "vocabulary.json").exists() and read_vocabulary(held).data == "official":
        return held
    names, data = read_names(archive)
    raw, prepared = scratch / "raw", scratch / "surnames"
    write_raw(raw, names, data, "benchmark")
    run_stage("surnames.preprocess", str(raw), str(prepared), folder=ROOT)
    return prepared


def read_names(archive: Path | None) -> tuple[LabelledNames, str]:
    """The names and what data they are: of a zip, else the workspace's, else the sample."""
    if archive:
        names, differences = parse_names(archive.read_bytes(), str(archive))
        return names, "custom" if differences else "official"
    with suppress(InputError):  # not there
        names, source = read_raw(ROOT / "data/raw")
        if source.data == "official":
            return names, source.data
    return list_names(read_names_folder(ROOT / "data/sample")), "sample"


def make_series(name: str) -> GeneratedSeries:
    """An entry of generated_series as preprocess_series leaves it."""
    params = read_params(f"generated_series.{name}", GeneratedParams)
    return cut_series(name, params, *draw_segments(params))
