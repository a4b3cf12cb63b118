from pathlib import Path

import pytest

from stages.forecasting.sizes import (
    ClosedLoopParams,
    TrainingWindows,
    check_sizes,
    fill_in_closed_loop,
    fill_in_network,
)
from stages.shared.errors import InputError
from stages.shared.yaml_files import format_yaml
from tests.forecasting.entries import FILE, SINE


def windows_of(length, most_ahead=None):
    return TrainingWindows("level", length, most_ahead)


@pytest.mark.parametrize(
    ("length", "given", "filled"),
    [
        (40, {}, (10, 22)),
        (8, {}, (2, 6)),
        (4, {}, (1, 4)),
        (3, {}, (1, 3)),
        (1, {}, (1, 1)),
        (40, {"context": 30}, (30, 11)),
        (40, {"context": 2}, (2, 22)),
        (40, {"horizon": 38}, (3, 38)),
        (40, {"context": 20, "horizon": 21}, (20, 21)),
    ],
)
def test_a_closed_loop_fits_into_a_window_and_the_sample_after_it(length, given, filled):
    loop = fill_in_closed_loop(ClosedLoopParams(**given), windows_of(length), "x")

    assert (loop.context, loop.horizon) == filled


@pytest.mark.parametrize("given", [{"context": 41}, {"horizon": 41}, {"context": 9, "horizon": 33}])
def test_a_closed_loop_that_does_not_fit_is_named(given):
    with pytest.raises(InputError, match=r"^x: closed_loop sees .* segments of level have 41: "):
        fill_in_closed_loop(ClosedLoopParams(**given), windows_of(40), "x")


@pytest.mark.parametrize(
    ("windows", "filled"),
    [
        (windows_of(40, 100), {"window": 40, "horizon": 11}),
        (windows_of(40, 15), {"window": 40, "horizon": 8}),
        (windows_of(40, 1), {"window": 40, "horizon": 1}),
        (windows_of(4), {"window": 4}),
    ],
)
def test_a_network_gets_the_sizes_that_it_takes_and_that_are_left_out(windows, filled):
    takes = ["hidden", "window", "horizon"]

    assert fill_in_network({"hidden": 3}, takes, windows, "x") == {"hidden": 3, **filled}
    assert fill_in_network({"hidden": 3}, ["hidden"], windows, "x") == {"hidden": 3}
    assert fill_in_network({"window": 2, "horizon": 1}, takes, windows, "x")["window"] == 2


def write_params(**entry):
    params = {
        "observed_series": {"level": FILE},  # windows of 4
        "generated_series": {"waves": SINE},  # segments of 9
        "forecasters": {"mine": {"series": "level", "network": {"hidden": 3}} | entry},
    }
    Path("params.yaml").write_text(format_yaml(params), encoding="utf-8")


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"network": {"window": 5}}, r"network.window \(5\) is longer .* level \(4\)"),
        ({"closed_loop": {"context": 3, "horizon": 3}}, ": closed_loop sees 3 .* have 5"),
        ({"refine": {"closed_loop": {"horizon": 5}}}, "refine: closed_loop sees 1 "),
        (
            {"series": "waves", "network": {"window": 9}},
            r"network.window \(9\) .* waves \(8\)",
        ),
        (
            {"series": "waves", "network": {"horizon": 2}},
            r"network.horizon \(2\): training on waves ",
        ),
        ({"series": "lvel"}, r"\.series: there is no series lvel: choose one of waves, level"),
    ],
)
def test_sizes_that_do_not_fit_are_found_in_params_alone(entry, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_params(**entry)

    with pytest.raises(InputError, match=rf"^params.yaml: forecasters.mine.*{reason}"):
        check_sizes()


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"network": {"window": 4, "horizon": 9}, "closed_loop": {"context": 2, "horizon": 3}},
        {"series": "waves", "network": {"window": 8}, "refine": {"closed_loop": {}}},
        {"network": {"window": "4"}, "closed_loop": {"horizon": "5"}, "refine": 3},
        {"network": None, "closed_loop": 3},
    ],
)
def test_other_errors_are_left_to_the_stage(entry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_params(**entry)

    check_sizes()
