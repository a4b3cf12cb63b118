"""Search recipes of a forecaster: data/preprocessed/series/ -> data/searched/.

Run by DVC as `python stages/run.py searching.search_forecasters SECTION WINDOWS OUT`.
"""

import hashlib
import sys
from functools import partial
from pathlib import Path

from stages.forecasting.assessment import score_forecasts
from stages.forecasting.series import read_series
from stages.forecasting.train import FORECASTER
from stages.searching.forecasters import try_forecaster
from stages.searching.search import Task, search
from stages.searching.spaces import read_search
from stages.searching.trials import describe_inputs
from stages.shared.command import run_as_command
from stages.shared.params import Count, Seed, read_params


def main(section: str, windows: str, out: str) -> None:
    """Write trials.csv, curves.csv and best.yaml of a section of searches/params.yaml."""
    params = read_search(section)
    series = read_series(Path(windows)).hide_test()
    own = series.own_evaluation
    context = own.get("context") or read_params("evaluate_forecasters.context", Count)
    horizons = own.get("validation_horizons") or read_params(
        "evaluate_forecasters.validation_horizons", list[Count]
    )
    validation = series.backtest(
        "validation",
        context=context,
        horizon=max(horizons),
        phases=read_params("evaluate_forecasters.phases", Count),
        seed=read_params("evaluate_forecasters.validation_seed", Seed),
    )
    attempt = partial(
        try_forecaster,
        name=params.base,
        series=series,
        validation=validation,
        horizons=horizons,
    )
    scores = [*score_forecasts(validation.targets, validation, horizons)]  # their names
    task = Task(section, "forecasters", FORECASTER, scores, series.name, attempt)
    files = [Path(windows), Path(windows).with_suffix(".json")]
    inputs = describe_inputs(files, params.architecture, section)
    samples = validation.contexts.tobytes() + validation.targets.tobytes()
    inputs.append([horizons, hashlib.sha256(samples).hexdigest()])
    search(task, params, inputs, Path(out))


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
