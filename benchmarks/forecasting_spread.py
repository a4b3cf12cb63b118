"""The forecasters of the sines over seeds and phases, and their improvements over a baseline."""

from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import make_series
from benchmarks.improvements import Improvement, Trainings, find_improvements
from stages.forecasting.assessment import ForecastErrors, ForecastingEvaluationParams
from stages.forecasting.evaluate import evaluate
from stages.forecasting.score_baselines import ForecastingBaselineParams, score_baselines
from stages.forecasting.train import FORECASTER, train
from stages.shared.intervals import Items
from stages.shared.params import read_params

PHASE_SHIFT = 100  # between the seeds of two draws, so that no test is another draw's validation


@dataclass(frozen=True)
class Result:
    """How one forecaster does on one draw of phases."""

    name: str
    series: str
    draw: int
    scores: dict[str, Any]  # as in scores.json
    errors: ForecastErrors  # on the test phases


def read_evaluation(draw: int) -> ForecastingEvaluationParams:
    """The params of the evaluation, with other phases in each draw."""
    params = read_params("evaluate_forecasters", ForecastingEvaluationParams)
    shift = PHASE_SHIFT * draw
    seeds = {"seed": params.seed + shift, "validation_seed": params.validation_seed + shift}
    return params.model_copy(update=seeds)


def try_entry(name: str, shift: int, num_draws: int) -> list[Result]:
    """Train an entry of `forecasters` and score it on every draw of phases.

    Args:
        name: of the entry.
        shift: added to its seed.
        num_draws: of phases.
    """
    params = read_params(f"forecasters.{name}", FORECASTER)
    params = params.model_copy(update={"seed": params.seed + shift})
    series = make_series(params.series)
    trained = train(params, series, name)
    model = trained.model.eval()
    results = []
    for draw in range(num_draws):
        scored = evaluate(model, trained.state, series, read_evaluation(draw))
        results.append(Result(name, params.series, draw, scored.scores, scored.errors))
    return results


def try_baselines(series: str, draw: int) -> list[Result]:
    """Fit, choose and score the baselines of a series for one draw of phases."""
    scored = score_baselines(
        make_series(series),
        read_params("forecasting_baselines", ForecastingBaselineParams),
        read_evaluation(draw),
    )
    results = []
    for name, scores in scored.scores.items():
        results.append(Result(name, series, draw, scores, scored.errors[name]))
    return results


def pool_errors(results: list[Result], score: str) -> NDArray[np.float64]:
    """Errors `(trainings, phases of all draws)`, one draw after the other.

    Args:
        results: of one forecaster, those of each draw in the same order of trainings.
        score: which errors.
    """
    by_draw: dict[int, list[NDArray[np.float64]]] = {}
    for result in results:
        by_draw.setdefault(result.draw, []).append(result.errors[score])
    return np.concatenate([np.array(by_draw[draw]) for draw in sorted(by_draw)], axis=1)


def measure_improvements(
    results: list[Result], baselines: dict[str, list[Result]]
) -> dict[str, Improvement]:
    """The improvement of a forecaster over the best baseline, by score.

    It is the error of the baseline less its own, the mean over draws, phases and seeds, for each
    horizon that validation has too.

    Args:
        results: of the forecaster, on all draws.
        baselines: results of the baselines of its series, by name.
    """
    params = read_params("evaluate_forecasters", ForecastingEvaluationParams)
    num_draws = 1 + max(result.draw for result in results)
    strata = np.repeat(np.arange(num_draws), params.phases)
    improvements = {}
    for horizon in params.validation_horizons:
        score = f"mse_{horizon}"
        best = choose_baseline(baselines, score)
        theirs, own = pool_errors(baselines[best], score), pool_errors(results, score)
        improvements[score] = find_improvements(
            partial(_average, theirs, score),
            partial(_average, own, score),
            strata,
            ((1, len(theirs)), (1, len(own))),  # a training is scored on all draws
            params.bootstrap,
            best,
        )[score]
    return improvements


def _average(
    errors: NDArray[np.float64], score: str, phases: Items, trainings: Trainings
) -> dict[str, float]:
    """Mean of errors `(trainings, phases)` over chosen ones."""
    return {score: float(errors[np.ix_(trainings[0], phases)].mean())}


def choose_baseline(baselines: dict[str, list[Result]], score: str) -> str:
    """The baseline with the least mean error over the draws of validation."""
    means = {}
    for name, results in baselines.items():
        means[name] = fmean(result.scores["validation"][score] for result in results)
    return min(means, key=lambda name: means[name])
