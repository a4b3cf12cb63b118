"""A model of a file is fitted again, to all of it, before it forecasts past its end."""

import numpy as np
import pytest
import torch

from stages.cli.refit import refit_model, take_whole_file
from stages.forecasting.forecasters import wrap_model
from stages.forecasting.observed import CsvSeries, PanelParams
from stages.forecasting.score_baselines import fit_baseline
from stages.forecasting.train import train
from stages.shared.errors import InputError
from stages.shared.params import read_value
from stages.tracking.run_specs import read_models
from tests.forecasting.entries import params_of, params_of_file

SWING = 20 + 5 * np.sin(np.arange(120.0) / 7)


@pytest.fixture
def whole():
    params = params_of_file(window=40)
    observed = CsvSeries(SWING, np.arange(120.0))
    return take_whole_file("mine", params, {"": observed}, {"log": False, "differences": []})


def test_every_sample_is_trained_on(whole):
    assert whole.num_train == 120
    assert whole.transform.mean == pytest.approx(SWING.mean())
    last = whole.windows.targets[-1, -1] * whole.transform.std + whole.transform.mean
    assert last == pytest.approx(SWING[-1], rel=1e-6)


def test_a_network_is_trained_by_the_recipe_of_dvc_lock(whole):
    models = {spec.name: spec for spec in read_models()}
    recipe = params_of("sunspots_lstm")

    again = refit_model("sunspots_lstm", models, whole)

    expected = train(recipe, whole, "x").model
    for name, weight in expected.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name


def test_a_combination_is_the_mean_of_its_members_fitted_again(whole, monkeypatch):
    choice = {"baseline": "ar_best", "order": 4}
    monkeypatch.setattr("stages.cli.refit.read_scores", lambda task, name: choice)
    models = {spec.name: spec for spec in read_models()}
    history = SWING[None]

    both = wrap_model(refit_model("sunspots_combined", models, whole))(history, 5)

    member = read_value("combined_forecasters.sunspots_combined.forecaster")
    network = wrap_model(refit_model(member, models, whole))(history, 5)
    baseline = wrap_model(fit_baseline("ar_best", whole, choice))(history, 5)
    np.testing.assert_allclose(both, (network + baseline) / 2)


def test_new_samples_that_the_transform_does_not_take_are_an_error():
    params = params_of_file()
    samples = np.append(SWING, -1.0)

    with pytest.raises(InputError, match="-1, which has no logarithm"):
        observed = CsvSeries(samples, np.arange(121.0))
        take_whole_file("mine", params, {"": observed}, {"log": True, "differences": []})


def test_a_panel_is_trained_on_to_its_end():
    entry = {"path": "data/a.csv", "id": "i", "column": "y", "season": 4, "horizon": 3}
    series = {
        name: CsvSeries(SWING[:length], np.arange(length, dtype=np.float64))
        for name, length in (("a", 40), ("b", 30))
    }
    params = PanelParams.model_validate(entry)

    whole = take_whole_file("mine", params, series, None)

    assert [len(samples) for samples in whole.training] == [40, 30]


def test_a_baseline_of_a_panel_has_nothing_to_fit(monkeypatch):
    monkeypatch.setattr("stages.cli.refit.read_scores", lambda task, name: {"baseline": "naive2"})
    models = {spec.name: spec for spec in read_models()}
    entry = {"path": "data/a.csv", "id": "i", "column": "y", "season": 4, "horizon": 3}
    series = {"a": CsvSeries(SWING, np.arange(120.0))}
    whole = take_whole_file("mine", PanelParams.model_validate(entry), series, None)

    again = refit_model("sunspots_baseline", models, whole)

    assert wrap_model(again)(SWING[None], 2).shape == (1, 2)
