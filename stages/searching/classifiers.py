"""How a recipe of a surname classifier is tried: on the names of two splits, never of the test."""

from dataclasses import dataclass
from pathlib import Path

from stages.searching.trials import Result, take_result
from stages.surnames.assessment import average_nll, score_predictions
from stages.surnames.evaluate import classify_names
from stages.surnames.names import Names, Vocabulary, read_splits, read_vocabulary
from stages.surnames.train import ClassifierParams, train

SCORES = ["accuracy", "balanced_accuracy", "macro_f1", "nll"]


@dataclass(frozen=True)
class ClassifierAttempt:
    """Trains a classifier on one split and scores it on another.

    Args:
        name: of the base, for messages.
        train: the training split.
        validation: the other.
        vocabulary: symbols and languages.
    """

    name: str
    train: Names
    validation: Names
    vocabulary: Vocabulary

    def __call__(self, params: ClassifierParams) -> Result:
        """What a recipe gives."""
        trained = train(params, self.train, self.vocabulary, self.name)
        log_probabilities = classify_names(trained.model, self.validation)
        predictions = log_probabilities.argmax(axis=1)
        targets = self.validation.languages
        scores = score_predictions(predictions, targets, len(self.vocabulary.languages))
        scores["nll"] = average_nll(log_probabilities, targets)
        return take_result(scores, trained.curves)


def read_classifier_attempt(folder: Path, name: str) -> ClassifierAttempt:
    """Read what is needed of preprocessed surnames."""
    splits = read_splits(folder)
    return ClassifierAttempt(name, splits.train, splits.validation, read_vocabulary(folder))
