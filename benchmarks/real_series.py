"""Section `real`: forecasts of well-known series, beside those of statsforecast.

Every series is split as an observed series of the project is. All models forecast from the same
rolling origins of the test, and are compared by MASE over the horizon.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import numpy as np
from torch import nn

from benchmarks.clock import ROOT
from benchmarks.data import Bench
from benchmarks.table import Row, at_least, at_most
from stages.forecasting.assessment import ForecastingEvaluationParams, assess, draw_backtests
from stages.forecasting.forecasters import find_shortest_history, wrap_model
from stages.forecasting.observed import CsvSeries, ObservedParams
from stages.forecasting.preprocess import slide_windows, split_series
from stages.forecasting.score_baselines import (
    ForecastingBaselineParams,
    fit_baseline,
    score_baselines,
)
from stages.forecasting.series import Array, Backtest, ObservedSeries
from stages.forecasting.train import FORECASTER, train
from stages.forecasting.transform import TransformParams
from stages.models.mean_forecaster import MeanForecaster
from stages.shared.errors import InputError
from stages.shared.params import read_params

LIBRARIES = ROOT / ".benchmarks/libraries"  # environment that is made once
REQUIREMENTS = ROOT / "benchmarks/libraries.txt"
SCRIPT = ROOT / "benchmarks/library_forecasts.py"
AUTOREGRESSION = "AR(p)"
GOALS = {  # largest geometric mean of the ratios of MASE
    "AutoETS": 0.95,
    "AutoTheta": 0.95,
    "AutoARIMA": 1.03,
}
WORST = 1.3  # times the MASE of AR(p)
RECIPES = ("sunspots_rnn", "sunspots_lstm", "sunspots_direct", "sunspots_echo_state")


@dataclass(frozen=True)
class Entry:
    """How a series is split and forecast."""

    season: int  # samples; 1: none
    window: int
    horizon: int
    test_share: float = 0.2


ENTRIES = {
    "airline": Entry(12, 24, 12, 0.34),
    "lynx": Entry(10, 20, 5),
    "gdp": Entry(1, 12, 8),
    "unemployment": Entry(1, 12, 8),
    "inflation": Entry(1, 12, 4),
    "co2": Entry(12, 24, 12),
    "nile": Entry(1, 10, 5, 0.25),
    "sunspots": Entry(11, 40, 11, 0.25),
    "elnino": Entry(12, 24, 12),
    "wineind": Entry(12, 24, 12, 0.28),
    "woolyrnq": Entry(4, 12, 4),
    "ausbeer": Entry(4, 12, 8),
    "austres": Entry(4, 8, 4, 0.22),
    "heartrate": Entry(1, 15, 5),
}
QUICK = ("lynx", "nile")


def measure(bench: Bench) -> list[Row]:
    """One row per series, then the means and the worst."""
    python = make_environment()
    samples = read_statsmodels() | read_pmdarima(python, bench.scratch)
    series = {
        name: make_series(name, samples[name], ENTRIES[name])
        for name in (QUICK if bench.quick else ENTRIES)
    }
    theirs = forecast_with_libraries(python, series, bench.scratch)
    rows, ratios, coverage = [], [], []
    for name, one in series.items():
        test = draw_test(one)
        champion, forecasts, share = forecast_with_champion(one)
        coverage.append(share)
        own = measure_mase(forecasts, test)
        errors = {AUTOREGRESSION: measure_mase(forecast_with_autoregression(one), test)}
        errors |= {method: measure_mase(of, test) for method, of in theirs[name].items()}
        ratios.append({method: own / error for method, error in errors.items()})
        rows.append(tabulate_series(name, one, champion, own, errors))
    return rows + summarise(ratios) + [summarise_intervals(coverage)]


def make_environment() -> Path:
    """The Python of an environment with the other libraries; made anew if libraries.txt changed."""
    python = LIBRARIES / "bin/python"
    stamp = LIBRARIES / "installed"  # written last
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != digest:
        subprocess.run([sys.executable, "-m", "venv", "--clear", LIBRARIES], check=True)
        install = ["-m", "pip", "install", "--quiet", "-r", str(REQUIREMENTS)]
        subprocess.run([python, *install], check=True, stdout=sys.stderr)
        stamp.write_text(digest, encoding="utf-8")
    return python


def read_statsmodels() -> dict[str, Array]:
    """The series that statsmodels holds, oldest sample first."""
    from statsmodels import datasets

    macro = datasets.macrodata.load_pandas().data
    co2 = datasets.co2.load_pandas().data["co2"].resample("MS").mean().interpolate()
    elnino = datasets.elnino.load_pandas().data.iloc[:, 1:]  # one row per year
    return {
        "gdp": macro["realgdp"].to_numpy(float),
        "unemployment": macro["unemp"].to_numpy(float),
        "inflation": macro["infl"].to_numpy(float),
        "co2": co2.to_numpy(float),
        "nile": datasets.nile.load_pandas().data["volume"].to_numpy(float),
        "sunspots": datasets.sunspots.load_pandas().data["SUNACTIVITY"].to_numpy(float),
        "elnino": elnino.to_numpy(float).ravel(),
    }


def read_pmdarima(python: Path, scratch: Path) -> dict[str, Array]:
    """The series that pmdarima holds, oldest sample first."""
    out = scratch / "pmdarima.json"
    run_script(python, "datasets", out)
    samples = {name: np.array(of) for name, of in read_json(out).items()}
    samples["airline"] = samples.pop("airpassengers")
    samples["ausbeer"] = samples["ausbeer"][:-1]  # the last one is missing
    return samples


def run_script(python: Path, *arguments: str | Path) -> None:
    """Run the script of the other libraries, which sees no package of this environment."""
    subprocess.run([python, "-I", SCRIPT, *arguments], check=True, stdout=sys.stderr)


def read_json(path: Path) -> dict[str, Any]:
    """Read what the script of the other libraries wrote."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def make_series(name: str, samples: Array, entry: Entry) -> ObservedSeries:
    """A series as preprocess_observed splits it.

    Raises:
        InputError: if a sample is missing, or there are too few.
    """
    missing = np.flatnonzero(~np.isfinite(samples))
    if len(missing):
        raise InputError(
            f"{name} has no number at {missing.tolist()} of {len(samples)} samples: leave them out "
            "in benchmarks/real_series.py, or fill them in"
        )
    params = ObservedParams(
        path=f"data/series/{name}.csv",  # there is none: errors name it
        column=name,
        test_share=entry.test_share,
        window=entry.window,
        horizons=[entry.horizon],
        season=entry.season,
    )
    return split_series(name, params, CsvSeries(samples, np.arange(len(samples), dtype=float)))


