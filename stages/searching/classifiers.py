"""A trial of a surname classifier: train on one split, score on another, never on the test."""

from dataclasses import dataclass

from stages.searching.trials import Result, make_result
from stages.surnames.assessment import average_nll, score_predictions
from stages.surnames.evaluate import classify_names
from stages.surnames.names import Names, Vocabulary
from stages.surnames.train import ClassifierParams, train

SCORES = ["accuracy", "balanced_accuracy", "macro_f1", "nll"]


@dataclass(frozen=True)
class ClassifierAttempt:
    """Trains a classifier on one split and scores it on another."""

    name: str  # of the base, for messages
    train: Names
    validation: Names
    vocabulary: Vocabulary

    def __call__(self, params: ClassifierParams) -> Result:
        """Train by a recipe and score on validation."""
        trained = train(params, self.train, self.vocabulary, self.name)
        validation, targets = self.validation, self.validation.languages
        log_probabilities = classify_names(trained.model, validation.letters, validation.lengths)
        predictions = log_probabilities.argmax(axis=1)
        scores = score_predictions(predictions, targets, len(self.vocabulary.languages))
        scores["nll"] = average_nll(log_probabilities, targets)
        return make_result(scores, trained.curves)
