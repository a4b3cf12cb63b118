"""Generate one panel of params.yaml: params -> data/generated/<panel>.csv.

Run by DVC as `python stages/run.py forecasting.generate_panel PANEL OUT`.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, model_validator

from stages.shared.command import run_as_command
from stages.shared.params import Params, Seed, read_params

_Array = NDArray[np.float64]

_SEASON = 12  # months


class GeneratedPanelParams(Params):
    """One entry of section `generated_panels`: monthly sales of shops."""

    shops: int = Field(gt=0, le=10**4)
    shortest: int = Field(gt=0, le=1200)  # months
    longest: int = Field(gt=0, le=1200)
    noise: float = Field(ge=0, le=1)  # standard deviation of a month, as a share of its sales
    seed: Seed

    @model_validator(mode="after")
    def _check_lengths(self) -> "GeneratedPanelParams":
        if self.shortest > self.longest:
            raise ValueError(f"shortest ({self.shortest}) is above longest ({self.longest})")
        return self


def draw_panel(params: GeneratedPanelParams) -> list[_Array]:
    """Draw the sales of each shop, `(months,)`: level × trend × season × noise.

    Trends change a little each month and fade; all shops share a part of their season.
    """
    generator = np.random.default_rng(params.seed)
    common = generator.normal(0, 0.15, _SEASON)
    panel = []
    for _ in range(params.shops):
        months = int(generator.integers(params.shortest, params.longest, endpoint=True))
        level = generator.normal(6, 1)
        season = generator.uniform(0, 1.5) * common + generator.normal(0, 0.05, _SEASON)
        growth, logs = generator.normal(0.005, 0.01), np.empty(months)
        for month in range(months):
            growth = 0.9 * growth + generator.normal(0, 0.004)
            level += growth
            logs[month] = level
        logs += season[np.arange(-months, 0) % _SEASON]  # all shops end with a December
        panel.append(np.exp(logs + generator.normal(0, params.noise, months)).round(1))
    return panel


def main(name: str, out: str) -> None:
    """Write the CSV file of one panel in the long format: unique_id, ds and y."""
    params = read_params(f"generated_panels.{name}", GeneratedPanelParams)
    months = pd.date_range(end="2025-12-01", periods=params.longest, freq="MS")
    tables = []
    for number, sales in enumerate(draw_panel(params), start=1):
        shop = f"shop_{number:0{len(str(params.shops))}}"
        dates = months[-len(sales) :].strftime("%Y-%m-%d")
        tables.append(pd.DataFrame({"unique_id": shop, "ds": dates, "y": sales}))
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    pd.concat(tables).to_csv(out, index=False, lineterminator="\n")


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
