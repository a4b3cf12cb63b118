"""Fit a model again to a whole file, before it forecasts past the end.

Scores come from a model that was trained on the training part only. Once they are known, the newest
samples are worth more as training data. `srn forecast` fits the model, not a stage of DVC: a stage
that depends on champions.yaml would make dvc.lock out of date after each promotion, and these small
models take a second.
"""

import io
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import Any

from torch import nn

from stages.forecasting.observed import CsvSeries, ObservedParams, PanelParams
from stages.forecasting.preprocess import collect_panel, slide_windows
from stages.forecasting.score_baselines import fit_baseline, fit_panel_baseline
from stages.forecasting.series import ObservedSeries, Panel
from stages.forecasting.train import FORECASTER, train
from stages.forecasting.transform import TransformParams
from stages.models.mean_forecaster import MeanForecaster
from stages.shared.params import check_params
from stages.tracking.leaderboards import read_scores
from stages.tracking.mlflow_sync.runs import RunSpec


def take_whole_file(
    name: str,
    params: ObservedParams | PanelParams,
    series: dict[str, CsvSeries],
    transform: Mapping[str, Any] | None,
) -> ObservedSeries | Panel:
    """Return a series or a panel with the whole file as training part.

    Args:
        name: its entry in params.yaml.
        params: the content of that entry.
        series: the series of the file, by name.
        transform: the transform in forecast_info.json, for a single series.

    Raises:
        InputError: if the transform cannot be applied, or all series are too short.
    """
    if isinstance(params, PanelParams):
        return collect_panel(name, params, series).hold_out_nothing()
    [table] = series.values()
    assert transform is not None
    known = TransformParams(log=transform["log"], difference=transform["differences"])
    return slide_windows(name, params, table, len(table.samples), 0, known)


def refit_model(name: str, models: dict[str, RunSpec], series: ObservedSeries | Panel) -> nn.Module:
    """Fit a model of dvc.lock by the recipe recorded there, with the same number of updates.

    Args:
        name: the model.
        models: all models of dvc.lock, by name.
        series: the result of `take_whole_file`.

    Raises:
        InputError: if the recipe no longer fits this series.
    """
    stage = models[name].stages["train"]
    kind, _, entry = stage.name.partition("@")
    if kind == "combine_forecaster":
        members = [path.split("/")[2] for path in stage.deps if path.endswith("/weights.pt")]
        return MeanForecaster([refit_model(member, models, series) for member in members])
    if kind != "train_forecaster":  # the settings chosen on validation are in its scores
        scores = read_scores("forecasting", name)
        if isinstance(series, Panel):
            return fit_panel_baseline(scores["baseline"], series)
        return fit_baseline(scores["baseline"], series, scores)
    where = f"dvc.lock: forecasters.{entry}"
    recipe = stage.read_section(f"forecasters.{entry}")
    with redirect_stdout(io.StringIO()):  # losses, as the walk-throughs print them
        return train(check_params(recipe, FORECASTER, where), series, name).model.eval()
