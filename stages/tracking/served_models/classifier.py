"""The surname model that MLflow serves: names in, their likeliest languages out.

MLflow runs this very file, in processes that have only the packages it names, so it imports
nothing of ours: the seal travels beside it, and in a package that the seal opens the loader,
config, weights, the alphabet and the architectures' files.
"""

import json
import runpy
from pathlib import Path
from typing import Any

import torch
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from pydantic import BaseModel

MOST_LETTERS = 1_000  # of a name
MOST_NAMES = 10_000  # of a request: seconds


class Guess(BaseModel):
    """A language and how likely it is."""

    language: str
    probability: float  # calibrated
    log_probability: float  # the network's own


class Answer(BaseModel):
    """The likeliest languages of a name, best first; MLflow reads the signature from here."""

    name: str
    top: list[Guess]


class Classifier(PythonModel):
    """Names the languages of surnames as people write them."""

    def load_context(self, context: PythonModelContext) -> None:
        """Rebuild the model from its artifacts."""
        seal = runpy.run_path(context.artifacts["seal"])
        with seal["unpack"](context.artifacts["package"]) as artifacts:
            self.model = runpy.run_path(artifacts["loader"])["load_model"](artifacts)
            vocabulary = _read_json(artifacts["vocabulary"])
            self.symbols: str = vocabulary["symbols"]
            self.languages: list[str] = vocabulary["languages"]
            self.temperature: float = _read_json(artifacts["scores"])["temperature"]
            self.alphabet = runpy.run_path(artifacts["alphabet"])

    def predict(
        self,
        context: PythonModelContext,
        model_input: list[str],
        params: dict[str, Any] | None = None,
    ) -> list[Answer]:
        """Name the likeliest languages of each name, best first.

        Args:
            context: not used, the model is loaded.
            model_input: surnames.
            params: `top`, how many languages to name.

        Returns:
            one `Answer` a name; a name without any letter of the alphabet gets an empty list.

        Raises:
            MlflowException: too many or too long names, or no languages; status 400 over HTTP.
        """
        top = (params or {}).get("top", 3)
        _check_request(model_input, top)
        answers: list[Any] = []  # as dictionaries, which JSON can hold
        for name in model_input:
            answers.append({"name": name, "top": self.rank_languages(name)[:top]})
        return answers

    @torch.no_grad()
    def rank_languages(self, name: str) -> list[dict[str, Any]]:
        """All languages with their probabilities, best first."""
        cleaned = self.alphabet["clean_name"](name, self.symbols)
        if not cleaned:
            return []
        letters = torch.tensor([self.alphabet["encode_name"](cleaned, self.symbols)])
        log_probabilities = self.model(letters, torch.tensor([len(cleaned)]))[0]
        probabilities = (log_probabilities / self.temperature).softmax(0)
        guesses = []
        for index in probabilities.sort(descending=True, stable=True).indices:
            guess = {
                "language": self.languages[index],
                "probability": probabilities[index].item(),
                "log_probability": log_probabilities[index].item(),
            }
            guesses.append(guess)
        return guesses


def _check_request(names: list[str], top: int) -> None:
    longest = max((len(name) for name in names), default=0)
    reason = None
    if top < 1:
        reason = f"top must be at least 1, not {top}"
    if len(names) > MOST_NAMES:
        reason = f"{len(names):,} names are more than {MOST_NAMES:,}: send them in parts"
    if longest > MOST_LETTERS:
        reason = f"a name has {longest:,} letters, more than {MOST_LETTERS:,}"
    if reason:
        raise MlflowException.invalid_parameter_value(reason)


def _read_json(path: str) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))


set_model(Classifier())
