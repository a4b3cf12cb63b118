"""Errors of forecasters on the same test phases: errors.csv, one row a forecaster and a phase."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from stages.forecasting.free_runs import PhaseErrors
from stages.shared.tables import read_table, write_table

LABELS = ("forecaster", "phase")


def write_phase_errors(path: Path, by_forecaster: Mapping[str, PhaseErrors]) -> None:
    """Write the errors of forecasters that were scored alike."""
    rows: list[list[str | int | float]] = []
    scores: list[str] = []
    for forecaster, errors in by_forecaster.items():
        scores = list(errors)
        for phase, values in enumerate(zip(*errors.values(), strict=True)):
            rows.append([forecaster, phase, *values])
    write_table(path, [*LABELS, *scores], rows)


def read_phase_errors(path: Path) -> dict[str, PhaseErrors]:
    """Read what `write_phase_errors` wrote, by forecaster."""
    columns: dict[str, dict[str, list[float]]] = {}
    for row in read_table(path):
        of_one = columns.setdefault(row["forecaster"], {})
        for score, value in row.items():
            if score not in LABELS:
                of_one.setdefault(score, []).append(float(value))
    by_forecaster = {}
    for forecaster, scores in columns.items():
        by_forecaster[forecaster] = {score: np.array(values) for score, values in scores.items()}
    return by_forecaster
