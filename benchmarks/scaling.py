"""Section `scaling`: what ten and a hundred times the data cost, stage by stage.

Stages run as processes of their own, so that their peak memory is seen. Times are CPU seconds,
which other work on the machine disturbs least. Start-up is part of them: it flattens the growth of
the small ones, so the last step, the largest, is judged.
"""

from itertools import product
from pathlib import Path
from string import ascii_uppercase

from benchmarks.clock import ROOT, Usage, run_stage
from benchmarks.data import Bench, read_names
from benchmarks.table import Row, at_most, format_seconds
from stages.shared.yaml_files import format_yaml, parse_yaml
from stages.surnames.archive import LabelledNames, write_raw

TIMES = [1, 10, 100]  # the surnames
POINTS = [1_000, 10_000, 100_000, 1_000_000]  # of a series
SHOPS = [100, 1_000, 10_000]  # of a panel
MOST_GROWTH = 1.1  # of the time, beside the growth of the data: linear and some noise
MOST_MEBIBYTES = 2048
MODEL = "surname_fast"
SERIES = {"step": 1.0, "starts": {"count": 1, "apart": 0.0}, "period": 40.0, "noise": 0.1}
SERIES |= {"window": 40, "test_points": 40}
FORECASTER = {
    "series": "long",
    "architecture": "window_forecaster",
    "network": {"cell": "lstm", "hidden": 50, "window": 40},
    "order": "random",
    "batch": 40,
    "iterations": 100,
    "optimizer": "adam",
    "rate": 0.02,
    "clip_norm": None,
    "seed": 0,
}

Usages = dict[str, Usage]  # stage -> what it took


def measure(bench: Bench) -> list[Row]:
    """One row per stage, for surnames and for series."""
    times = TIMES[:2] if bench.quick else TIMES
    points = POINTS[:2] if bench.quick else POINTS
    names, data = read_names(bench.archive)
    num_names = sum(len(group) for group in names.values())
    by_names: dict[int, Usages] = {}
    for factor in times:
        by_names[factor * num_names] = run_surnames(names, data, factor, bench)
    by_points: dict[int, Usages] = {}
    for count in points:
        by_points[count] = run_series(count, bench)
    by_shops: dict[int, Usages] = {}
    for count in SHOPS[:2] if bench.quick else SHOPS:
        by_shops[count] = run_panel(count, bench)
    return [
        *tabulate_stages(by_names, "names"),
        *tabulate_stages(by_points, "points"),
        *tabulate_stages(by_shops, "series"),
    ]


def multiply_names(names: list[str], times: int) -> list[str]:
    """Each name and `times - 1` variants of it, all distinct if the names are.

    A variant ends in two capitals, which no surname does.
    """
    multiplied = list(names)
    for first, second in list(product(ascii_uppercase, repeat=2))[: times - 1]:
        for name in names:
            multiplied.append(name + first + second)
    return multiplied


def run_surnames(names: LabelledNames, data: str, times: int, bench: Bench) -> Usages:
    """Preprocess, train (a fixed number of updates) and score on multiplied surnames."""
    folder = bench.make_folder(f"names-{times}")
    write_surname_params(folder / "params.yaml")
    multiplied = {label: multiply_names(group, times) for label, group in names.items()}
    write_raw(folder / "raw", multiplied, data if times == 1 else "custom", "benchmark")
    preprocess = run_stage("surnames.preprocess", "raw", "names", folder=folder)
    run_stage("surnames.score_baselines", "names", "baselines", folder=folder)
    return {
        "preprocess_surnames": preprocess,
        "train_classifier": run_stage("surnames.train", MODEL, "names", "trained", folder=folder),
        "evaluate_classifiers": run_stage(
            "surnames.evaluate",
            "trained",
            "names",
            "baselines",
            "metrics.json",
            "evaluated",
            folder=folder,
        ),
    }


