"""Section `commands`: what a person waits for who types `srn predict` or `srn forecast`.

Each command runs in turn with a process that only imports the packages it cannot do without.
"""

import csv
import sys
from itertools import cycle, islice
from statistics import median

from benchmarks.clock import ROOT, Usage, run_measured
from benchmarks.data import Bench, read_names
from benchmarks.scaling import tabulate_growth
from benchmarks.table import Goal, Row, at_most, format_seconds

REPEATS = 7
SRN = [sys.executable, "stages/run.py", "cli"]
NAMES = [20_000, 200_000, 2_000_000]  # of a file
MOST_MEBIBYTES = 400  # however many names a file has
MOST_SECONDS = 0.8  # of an answer for which no network is computed
TORCH = "import torch"
PLOTS = "import pandas, matplotlib.pyplot"


def measure(bench: Bench) -> list[Row]:
    """One row per command."""
    repeats = 1 if bench.quick else REPEATS
    rows = []
    for options in ("", "--model surname_ngrams ", "--model surname_markov "):
        command = f"predict {options}Schmidt"
        ours, imports = run_in_turn(command.split(), TORCH, repeats)
        if options:
            goals = [at_most("seconds", median(usage.seconds for usage in ours), MOST_SECONDS)]
        else:
            goals = [at_most("ratio", median(list_ratios(ours, imports)), 1.4)]
            goals.append(at_most("ratio of memory", compare_memory(ours, imports), 1.2))
        rows.append(tabulate(command, ours, TORCH, imports, goals))
    command = "forecast --model sunspots_baseline"
    out = bench.make_folder("forecast") / "out.csv"
    ours, imports = run_in_turn([*command.split(), "--out", str(out)], PLOTS, repeats)
    goals = [at_most("ratio", median(list_ratios(ours, imports)), 1.5)]
    rows.append(tabulate(command, ours, PLOTS, imports, goals))
    rows.append(measure_file(bench))
    return rows


def run_in_turn(
    arguments: list[str], imports: str, repeats: int
) -> tuple[list[Usage], list[Usage]]:
    """Run a command of srn and a process that only imports, A B A B."""
    ours, reference = [], []
    for _ in range(repeats):
        ours.append(run_measured([*SRN, *arguments], ROOT))
        reference.append(run_measured([sys.executable, "-c", imports], ROOT))
    return ours, reference


def list_ratios(ours: list[Usage], imports: list[Usage]) -> list[float]:
    """Our seconds as parts of those of the imports."""
    return [one.seconds / other.seconds for one, other in zip(ours, imports, strict=True)]


def compare_memory(ours: list[Usage], imports: list[Usage]) -> float:
    """Our peak memory as part of that of the imports."""
    return median(of.mebibytes for of in ours) / median(of.mebibytes for of in imports)


def tabulate(
    command: str, ours: list[Usage], code: str, imports: list[Usage], goals: list[Goal]
) -> Row:
    """The medians of a command and of the imports."""
    seconds, memory = [], []
    for usages in (ours, imports):
        seconds.append(format_seconds(median(usage.seconds for usage in usages)))
        memory.append(f"{median(usage.mebibytes for usage in usages):.0f} MiB")
    return Row(
        f"`srn {command}`",
        f"{seconds[0]}, {memory[0]}",
        f"{seconds[1]}, {memory[1]} (`{code}`)",
        list_ratios(ours, imports),
        goals=goals,
    )


def measure_file(bench: Bench) -> Row:
    """Time and memory of the champion for files of more and more names."""
    names, _ = read_names(bench.archive)
    supply = cycle(name for group in names.values() for name in group)
    folder = bench.make_folder("files")
    usages = {}
    for count in NAMES[:2] if bench.quick else NAMES:
        path = folder / f"{count}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([["name"], *([name] for name in islice(supply, count))])
        usages[count] = run_measured([*SRN, "predict", "--file", str(path)], ROOT)
    return tabulate_growth("`srn predict --file`, names", usages, "names", MOST_MEBIBYTES)
