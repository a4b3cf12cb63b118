"""Fit a model again, to a whole file, before it forecasts past the end of it.

Scores come from a model that has seen the training part alone. Once they are known, the newest
samples are worth more than a test. The model is fitted again when it is asked and not by a stage of
DVC: a stage that depends on champions.yaml would leave dvc.lock behind after each promotion, and
the small models here take a second.
"""

import io
from contextlib import redirect_stdout

from torch import nn

from stages.forecasting.observed import CsvSeries, ObservedParams
from stages.forecasting.preprocess import slide_windows
from stages.forecasting.score_baselines import fit_baseline
from stages.forecasting.series import ObservedSeries
from stages.forecasting.train import FORECASTER, train
from stages.forecasting.transform import TransformParams
from stages.models.mean_forecaster import MeanForecaster
from stages.shared.params import check_params
from stages.tracking.leaderboards import read_scores
from stages.tracking.mlflow_sync.runs import RunSpec


def take_whole_series(
    name: str, params: ObservedParams, table: CsvSeries, transform: TransformParams
) -> ObservedSeries:
    """A series whose training part is the whole file.

    Raises:
        InputError: the samples cannot be transformed so.
    """
    return slide_windows(name, params, table, len(table.samples), 0, transform)


def refit_model(name: str, models: dict[str, RunSpec], series: ObservedSeries) -> nn.Module:
    """Fit a model of dvc.lock by the recipe recorded there, with as many updates.

    Args:
        name: of the model.
        models: all models of dvc.lock, by name.
        series: that it is fitted to, as `take_whole_series` gives it.

    Raises:
        InputError: the recipe does not fit this series any longer.
    """
    stage = models[name].stages["train"]
    kind, _, entry = stage.name.partition("@")
    if kind == "combine_forecaster":
        members = [path.split("/")[2] for path in stage.deps if path.endswith("/weights.pt")]
        return MeanForecaster([refit_model(member, models, series) for member in members])
    if kind != "train_forecaster":  # what validation chose for the best baseline is in its scores
        scores = read_scores("forecasting", name)
        return fit_baseline(scores["baseline"], series, scores)
    where = f"dvc.lock: forecasters.{entry}"
    recipe = stage.read_section(f"forecasters.{entry}")
    with redirect_stdout(io.StringIO()):  # losses, as the walk-throughs print them
        return train(check_params(recipe, FORECASTER, where), series, name).model.eval()
