"""The scores of a forecaster that people compare: its metrics file.

scores.json holds all scores, so that whoever reads scores reads one file, each by its horizon:
`mse_49`, `mse_500`. The metrics file repeats at most five of them, by names that all
forecasters share whatever the horizons of their series: DVC prints one column per number.
"""

from collections.abc import Mapping
from typing import Any


def name_metrics(scores: Mapping[str, Any]) -> dict[str, str]:
    """The names in the metrics file, with the names of the same scores in scores.json.

    Args:
        scores: as in scores.json.

    Returns:
        `mse_short` and `mse_long`: errors over the shortest and the longest horizon that test and
        validation have in common; `ratio_to_baseline`: `mse_long` over that of the baseline that is
        best on validation, so that below 1 is better; `mase`: over the long horizon;
        `walkthrough_mse`: of the test with which a walk-through ends.
    """
    short, long = scores["horizon_short"], scores["horizon_long"]
    return {
        "mse_short": f"mse_{short}",
        "mse_long": f"mse_{long}",
        "ratio_to_baseline": "ratio_to_baseline",
        "mase": f"mase_{long}",
        "walkthrough_mse": "walkthrough_mse",
    }


def choose_forecaster_metrics(scores: Mapping[str, Any]) -> dict[str, float]:
    """The content of the metrics file.

    There is a `mase` only of a series from a file, and a `walkthrough_mse` only of a generated one.

    Args:
        scores: as in scores.json.
    """
    names = name_metrics(scores)
    return {metric: scores[name] for metric, name in names.items() if name in scores}
