"""Parts of MLflow 3.17 that are not public: how a store is made, artifacts, a shared view.

pyproject.toml allows no MLflow beyond 3.17 until these were tried with it. Without the first,
MLflow makes a store directly, which a kill can leave incomplete; a page that does not know the
last shows its default.
"""

import base64
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_VIEW = "best"  # name of the view in the address of a page
VIEW_TAG = f"mlflow.sharedViewState.{_VIEW}"  # tag of an experiment by which people share a view


def make_database(database: Path, artifacts: str) -> None:
    """Create the SQLite file of a store, with the address of its artifacts, atomically.

    MLflow creates its tables one after another in the file itself, and never opens a file with half
    of them.
    """
    store_class = _find_store_class()
    if store_class is None:
        from mlflow import MlflowClient

        MlflowClient(f"sqlite:///{database}").search_experiments(max_results=1)
        return
    unfinished = database.with_name(f"{database.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    store = store_class(f"sqlite:///{unfinished}", artifacts)
    store.delete_experiment(store.DEFAULT_EXPERIMENT_ID)  # the empty experiment `Default`
    store.engine.dispose()  # closes the file, which is renamed next
    unfinished.rename(database)


def _find_store_class() -> Any:
    """Return MLflow's store class, None if it differs from MLflow 3.17."""
    from mlflow.store.tracking import sqlalchemy_store

    found = getattr(sqlalchemy_store, "SqlAlchemyStore", None)
    needed = ("DEFAULT_EXPERIMENT_ID", "delete_experiment")
    return found if all(hasattr(found, name) for name in needed) else None


def knows_schema(revision: str) -> bool:
    """Whether a store, by the revision of its tables, is of this MLflow or an older one."""
    import mlflow

    folder = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    return any(folder.glob(f"{revision}_*.py"))


def open_artifacts(address: str, uri: str) -> Any:
    """Return the repository of artifacts at the address of a run, model or experiment.

    MlflowClient offers this for runs only.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(address, uri)


# The view of an experiment: the state of the page of MLflow on which it opens

# which every table has, by the names of the page's own code: the name of a run, and its age
_FIRST_COLUMNS = {"tags.`mlflow.runName`": 205, "runDateAndNestInfo": 90}


@dataclass(frozen=True)
class Parallel:
    """A chart of parallel coordinates: params and a metric."""

    params: tuple[str, ...]
    metric: str


@dataclass(frozen=True)
class View:
    """A table of runs and charts above the generated ones."""

    name: str  # as the page shows it
    order_by: str  # column by which the table is sorted
    ascending: bool  # whether the smallest comes first
    columns: dict[str, int]  # of the table, such as metrics.`loss`, with their widths in pixels
    filter: str = ""  # of the runs, as people type it into the page
    bars: tuple[str, ...] = ()  # metrics that are drawn with one bar per run
    lines: tuple[str, ...] = ()  # curves of all runs, on logarithmic axes
    parallels: tuple[Parallel, ...] = ()  # drawn above the others
    per_row: int = 3  # charts side by side


def format_view(view: View) -> str:
    """Return the value of VIEW_TAG: JSON with the deflated state of the page."""
    charts = []
    for parallel in view.parallels:
        axes: dict[str, Any] = {
            "selectedParams": list(parallel.params),
            "selectedMetrics": [parallel.metric],
        }
        charts.append(_make_chart("PARALLEL", parallel.metric) | axes | {"showAllRuns": True})
    for metric in view.bars:
        charts.append(_make_chart("BAR", metric) | {"runsCountToCompare": 100})
    for metric in view.lines:
        axes = {"xAxisKey": "step", "xAxisScaleType": "log", "scaleType": "log"}
        shown = {"runsCountToCompare": 100, "lineSmoothness": 0}
        charts.append(_make_chart("LINE", metric) | axes | shown)
    widths = _FIRST_COLUMNS | view.columns
    state = {
        "orderByKey": view.order_by,
        "orderByAsc": view.ascending,
        "searchFilter": view.filter,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(view.columns),
        "columnOrder": list(widths),
        "columnWidths": widths,
        "runsHiddenMode": "SHOW_ALL",
        "viewMaximized": True,
        "runListHidden": False,
        "groupBy": None,
        "groupsExpanded": {},
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "compareRunCharts": charts,
        "compareRunSections": [
            {"uuid": _VIEW, "name": "comparison", "display": True, "columns": view.per_row}
        ],
        "isAccordionReordered": True,  # otherwise sections are sorted by name
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0},
    }
    deflated = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    made = 0  # milliseconds; constant, so that the same view is the same tag
    content = {"name": view.name, "createdAt": made, "updatedAt": made}
    return json.dumps(content | {"state": f"deflate;{deflated}"})


def _make_chart(kind: str, metric: str) -> dict[str, Any]:
    """Return the fields that all charts have."""
    return {
        "uuid": f"{_VIEW}-{kind}-{metric}",
        "type": kind,
        "metricKey": metric,
        "metricSectionId": _VIEW,
        "deleted": False,
        "isGenerated": False,
    }


def find_view_address(server: str, experiment_id: str) -> str:
    """Return the address that opens the view of an experiment, also in a fresh browser profile."""
    page = f"{server.rstrip('/')}/#/experiments/{experiment_id}/runs"
    return f"{page}?workflowType=machine_learning&viewStateShareKey={_VIEW}"
