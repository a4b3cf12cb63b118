"""Combine a trained network with the best baseline of its series: the mean of their forecasts.

Run by DVC as `python stages/run.py forecasting.combine NETWORK BASELINE OUT`, with folders below
data/trained/.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from stages.forecasting.forecasters import write_state
from stages.models.mean_forecaster import MeanForecaster
from stages.shared.checkpoints import read_model, write_fitted_model
from stages.shared.command import run_as_command
from stages.shared.model_config import ModelConfig, read_config


def main(network: str, baseline: str, out: str) -> None:
    """Write the files of a trained model, with empty curves, since nothing is trained."""
    started = datetime.now(UTC)
    folders = [Path(baseline), Path(network)]
    configs = [read_config(folder) for folder in folders]
    members = [{"architecture": own.architecture, "network": own.network} for own in configs]
    config = ModelConfig("forecasting", "mean_forecaster", {"members": members})
    model = MeanForecaster([read_model(folder) for folder in folders])
    write_fitted_model(Path(out), config, model, started)
    write_state(Path(out) / "state.npy", None)


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
