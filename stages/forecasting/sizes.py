"""Default sizes of forecasters, and the check that sizes fit the series.

Defaults follow from T, the samples of a training window, so that a copied entry of `forecasters`
runs on another series:

- `network.window`, input samples: T.
- `closed_loop.context` and `horizon`: T // 4, at least 1, and T // 2 + 2, or as many of the T + 1
  samples as are left.
- `network.horizon`, samples forecast at once: T // 4 + 1, at most half the number of windows.

Imports no torch: `make repro` checks the sizes before it runs anything.
"""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from stages.shared.errors import InputError
from stages.shared.params import Count, Name, Params, read_params


class ClosedLoopParams(Params):
    """Training on closed-loop forecasts: the network is fed its own forecasts."""

    context: Count | None = None  # input samples of the series
    horizon: Count | None = None  # samples to forecast after them
    one_step: bool = True  # add the one-step error on the context; it cannot vanish, since the
    # first sample does not determine the phase


@dataclass(frozen=True)
class TrainingWindows:
    """Sizes of the training windows of a series."""

    series: str  # its name
    length: int  # T, samples of each
    most_ahead: int | None  # most targets after a window; None: the file was not read


def fill_in_closed_loop(
    loop: ClosedLoopParams, windows: TrainingWindows, where: str
) -> ClosedLoopParams:
    """Return the params of a closed loop with both lengths.

    Raises:
        InputError: if they do not fit into a window; the message starts with `where`.
    """
    num_samples = windows.length + 1
    context, horizon = loop.context, loop.horizon
    if context is None:
        context = max(1, min(windows.length // 4, num_samples - (horizon or 0)))
    if horizon is None:
        horizon = max(1, min(windows.length // 2 + 2, num_samples - context))
    if context + horizon > num_samples:
        raise InputError(
            f"{where}: closed_loop sees {context} samples and forecasts {horizon}, segments of "
            f"{windows.series} have {num_samples}: lower one of them, or leave both out"
        )
    return loop.model_copy(update={"context": context, "horizon": horizon})


def fill_in_network(
    network: dict[str, Any], takes: Collection[str], windows: TrainingWindows, where: str
) -> dict[str, Any]:
    """Return the arguments of a network with window and horizon, where its class `takes` them.

    Raises:
        InputError: if one of them is too large for the series; the message starts with `where`.
    """
    sizes = {"window": windows.length}
    if windows.most_ahead is not None:
        sizes["horizon"] = min(windows.length // 4 + 1, (windows.most_ahead + 1) // 2)
    added = {name: size for name, size in sizes.items() if name in takes and name not in network}
    filled = network | added
    window, horizon = filled.get("window"), filled.get("horizon")
    # a recipe of a long series, copied to a short one, forecasts fewer samples at once
    most = windows.most_ahead or 0
    if isinstance(horizon, int) and horizon > (most + 1) // 2 > 1:
        filled["horizon"] = horizon = (most + 1) // 2
    if isinstance(window, int) and window > windows.length:
        raise InputError(
            f"{where}.network.window ({window}) is longer than the windows of {windows.series} "
            f"({windows.length}): lower it, or leave it out"
        )
    if windows.most_ahead is not None and isinstance(horizon, int) and horizon > windows.most_ahead:
        raise InputError(
            f"{where}.network.horizon ({horizon}): training on {windows.series} knows "
            f"{windows.most_ahead} samples after a window of {windows.length} at most: lower it"
        )
    return filled


def check_sizes() -> None:
    """Check series and sizes of all forecasters in params.yaml; stages check everything else.

    Raises:
        InputError: if there is no such series, or a size does not fit.
    """
    windows: dict[str, TrainingWindows] = {}
    known = []
    for section, most_ahead in (("generated_series", 1), ("observed_series", None)):
        for name, series in read_params(section, dict[Name, dict[str, Any]]).items():
            known.append(name)
            window, points = series.get("window"), series.get("points")
            length = points - 1 if window is None and isinstance(points, int) else window
            if isinstance(length, int):
                windows[name] = TrainingWindows(name, length, most_ahead)
    for name, entry in read_params("forecasters", dict[Name, dict[str, Any]]).items():
        where = f"params.yaml: forecasters.{name}"
        if isinstance(entry.get("series"), str) and entry["series"] not in known:
            raise InputError(
                f"{where}.series: there is no series {entry['series']}: choose one of "
                f"{', '.join(known)}"
            )
        own = windows.get(str(entry.get("series")))
        if own is None:
            continue
        # these two are called for their errors alone
        if isinstance(entry.get("network"), dict):
            fill_in_network(entry["network"], (), own, where)
        refine = entry.get("refine")
        for prefix, phase in ((where, entry), (f"{where}.refine", refine)):
            loop = phase.get("closed_loop") if isinstance(phase, dict) else None
            if isinstance(loop, dict):
                with suppress(ValidationError):
                    fill_in_closed_loop(ClosedLoopParams.model_validate(loop), own, prefix)
