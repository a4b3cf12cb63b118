"""Load a trained model from its files, and predict with it.

This file is part of each served model, so it imports nothing from `stages`.
"""

import json
import runpy
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

# Limits of one request, which then takes seconds
_MOST_LETTERS = 1_000  # in a name
_MOST_NAMES = 10_000
_MOST_LETTERS_AT_ONCE = 200_000  # in all names
_MOST_SAMPLES = 1_000_000  # in all histories, and in all forecasts
_MOST_STEPS = 10_000  # in a forecast
_LARGEST = 1e30  # absolute value of a sample; the largest float32 is 3.4e38
_BATCH = 128  # names of similar length that are computed at once

Files = dict[str, str]  # `weights`, `config`, …, or the name of an architecture -> path


class Classifier:
    """Predicts the languages of surnames."""

    def __init__(self, files: Files) -> None:
        """Load the model.

        Args:
            files: `weights`, `config`, `vocabulary`, `scores`, `alphabet` and the architectures.

        Raises:
            ValueError: if the files do not fit together.
        """
        vocabulary = _read_json(files["vocabulary"])
        self.model = load_model(files)
        self.symbols: str = vocabulary["symbols"]
        self.languages: list[str] = vocabulary["languages"]
        self.temperature: float = _read_json(files["scores"])["temperature"]
        self.alphabet = runpy.run_path(files["alphabet"])
        self._check_sizes(files["vocabulary"])

    @torch.no_grad()
    def _check_sizes(self, where: str) -> None:
        """Check that the network has an input per symbol and an output per language."""
        num_symbols, num_languages = len(self.symbols), len(self.languages)
        try:
            letters = torch.arange(num_symbols)[None]
            is_fit = self.model(letters, torch.tensor([num_symbols])).shape[1] == num_languages
        except (IndexError, RuntimeError):
            is_fit = False
        if not is_fit:
            raise ValueError(
                f"{where} has {num_symbols} symbols and {num_languages} languages, which does not "
                "fit the network"
            )

    @torch.no_grad()
    def predict(self, names: list[str], top: int = 3) -> list[dict[str, Any]]:
        """Predict the likeliest languages of each name, best first.

        Args:
            names: surnames.
            top: number of languages per name.

        Returns:
            `{"name", "top": [{"language", "probability", "log_probability"}, …]}` per name;
            `probability` is calibrated, `log_probability` is not.

        Raises:
            ValueError: if there are too many names, a name is too long or has no letter or digit
                of the alphabet, or `top` is less than 1.
        """
        longest = max((len(name) for name in names), default=0)
        if top < 1:
            raise ValueError(f"top must be at least 1, not {top}")
        if len(names) > _MOST_NAMES:
            raise ValueError(f"{len(names):,} names are more than {_MOST_NAMES:,}: send fewer")
        if longest > _MOST_LETTERS:
            raise ValueError(f"a name has {longest:,} letters, more than {_MOST_LETTERS:,}")
        if sum(map(len, names)) > _MOST_LETTERS_AT_ONCE:
            raise ValueError(
                f"the names have more than {_MOST_LETTERS_AT_ONCE:,} letters: send fewer"
            )
        predictions: list[dict[str, Any]] = []
        for name, row in zip(names, self.classify(names), strict=True):
            if row.isnan().any():
                raise ValueError(f"{name[:60]!r} has no letter or digit that the model knows")
            predictions.append({"name": name, "top": self._rank(row, top)})
        return predictions

    @torch.no_grad()
    def classify(self, names: list[str], batch: int = _BATCH) -> torch.Tensor:
        """Return uncalibrated log-probabilities `(N, L)` of N names and L languages.

        A name without any letter or digit of the alphabet gives NaN.

        Args:
            names: surnames; memory grows with the longest one.
            batch: number of names that are computed at once.
        """
        encoded = {}
        for position, name in enumerate(names):
            cleaned = self.alphabet["clean_name"](name, self.symbols)
            if self.alphabet["has_letter"](cleaned):
                encoded[position] = torch.tensor(
                    self.alphabet["encode_name"](cleaned, self.symbols)
                )
        log_probabilities = torch.full((len(names), len(self.languages)), torch.nan)
        by_length = sorted(encoded, key=lambda position: len(encoded[position]))
        for start in range(0, len(by_length), batch):
            positions = by_length[start : start + batch]
            letters = [encoded[position] for position in positions]
            padded = nn.utils.rnn.pad_sequence(letters, batch_first=True)
            lengths = torch.tensor([*map(len, letters)])
            log_probabilities[positions] = self.model(padded, lengths).float()
        return log_probabilities

    def _rank(self, log_probabilities: torch.Tensor, top: int) -> list[dict[str, Any]]:
        """Return the `top` likeliest languages by the log-probabilities `(L,)` of a name."""
        probabilities = (log_probabilities / self.temperature).softmax(0).tolist()
        ranked = log_probabilities.sort(descending=True, stable=True).indices.tolist()
        logs = log_probabilities.tolist()
        return [
            {
                "language": self.languages[index],
                "probability": probabilities[index],
                "log_probability": logs[index],
            }
            for index in ranked[:top]
        ]