def read_evaluation(series: ObservedSeries) -> ForecastingEvaluationParams:
    """How the series is scored, on its test."""
    params = read_params("evaluate_forecasters", ForecastingEvaluationParams)
    return params.model_copy(update={"split": "test"}).adapt(series)


def draw_test(series: ObservedSeries) -> Backtest:
    """The rolling origins of the test."""
    params = read_evaluation(series)
    return series.backtest(
        "test",
        context=params.context,
        horizon=max(params.horizons),
        phases=params.phases,
        seed=params.seed,
    )


def forecast_with_champion(series: ObservedSeries) -> tuple[str, Array, float]:
    """Forecasts of the test by the best forecaster on validation, fitted again before the test.

    The candidates are all baselines, the networks that `sunspots` has, on this series, and the mean
    of the best network and the best baseline.

    Returns:
        The champion's name, forecasts `(B, n)`, and the coverage of its 80 % prediction
        intervals on the test, fitted to the training part alone.
    """
    evaluation = read_evaluation(series)
    baselines = score_baselines(series, read_baselines(), evaluation)
    score = f"mase_{evaluation.horizons[-1]}"
    backtests = draw_backtests(series, evaluation)
    networks, errors = {}, {}
    for name in RECIPES:
        networks[name] = train_recipe(name, series)
        assessment = assess(wrap_model(networks[name]), backtests, evaluation)
        errors[name] = assessment.scores["validation"][score]
    best = min(errors, key=lambda name: errors[name])
    candidates: dict[str, nn.Module] = {
        baselines.best: baselines.model,
        best: networks[best],
        f"{best} and {baselines.best}": MeanForecaster([networks[best], baselines.model]),
    }
    assessed = {}
    for name, model in candidates.items():
        whole = find_shortest_history(model) > 0
        assessed[name] = assess(wrap_model(model), backtests, evaluation, whole_history=whole)
    champion = min(assessed, key=lambda name: assessed[name].scores["validation"][score])

    longer = join_validation(series)
    again: dict[str, Callable[[], nn.Module]] = {
        best: lambda: train_recipe(best, longer),
        baselines.best: lambda: fit_baseline(
            baselines.best, longer, baselines.scores[baselines.best]
        ),
    }
    members = [make() for name, make in again.items() if name in champion.split(" and ")]
    model = members[0] if len(members) == 1 else MeanForecaster(members)
    coverage = float(assessed[champion].prediction_intervals[80].coverage.mean())
    return champion, forecast_with(model, series), coverage


