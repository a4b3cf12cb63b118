"""What one sees first of an experiment in MLflow: a prepared view of its runs, best first.

MLflow 3.17 keeps a view that somebody shared as a tag of its experiment: JSON, in which the state
of the page lies deflated. That state is made here; what it leaves out keeps the page's own default.
"""

import base64
import json
import zlib
from dataclasses import dataclass, replace
from typing import Any

from stages.tracking.store import VIEW_TAG

KEY = VIEW_TAG.rpartition(".")[2]  # of the view, in its address
SECTION = "comparison"


@dataclass(frozen=True)
class Parallel:
    """A chart of parallel coordinates: params, and the metric that came of them."""

    params: tuple[str, ...]
    metric: str


@dataclass(frozen=True)
class View:
    """A table of runs and charts above the generated ones.

    Args:
        name: as the page shows it.
        order_by: column by which the table is sorted.
        ascending: whether the smallest comes first.
        columns: of the table, in MLflow's way of naming them.
        bars: metrics of which one bar a run is drawn.
        lines: curves, drawn with logarithmic axes.
        parallels: drawn above the others.
        per_row: charts side by side.
    """

    name: str
    order_by: str
    ascending: bool
    columns: tuple[str, ...]
    bars: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    parallels: tuple[Parallel, ...] = ()
    per_row: int = 3


def _metric(name: str) -> str:
    return f"metrics.`{name}`"


ORIGIN = ("tags.`kind`", "tags.`data`", "attributes.`Duration`")
VIEWS = {
    "surnames": View(
        "Best on validation first",
        _metric("validation/macro_f1"),
        ascending=False,
        columns=(
            _metric("validation/macro_f1"),
            _metric("macro_f1"),
            _metric("accuracy"),
            *ORIGIN,
        ),
        bars=("validation/macro_f1", "macro_f1", "accuracy", "macro_f1_adjusted"),
        lines=("loss", "gradient_norm"),
    ),
    "forecasting": View(
        "Best beside the baselines first",
        _metric("validation/ratio_to_baseline"),
        ascending=True,
        columns=(
            _metric("validation/ratio_to_baseline"),
            _metric("ratio_to_baseline"),
            _metric("mse_long"),
            *ORIGIN,
        ),
        bars=("log10_ratio_to_baseline", "log10_mse_long"),
        lines=("loss", "gradient_norm"),
    ),
    "searches": View(  # sorted by a metric, since the page folds what lies below a run otherwise
        "Best trials first",
        _metric("rank"),
        ascending=True,
        columns=(_metric("rank"), "tags.`kind`", "tags.`data`"),
        lines=("loss",),
        per_row=1,  # the axes of parallel coordinates want room for their names
    ),
    "layers": View(
        "The tour",
        "attributes.start_time",
        ascending=False,
        columns=(_metric("largest_difference"), "attributes.`Duration`"),
    ),
}


def encode_view(view: View) -> str:
    """The value of the tag."""
    state = json.dumps(make_state(view)).encode()
    deflated = base64.b64encode(zlib.compress(state)).decode()
    made = 0  # milliseconds: not now, so that the same view is the same tag
    content = {"name": view.name, "createdAt": made, "updatedAt": made}
    return json.dumps(content | {"state": f"deflate;{deflated}"})


def make_state(view: View) -> dict[str, Any]:
    """The state of the page."""
    charts = [make_parallel_chart(parallel) for parallel in view.parallels]
    charts += [make_bar_chart(metric) for metric in view.bars]
    charts += [make_line_chart(metric) for metric in view.lines]
    return {
        "orderByKey": view.order_by,
        "orderByAsc": view.ascending,
        "searchFilter": "",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(view.columns),
        "columnOrder": [],
        "columnWidths": {},
        "runsHiddenMode": "SHOW_ALL",
        "viewMaximized": True,
        "runListHidden": False,
        "groupBy": None,
        "groupsExpanded": {},
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "compareRunCharts": charts,
        "compareRunSections": [
            {"uuid": KEY, "name": SECTION, "display": True, "columns": view.per_row}
        ],
        "isAccordionReordered": True,  # otherwise sections are sorted by name
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0},
    }


def make_bar_chart(metric: str) -> dict[str, Any]:
    """One bar a run."""
    return make_chart("BAR", metric) | {"runsCountToCompare": 100}


def make_line_chart(metric: str) -> dict[str, Any]:
    """One line a run, over steps; trainings are of very different lengths."""
    axes = {"xAxisKey": "step", "xAxisScaleType": "log", "scaleType": "log"}
    return make_chart("LINE", metric) | axes | {"runsCountToCompare": 100, "lineSmoothness": 0}


def add_parallels(view: View, parallels: list[Parallel]) -> View:
    """The view with such charts, and their metrics among its columns."""
    columns = tuple(_metric(parallel.metric) for parallel in parallels)
    return replace(view, parallels=tuple(parallels), columns=view.columns + columns)


def make_parallel_chart(parallel: Parallel) -> dict[str, Any]:
    """One line a run that has all of the params."""
    axes = {"selectedParams": list(parallel.params), "selectedMetrics": [parallel.metric]}
    return make_chart("PARALLEL", parallel.metric) | axes | {"showAllRuns": True}


def make_chart(kind: str, metric: str) -> dict[str, Any]:
    """What all charts have."""
    return {
        "uuid": f"{KEY}-{kind}-{metric}",
        "type": kind,
        "metricKey": metric,
        "metricSectionId": KEY,
        "deleted": False,
        "isGenerated": False,
    }


def find_address(server: str, experiment_id: str) -> str:
    """Where the view opens, in a browser that knows nothing of MLflow too."""
    page = f"{server.rstrip('/')}/#/experiments/{experiment_id}/runs"
    return f"{page}?workflowType=machine_learning&viewStateShareKey={KEY}"