def write_surname_params(path: Path) -> None:
    """The pipeline's own, but for the SVMs: two dozen of them are fitted, which takes hours."""
    params = parse_yaml((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["surname_baselines"]["names"] = ["majority"]
    path.write_text(format_yaml(params), encoding="utf-8")


def run_series(points: int, bench: Bench) -> Usages:
    """Generate, preprocess, train (a fixed number of updates) and score on a long series."""
    folder = bench.make_folder(f"points-{points}")
    write_series_params(folder / "params.yaml", points)
    table, windows = "generated/long.csv", "windows/long.npz"
    return {
        "generate_series": run_stage("forecasting.generate", "long", table, folder=folder),
        "preprocess_series": run_stage(
            "forecasting.preprocess", "generated_series.long", table, windows, folder=folder
        ),
        "train_forecaster": run_stage(
            "forecasting.train", "scaled", windows, "trained", folder=folder
        ),
        **score_forecaster("scaled", windows, folder),
    }


def score_forecaster(model: str, windows: str, folder: Path) -> Usages:
    """Score the baselines, then a trained forecaster beside them."""
    best = ("best", "baselines", "best.json", "best_details")
    evaluated = ("metrics.json", "evaluated")
    return {
        "score_baselines": run_stage("forecasting.score_baselines", windows, *best, folder=folder),
        "evaluate_forecaster": run_stage(
            "forecasting.evaluate",
            model,
            "trained",
            windows,
            "baselines",
            *evaluated,
            folder=folder,
        ),
    }


def run_panel(shops: int, bench: Bench) -> Usages:
    """Generate, preprocess, train (a fixed number of updates) and score on many series.

    Theta and ETS are left out: each is fitted to each series, in some 0.1 s.
    """
    folder = bench.make_folder(f"shops-{shops}")
    params = parse_yaml((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["generated_panels"]["shop_sales"]["shops"] = shops
    params["forecasting_baselines"]["panel_names"] = ["copy_period", "naive2"]
    (folder / "params.yaml").write_text(format_yaml(params), encoding="utf-8")
    table, windows, model = "generated/shop_sales.csv", "windows/shop_sales.npz", "shop_sales_gru"
    return {
        "generate_panel": run_stage(
            "forecasting.generate_panel", "shop_sales", table, folder=folder
        ),
        "preprocess_panel": run_stage(
            "forecasting.preprocess", "observed_series.shop_sales", table, windows, folder=folder
        ),
        "train_global": run_stage("forecasting.train", model, windows, "trained", folder=folder),
        **score_forecaster(model, windows, folder),
    }


def write_series_params(path: Path, points: int) -> None:
    """One series of that length and one model."""
    params = parse_yaml((ROOT / "params.yaml").read_text(encoding="utf-8"))
    # closed-loop forecasts cost the same whatever the series, so short ones will do
    tests = {"long": "recursive"}
    short = {"horizons": [49], "validation_horizons": [49], "walkthrough_tests": tests}
    content = {
        "generated_series": {"long": SERIES | {"points": points}},
        "forecasters": {"scaled": FORECASTER},
        "forecasting_baselines": params["forecasting_baselines"],
        "evaluate_forecasters": params["evaluate_forecasters"] | short,
    }
    path.write_text(format_yaml(content), encoding="utf-8")


def tabulate_stages(runs: dict[int, Usages], unit: str) -> list[Row]:
    """One row per stage, of runs by the size of their data."""
    rows = []
    for stage in next(iter(runs.values())):
        usages = {size: run[stage] for size, run in runs.items()}
        rows.append(tabulate_growth(f"{stage}, {unit}", usages, unit))
    return rows


def tabulate_growth(
    what: str, usages: dict[int, Usage], unit: str, most_mebibytes: int = MOST_MEBIBYTES
) -> Row:
    """Seconds and MiB by size, and the growth of the time in the last step."""
    steps = []
    for size, usage in usages.items():
        steps.append(f"{size:,}: {format_seconds(usage.cpu_seconds)}, {usage.mebibytes:.0f} MiB")
    sizes = list(usages)
    first, before, last = usages[sizes[0]], usages[sizes[-2]], usages[sizes[-1]]
    growth = (last.cpu_seconds / before.cpu_seconds) / (sizes[-1] / sizes[-2])
    each = (last.cpu_seconds - first.cpu_seconds) / (sizes[-1] - sizes[0])
    return Row(
        what,
        "; ".join(steps),
        quality=f"{max(each * 1e6, 0):.3g} CPU s per million {unit}",
        goals=[
            at_most("growth of time by growth of data", growth, MOST_GROWTH),
            at_most("peak MiB", last.mebibytes, most_mebibytes),
        ],
    )