class Forecaster:
    """Forecasts any number of samples after histories of any length, in the units of the series."""

    def __init__(self, files: Files) -> None:
        """Load the model.

        Args:
            files: `weights`, `config`, `forecast_info` and the architecture.

        Raises:
            ValueError: if the weights are damaged, or do not fit the config.
        """
        self.model = load_model(files)
        self.forecast_info = _read_json(files["forecast_info"])

    @torch.no_grad()
    def predict(self, histories: NDArray[Any], horizon: int = 50) -> NDArray[np.float64]:
        """Forecast the samples after each history.

        Args:
            histories: `(B, T)`, one per row, oldest sample first.
            horizon: number of samples to forecast.

        Returns:
            `(B, horizon)`, float64.

        Raises:
            ValueError: if there is no history, a sample is not finite, or a request is too large.
        """
        samples = torch.tensor(histories, dtype=torch.float64)
        num_histories, length = samples.shape
        most = _MOST_SAMPLES // max(num_histories, 1)
        most_steps = min(most, _MOST_STEPS)
        if not 1 <= horizon <= most_steps:
            allowed = f"1 to {most_steps:,} for {num_histories} histories"
            raise ValueError(f"horizon must be {allowed}, not {horizon:,}")
        if not 1 <= length <= most or not num_histories:
            raise ValueError(
                f"a history must have 1 to {most:,} samples, not {length:,}: shape is (B, T)"
            )
        if not (samples.abs() <= _LARGEST).all():
            raise ValueError("a history has samples that are NaN, infinite or too large")
        forecast: Any = self.model.forecast
        forecasts: NDArray[np.float64] = forecast(samples, horizon).double().numpy()
        return forecasts


def load_model(files: Files) -> nn.Module:
    """Build the network that config.json describes and load its weights.

    Raises:
        ValueError: if the weights are damaged, or do not fit the config.
    """
    config = _read_json(files["config"])
    try:
        model = _build_model(config["architecture"], config["network"], files)
        weights = torch.load(files["weights"], map_location="cpu", weights_only=True)
        model.load_state_dict(weights, assign=True)  # assign: float64 weights stay so
    except (AttributeError, EOFError, RuntimeError, TypeError, UnpicklingError) as error:
        kind = type(error).__name__  # PyTorch's message has a line per weight
        network = f"{config['architecture']} ({kind})"
        raise ValueError(f"{files['weights']} does not have the weights of {network}") from None
    return model.eval()


def _build_model(architecture: str, network: dict[str, Any], files: Files) -> nn.Module:
    """Build a network, and first the members of a blend."""
    arguments = dict(network)
    if "members" in arguments:
        members = []
        for member in arguments["members"]:
            members.append(_build_model(member["architecture"], member["network"], files))
        arguments["members"] = members
    class_name = "".join(word.capitalize() for word in architecture.split("_"))
    make = runpy.run_path(files[architecture])[class_name]
    model: nn.Module = make(**arguments)
    return model


def _read_json(path: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return content
