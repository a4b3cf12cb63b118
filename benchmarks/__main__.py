"""Measure speed and quality against the literal programs: `python -m benchmarks`.

`make bench` runs every section and writes benchmarks/results.md; with names of sections or
`--quick` the page is only printed.
"""

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import torch

from benchmarks import (
    cluster,
    commands,
    forecasting,
    intervals,
    m3,
    pipeline,
    real_series,
    scaling,
    serving,
    spread,
    surnames,
    updates,
)
from benchmarks.clock import ROOT
from benchmarks.data import Bench, find_surnames
from benchmarks.table import Measured, render_sections
from stages.shared.command import run_as_command
from stages.shared.reproducible import describe_processor, make_reproducible

SECTIONS: dict[str, tuple[str, Callable[[Bench], Measured]]] = {
    "updates": ("Same updates", updates.measure),
    "surnames": ("Time to quality: surnames", surnames.measure),
    "forecasting": ("Time to quality: forecasting", forecasting.measure),
    "intervals": ("Coverage of 95 % intervals", intervals.measure),
    "real": ("Real series", real_series.measure),
    "m3": ("The M3 competition", m3.measure),
    "scaling": ("Growth with the data", scaling.measure),
    "pipeline": ("Pipeline", pipeline.measure),
    "commands": ("Commands", commands.measure),
    "serve": ("Served models", serving.measure),
    "cluster": ("Many trainings", cluster.measure),
    "spread": ("Seeds and splits", spread.measure),
}
PAGE = """\
# Benchmarks

Written by `make bench`.

{machine}

{surnames}

How this is measured, and where the recipes come from, is in [README.md](README.md). The time of the
published surname program is that of its 200,000 literal updates, timed in blocks between the runs
that are compared with it. Scores are those of scores.json.

{sections}
"""


def measure_sections(
    names: list[str], archive: Path | None, quick: bool, search: bool = False
) -> str:
    """Measure, and give the page."""
    make_reproducible()
    with tempfile.TemporaryDirectory() as scratch:
        folder = find_surnames(archive, Path(scratch))
        bench = Bench(folder, Path(scratch), archive, quick, search)
        measured: dict[str, Measured] = {}
        for name in names:
            title, measure = SECTIONS[name]
            print(f"{title} …", file=sys.stderr)
            with redirect_stdout(sys.stderr):  # what training prints is no part of the page
                measured[title] = measure(bench)
        return render_page(bench, measured)


def render_page(bench: Bench, measured: dict[str, Measured]) -> str:
    """The whole page."""
    return PAGE.format(
        machine=describe_machine(),
        surnames=describe_surnames(bench),
        sections=render_sections(measured),
    )


def describe_machine() -> str:
    """Processor, cores and versions, without a name of the machine."""
    python = platform.python_version()
    versions = f"Python {python}, PyTorch {torch.__version__}, {platform.system()}"
    return f"Machine: {describe_processor()}, {os.cpu_count()} cores. {versions}."


def describe_surnames(bench: Bench) -> str:
    """Which surnames were measured on."""
    splits, data = bench.splits, bench.vocabulary.data
    train, validation, test = splits.train, splits.validation, splits.test
    counts = (
        f"{len(train.lengths):,} train, {len(validation.lengths):,} validation, "
        f"{len(test.lengths):,} test"
    )
    if data == "official":
        return f"Surnames: official data ({counts})."
    return (
        f"Surnames: {data} data ({counts}), **to which the targets do not "
        "apply**. Give the official zip by `--surnames-zip` or SURNAMES_ZIP."
    )


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure against the literal programs."
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--quick", action="store_true", help="less of everything, in minutes")
    parser.add_argument(
        "--search", action="store_true", help="m3: try recipes on validation in place of the test"
    )
    parser.add_argument(
        "--surnames-zip",
        type=Path,
        default=os.environ.get("SURNAMES_ZIP"),
        help="official data, if the workspace has none (default: $SURNAMES_ZIP)",
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.sections) - SECTIONS.keys():
        parser.error(f"no section {', '.join(sorted(unknown))}: choose from {', '.join(SECTIONS)}")
    if arguments.search and arguments.sections != ["m3"]:
        parser.error("--search is of the section m3 alone: name that")
    archive = arguments.surnames_zip
    if archive and not archive.is_file():
        parser.error(f"there is no {archive}: name the surname zip, or leave it out for the sample")
    return arguments


def main() -> None:
    """Print the page, and write it if everything was measured."""
    arguments = parse_arguments()
    names = arguments.sections or list(SECTIONS)
    page = measure_sections(names, arguments.surnames_zip, arguments.quick, arguments.search)
    print(page)
    if names == list(SECTIONS) and not arguments.quick:
        (ROOT / "benchmarks/results.md").write_text(page, encoding="utf-8")
        print("written to benchmarks/results.md", file=sys.stderr)


if __name__ == "__main__":
    run_as_command(main)
