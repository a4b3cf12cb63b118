"""What the bench measures on: surnames of the workspace, of a zip or of the sample, and series."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.clock import ROOT, run_stage
from stages.shared.params import read_params
from stages.sine.preprocess import WindowParams, pair_series
from stages.sine.signals import SeriesParams, draw_segments
from stages.sine.train import Arrays
from stages.surnames.archive import find_differences, read_archive, read_names_folder
from stages.surnames.names import Names, Vocabulary, read_split, read_vocabulary

REPEATS = 5


@dataclass(frozen=True)
class Bench:
    """What all sections share."""

    surnames: Path  # folder as preprocess_surnames writes it
    scratch: Path  # an empty folder that is thrown away
    archive: Path | None = None  # surname zip
    quick: bool = False

    @property
    def repeats(self) -> int:
        """How often two short programs run in turn."""
        return 1 if self.quick else REPEATS

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Of the surnames."""
        return read_vocabulary(self.surnames)

    @cached_property
    def splits(self) -> dict[str, Names]:
        """The surnames by split."""
        return {s: read_split(self.surnames, s) for s in ("train", "validation", "test")}

    def make_folder(self, name: str) -> Path:
        """Make a folder in the scratch."""
        folder = self.scratch / name
        folder.mkdir(parents=True)
        return folder


def find_surnames(archive: Path | None, scratch: Path) -> Path:
    """The preprocessed surnames of the workspace if they are official, else made in `scratch`.

    Args:
        archive: zip to prepare them from; None: the sample in git.
        scratch: folder to prepare them in.
    """
    held = ROOT / "data/preprocessed/surnames"
    vocabulary = held / "vocabulary.json"
    if vocabulary.exists() and json.loads(vocabulary.read_text("utf-8"))["data"] == "official":
        return held
    names, data = read_names(archive)
    write_raw(scratch / "raw", names, data)
    run_stage("surnames.preprocess", str(scratch / "raw"), str(scratch / "surnames"), folder=ROOT)
    return scratch / "surnames"


def read_names(archive: Path | None) -> tuple[dict[str, bytes], str]:
    """The names files and what data they are: of a zip, else the workspace's, else the sample."""
    if archive:
        names = read_archive(archive.read_bytes(), str(archive))
        return names, "custom" if find_differences(names) else "official"
    held = read_names_folder(ROOT / "data/raw")
    if held and not find_differences(held):
        return held, "official"
    return read_names_folder(ROOT / "data/sample"), "sample"


def write_raw(folder: Path, names: dict[str, bytes], data: str) -> None:
    """Write what download_surnames would leave."""
    folder.mkdir(parents=True)
    for file, content in names.items():
        (folder / file).write_bytes(content)
    (folder / "source.json").write_text(json.dumps({"data": data}) + "\n", encoding="utf-8")


def make_windows(series: str) -> Arrays:
    """A series of params.yaml as preprocess_sine leaves it."""
    segments = draw_segments(read_params(f"generate_sine.{series}", SeriesParams))
    return pair_series(*segments, read_params(f"preprocess_sine.{series}", WindowParams))
