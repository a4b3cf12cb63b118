"""A prepared view of an experiment: the state of the page of MLflow 3.17 on which it opens."""

from dataclasses import dataclass, replace
from typing import Any

from stages.tracking.mlflow_sync.mlflow_internals import VIEW, encode_view

_SECTION = "comparison"


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


def format_metric(name: str) -> str:
    """A metric as the column of a table."""
    return f"metrics.`{name}`"


def format_view(view: View) -> str:
    """The value of the tag VIEW_TAG of an experiment."""
    return encode_view(view.name, _make_state(view))


def _make_state(view: View) -> dict[str, Any]:
    """The state of the page."""
    charts = [_make_parallel_chart(parallel) for parallel in view.parallels]
    charts += [_make_bar_chart(metric) for metric in view.bars]
    charts += [_make_line_chart(metric) for metric in view.lines]
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
            {"uuid": VIEW, "name": _SECTION, "display": True, "columns": view.per_row}
        ],
        "isAccordionReordered": True,  # otherwise sections are sorted by name
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0},
    }


def _make_bar_chart(metric: str) -> dict[str, Any]:
    """One bar a run."""
    return _make_chart("BAR", metric) | {"runsCountToCompare": 100}


def _make_line_chart(metric: str) -> dict[str, Any]:
    """One line a run, over steps; trainings are of very different lengths."""
    axes = {"xAxisKey": "step", "xAxisScaleType": "log", "scaleType": "log"}
    return _make_chart("LINE", metric) | axes | {"runsCountToCompare": 100, "lineSmoothness": 0}


def add_parallels(view: View, parallels: list[Parallel]) -> View:
    """The view with such charts, and their metrics among its columns."""
    columns = tuple(format_metric(parallel.metric) for parallel in parallels)
    return replace(view, parallels=tuple(parallels), columns=view.columns + columns)


def _make_parallel_chart(parallel: Parallel) -> dict[str, Any]:
    """One line a run that has all of the params."""
    axes = {"selectedParams": list(parallel.params), "selectedMetrics": [parallel.metric]}
    return _make_chart("PARALLEL", parallel.metric) | axes | {"showAllRuns": True}


def _make_chart(kind: str, metric: str) -> dict[str, Any]:
    """What all charts have."""
    return {
        "uuid": f"{VIEW}-{kind}-{metric}",
        "type": kind,
        "metricKey": metric,
        "metricSectionId": VIEW,
        "deleted": False,
        "isGenerated": False,
    }
