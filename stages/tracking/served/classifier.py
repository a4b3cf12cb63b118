"""The surname model that MLflow serves: names in, their likeliest languages out.

MLflow runs this very file, in processes that have only the packages it names, so it imports
nothing of ours: sizes, weights, alphabet and the architectures' files travel beside it as
artifacts.
"""

import json
import runpy
from pathlib import Path
from typing import Any

import torch
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext
from pydantic import BaseModel
from torch import Tensor, nn


class Guess(BaseModel):
    """A language and how likely it is."""

    language: str
    probability: float


class Answer(BaseModel):
    """The likeliest languages of a name, best first; MLflow reads the signature from here."""

    name: str
    top: list[Guess]


class Classifier(PythonModel):
    """Names the languages of surnames as people write them."""

    def load_context(self, context: PythonModelContext) -> None:
        """Rebuild the network from its artifacts."""
        vocabulary = _read_json(context.artifacts["vocabulary"])
        self.symbols: str = vocabulary["symbols"]
        self.languages: list[str] = vocabulary["languages"]
        self.alphabet = runpy.run_path(context.artifacts["alphabet"])
        self.temperature: float = _read_json(context.artifacts["scores"])["temperature"]
        self.network = load_network(context.artifacts)

    def predict(
        self, context: PythonModelContext, model_input: list[str], params: dict | None = None
    ) -> list[Answer]:
        """Name the likeliest languages of each name, best first.

        Args:
            context: not used, the network is loaded.
            model_input: surnames.
            params: `top`, how many languages to name.

        Returns:
            one `Answer` a name, as a dictionary for JSON; a name without any letter of the alphabet
            gets an empty list.
        """
        top = (params or {}).get("top", 3)
        return [{"name": name, "top": self.rank_languages(name)[:top]} for name in model_input]

    @torch.no_grad()
    def rank_languages(self, name: str) -> list[dict[str, Any]]:
        """All languages with their probabilities, best first."""
        cleaned = self.alphabet["clean_name"](name, self.symbols)
        if not cleaned:
            return []
        letters = torch.tensor([self.alphabet["encode_name"](cleaned, self.symbols)])
        log_probabilities: Tensor = self.network(letters, torch.tensor([len(cleaned)]))[0]
        scores = (log_probabilities / self.temperature).log_softmax(0)  # calibrated
        return [
            {"language": self.languages[index], "probability": score.exp().item()}
            for score, index in zip(*scores.sort(descending=True, stable=True), strict=True)
        ]


def load_network(artifacts: dict[str, str]) -> nn.Module:
    """Build the network that sizes.json describes and give it its weights."""
    network = build_network(_read_json(artifacts["sizes"]), artifacts)
    weights = torch.load(artifacts["weights"], map_location="cpu", weights_only=True)
    network.load_state_dict(weights, assign=True)
    return network.eval()


def build_network(sizes: dict[str, Any], artifacts: dict[str, str]) -> nn.Module:
    """Build one network; a blend's members first."""
    arguments = dict(sizes["network"])
    if "members" in arguments:
        arguments["members"] = [build_network(m, artifacts) for m in arguments["members"]]
    architecture = runpy.run_path(artifacts[sizes["architecture"]])
    class_name = "".join(word.capitalize() for word in sizes["architecture"].split("_"))
    return architecture[class_name](**arguments)


def _read_json(path: str) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))


set_model(Classifier())
