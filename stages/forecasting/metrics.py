"""The metrics file of a forecaster: the scores that people compare.

scores.json holds all scores, each by its horizon: `mse_49`, `mse_500`. DVC prints one column per
number of a metrics file, so this one repeats at most five of them, by names that all forecasters
share, whatever the horizons of their series.
"""

from collections.abc import Mapping
from typing import Any


def name_ranked_score(scores: Mapping[str, Any], horizon: int) -> str:
    """The score over a horizon by which forecasters are ranked, the less the better.

    The mean absolute scaled error of an observed series or of a panel, which a few large errors do
    not decide as they do the mean squared error of a generated one.
    """
    mase = f"mase_{horizon}"
    return mase if mase in scores else f"mse_{horizon}"


def name_metrics(scores: Mapping[str, Any]) -> dict[str, str]:
    """The names in the metrics file, with the names of the same scores in scores.json."""
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
    """The content of the metrics file, from the scores in scores.json.

    Only an observed series has a `mase`, only a generated one a `walkthrough_mse`, only a panel
    `smape` and `owa`.
    """
    names = name_metrics(scores)
    return {metric: scores[name] for metric, name in names.items() if name in scores}
