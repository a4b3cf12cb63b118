"""Train a surname classifier on the training split, and score it on validation."""

from stages.searching.trials import Result, make_result
from stages.surnames.assessment import average_nll, score_predictions
from stages.surnames.evaluate import classify_names
from stages.surnames.names import Names, Vocabulary
from stages.surnames.train import ClassifierParams, train

SCORES = ["accuracy", "balanced_accuracy", "macro_f1", "nll"]


def try_classifier(
    params: ClassifierParams, name: str, names: Names, validation: Names, vocabulary: Vocabulary
) -> Result:
    """Train with these params and score on validation; `name` is the base, for messages."""
    trained = train(params, names, vocabulary, name)
    log_probabilities = classify_names(trained.model, validation.letters, validation.lengths)
    predictions = log_probabilities.argmax(axis=1)
    scores = score_predictions(predictions, validation.languages, len(vocabulary.languages))
    scores["nll"] = average_nll(log_probabilities, validation.languages)
    return make_result(scores, trained.curves)
