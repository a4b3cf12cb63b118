"""The surname model as MLflow serves it: names in, their likeliest languages out.

MLflow runs this file in processes without this project, so it imports nothing from `stages`. Its
artifacts are checksums.py and a package with the loader, config, weights, alphabet and the code of
the architectures, which is unpacked after its checksums were verified.
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
    """Predicts the languages of surnames."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model from its artifacts."""
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
        """Predict the likeliest languages of each name, by `Classifier.predict` in loader.py.

        Args:
            context: not used.
            model_input: surnames.
            params: may have `top`, the number of languages per name.

        Returns:
            The fields of an `Answer` per name.

        Raises:
            MlflowException: if the names or `top` are invalid; status 400 over HTTP.
        """
        try:
            answers: list[Any] = self.classifier.predict(model_input, **(params or {}))
            return answers
        except ValueError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None


set_model(ServedClassifier())
