"""The forecasters of the sines over seeds and test phases, and how far ahead of a baseline."""

from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import make_windows, read_series
from benchmarks.leads import Lead, find_leads
from stages.shared.params import read_params
from stages.sine.assessment import EvaluateParams
from stages.sine.evaluate import evaluate
from stages.sine.free_runs import PhaseErrors, average_phases
from stages.sine.score_baselines import BaselineParams, score_baselines
from stages.sine.train import SineParams, train

PHASE_SHIFT = 100  # between the seeds of two draws, so that no test is another draw's validation


@dataclass(frozen=True)
class Result:
    """How one forecaster does on one draw of phases."""

    name: str
    series: str
    draw: int
    metrics: dict[str, Any]  # as in metrics.json
    errors: PhaseErrors  # on the test phases


def read_evaluation(draw: int) -> EvaluateParams:
    """What is asked, from other phases in each draw."""
    params = read_params("evaluate_sine", EvaluateParams)
    shift = PHASE_SHIFT * draw
    seeds = {"seed": params.seed + shift, "validation_seed": params.validation_seed + shift}
    return params.model_copy(update=seeds)


def try_entry(name: str, shift: int, num_draws: int) -> list[Result]:
    """Train an entry of `sine` and score it on every draw of phases.

    Args:
        name: of the entry.
        shift: added to its seed.
        num_draws: of phases.
    """
    params = read_params(f"sine.{name}", SineParams)
    params = params.model_copy(update={"seed": params.seed + shift})
    series, windows = read_series(params.series), make_windows(params.series)
    trained = train(params, windows, name)
    model = trained.model.eval()
    results = []
    for draw in range(num_draws):
        asked = read_evaluation(draw)
        scored = evaluate(model, trained.state, windows, params.series, series, asked)
        results.append(Result(name, params.series, draw, scored.metrics, scored.errors))
    return results


def score_rivals(series: str, draw: int) -> list[Result]:
    """Fit, choose and score the baselines of a series for one draw of phases."""
    scored = score_baselines(
        make_windows(series),
        series,
        read_series(series),
        read_params("baselines_sine", BaselineParams),
        read_evaluation(draw),
    )
    results = []
    for name, metrics in scored.scores.items():
        results.append(Result(name, series, draw, metrics, scored.errors[name]))
    return results


def pool_errors(results: list[Result], score: str) -> PhaseErrors:
    """The errors of the phases of all draws, one draw after the other, each a mean over seeds."""
    by_draw: dict[int, list[NDArray[np.float64]]] = {}
    for result in results:
        by_draw.setdefault(result.draw, []).append(result.errors[score])
    pooled = []
    for draw in sorted(by_draw):
        pooled.append(np.mean(by_draw[draw], axis=0))
    return {score: np.concatenate(pooled)}


def measure_leads(results: list[Result], rivals: dict[str, list[Result]]) -> dict[str, Lead]:
    """How far ahead of the best baseline a forecaster is: score -> lead.

    It is the error of the baseline less its own, the mean over draws, phases and seeds, for each
    free run that validation has too.

    Args:
        results: of the forecaster, on all draws.
        rivals: those of the baselines of its series, by name.
    """
    params = read_params("evaluate_sine", EvaluateParams)
    num_draws = 1 + max(result.draw for result in results)
    strata = np.repeat(np.arange(num_draws), params.phases)
    leads = {}
    for horizon in params.validation_horizons:
        score = f"free_run_mse_{horizon}"
        over = choose_rival(rivals, score)
        theirs = partial(average_phases, pool_errors(rivals[over], score))
        own = partial(average_phases, pool_errors(results, score))
        leads[score] = find_leads(theirs, own, strata, params.bootstrap, over)[score]
    return leads


def choose_rival(rivals: dict[str, list[Result]], score: str) -> str:
    """The baseline with the least mean error over the draws of validation."""
    means = {}
    for name, results in rivals.items():
        means[name] = fmean(result.metrics["validation"][score] for result in results)
    return min(means, key=lambda name: means[name])
