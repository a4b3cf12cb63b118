"""The surname model that MLflow serves: names in, their likeliest languages out.

MLflow runs this very file, in processes that have only the packages it names, so it imports
nothing of ours: the checksums travel beside it, and in a package that these check the loader,
config, weights, the alphabet and the architectures' files.
"""

import runpy
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from pydantic import BaseModel


class Guess(BaseModel):
    """A language and how likely it is."""

    language: str
    probability: float  # calibrated
    log_probability: float  # the network's own


class Answer(BaseModel):
    """The likeliest languages of a name, best first; MLflow reads the signature from here."""

    name: str
    top: list[Guess]


class ServedClassifier(PythonModel):
    """Names the languages of surnames as people write them."""

    def load_context(self, context: PythonModelContext) -> None:
        """Rebuild the model from its artifacts."""
        checksums = runpy.run_path(context.artifacts["checksums"])
        with checksums["unpack"](context.artifacts["package"]) as files:
            try:
                self.classifier = runpy.run_path(files["loader"])["Classifier"](files)
            except ValueError as error:
                raise MlflowException(str(error)) from None

    def predict(
        self,
        context: PythonModelContext,
        model_input: list[str],
        params: dict[str, Any] | None = None,
    ) -> list[Answer]:
        """Name the likeliest languages of each name, as `Classifier.predict` of loader.py does.

        An `Answer` is returned as a dictionary, which JSON can hold. `params` may have `top`.

        Raises:
            MlflowException: of the ValueErrors there; status 400 over HTTP.
        """
        try:
            answers: list[Any] = self.classifier.predict(model_input, **(params or {}))
            return answers
        except ValueError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None


set_model(ServedClassifier())