def forecast_with_autoregression(series: ObservedSeries) -> Array:
    """Forecasts `(B, n)` of the test by AR(p), p chosen on validation, fitted again before it."""
    alone = read_baselines().model_copy(update={"names": ["ar_best"], "observed_names": []})
    scores = score_baselines(series, alone, read_evaluation(series)).scores["ar_best"]
    return forecast_with(fit_baseline("ar_best", join_validation(series), scores), series)


def read_baselines() -> ForecastingBaselineParams:
    """The params of the baselines."""
    return read_params("forecasting_baselines", ForecastingBaselineParams)


def train_recipe(name: str, series: ObservedSeries) -> nn.Module:
    """A network by the recipe of an entry of `forecasters`, on this series."""
    model: nn.Module = train(read_params(f"forecasters.{name}", FORECASTER), series, name).model
    return model.eval()


def join_validation(series: ObservedSeries) -> ObservedSeries:
    """The series with training up to the test, transformed as before."""
    transform = series.transform
    return slide_windows(
        series.name,
        series.entry,
        CsvSeries(series.samples, series.sample_times),
        series.find_origin("test"),
        0,
        TransformParams(log=transform.log, difference=transform.differences),
    )


def forecast_with(model: nn.Module, series: ObservedSeries) -> Array:
    """Forecasts `(B, n)` of the test by a model; a network sees no more than its window."""
    test = draw_test(series)
    given = test.histories if find_shortest_history(model) else test.contexts
    return wrap_model(model)(given, test.targets.shape[1])


def forecast_with_libraries(
    python: Path, series: dict[str, ObservedSeries], scratch: Path
) -> dict[str, dict[str, Array]]:
    """Forecasts `(B, n)` of the tests, by series and method."""
    given, out = scratch / "series.json", scratch / "forecasts.json"
    content = {}
    for name, one in series.items():
        num_origins, horizon = draw_test(one).targets.shape
        content[name] = {
            "samples": one.samples.tolist(),
            "season": one.season,
            "horizon": horizon,
            "first": one.find_origin("test"),
            "num_origins": num_origins,
        }
    given.write_text(json.dumps(content), encoding="utf-8")
    run_script(python, "forecast", given, out)
    forecasts = read_json(out)
    return {
        name: {method: np.array(of) for method, of in forecasts[name].items()} for name in series
    }


def measure_mase(forecasts: Array, test: Backtest) -> float:
    """Mean absolute scaled error of forecasts `(B, n)` over all origins and steps.

    Raises:
        InputError: if a forecast is missing or not finite.
    """
    if forecasts.shape != test.targets.shape or not np.isfinite(forecasts).all():
        raise InputError(
            f"forecasts of shape {forecasts.shape} have to be {test.targets.shape} finite numbers: "
            "check what benchmarks/library_forecasts.py wrote"
        )
    return float(test.measure_steps(forecasts)["mase"].mean())


def tabulate_series(
    name: str, series: ObservedSeries, champion: str, own: float, errors: dict[str, float]
) -> Row:
    """The errors of one series, and their ratios."""
    return Row(
        f"{name}, {len(series.samples)} samples, {series.entry.horizons[-1]} steps",
        f"{champion}: MASE {own:.3g}",
        ", ".join(f"{method} {error:.3g}" for method, error in errors.items()),
        quality=", ".join(f"{own / error:.2f} × {method}" for method, error in errors.items()),
    )


def summarise(ratios: list[dict[str, float]]) -> list[Row]:
    """The geometric means over series, and the worst.

    Args:
        ratios: of each series, own MASE over that of each method.
    """
    rows = []
    for method in ratios[0]:
        of_method = [of_series[method] for of_series in ratios]
        mean, worst = geometric_mean(of_method), max(of_method)
        goals = [at_most(f"of {method}", mean, GOALS[method])] if method in GOALS else []
        if method == AUTOREGRESSION:
            goals = [at_most(f"of {method}", worst, WORST)]
        row = Row(
            f"MASE over that of {method}",
            f"{mean:.3f}, geometric mean of {len(ratios)} series",
            quality=f"worst {worst:.2f}",
            goals=goals,
        )
        rows.append(row)
    return rows


def summarise_intervals(coverage: list[float]) -> Row:
    """Coverage of prediction intervals for 80 %.

    Args:
        coverage: on the test of each series.
    """
    mean, num_near = float(np.mean(coverage)), sum(0.7 <= share <= 0.9 for share in coverage)
    return Row(
        "prediction intervals for 80 %",
        f"mean coverage {mean:.0%}",
        quality=f"70 to 90 % on {num_near} of {len(coverage)} series",
        goals=[
            at_least("mean coverage", mean, 0.72),
            at_most("mean coverage", mean, 0.88),
            at_least("share of series", num_near / len(coverage), 0.8),
        ],
    )
