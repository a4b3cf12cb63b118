"""The metrics file of a forecaster: the scores that people compare.

scores.json holds all scores, named by horizon: `mse_49`, `mse_500`. DVC prints one column per
number of a metrics file, so it has at most five scores, with the same names for all series.
"""

from collections.abc import Mapping
from typing import Any


def name_ranked_score(scores: Mapping[str, Any], horizon: int) -> str:
    """Return the name of the score over a horizon by which forecasters are ranked.

    It is the mean absolute scaled error where there is one, which a few large errors do not decide,
    or else the mean squared error.
    """
    mase = f"mase_{horizon}"
    return mase if mase in scores else f"mse_{horizon}"


def name_metrics(scores: Mapping[str, Any]) -> dict[str, str]:
    """Return the names in the metrics file, with the names of the same scores in scores.json."""
    short, long = scores["horizon_short"], scores["horizon_long"]
    return {
        "mse_short": f"mse_{short}",  # the shortest horizon that test and validation share
        "mse_long": f"mse_{long}",  # the longest
        "ratio_to_baseline": "ratio_to_baseline",  # of mse_long or mase; below 1 is better
        "mase": f"mase_{long}",
        "smape": f"smape_{long}",
        "owa": "owa",
        "walkthrough_mse": "walkthrough_mse",  # of the test with which a walk-through ends
    }


def choose_forecaster_metrics(scores: Mapping[str, Any]) -> dict[str, float]:
    """Return the content of the metrics file: the scores that this kind of series has."""
    names = name_metrics(scores)
    return {metric: scores[name] for metric, name in names.items() if name in scores}
