"""Name the languages of surnames: `srn predict "Yue Tingsong" Schmidt`.

Asks the champion in MLflow, or the workspace's best model where nothing is registered; with
`--model surname_rnn` that one, whichever of the two has it.
"""

import json
from typing import Any

from stages.cli.text import align
from stages.shared.errors import InputError
from stages.tracking.lockfile import check_dvc_listings
from stages.tracking.predictors import load_named, load_predictor

# {"name", "top": [{"language", "probability", "log_probability"}, …]}
Answer = dict[str, Any]


def list_cells(answer: Answer, score: str) -> list[str]:
    """A name and beside it its languages with their scores.

    Raises:
        InputError: the model gives no such score.
    """
    guesses = []
    for guess in answer["top"]:
        if score not in guess:
            raise InputError(f"this model was logged before it gave a {score}: leave out --log")
        guesses.append(f"{guess['language']:10} {guess[score]:.2f}")
    return [answer["name"], "  ".join(guesses) or "no letter that the model knows"]


def main(names: list[str], model: str | None, top: int, as_log: bool, as_json: bool) -> None:
    """Print the likeliest languages of each name.

    Args:
        names: as people write them.
        model: to ask; None: the champion or the best.
        top: languages a name.
        as_log: show log-probabilities beside languages.
        as_json: print what the model answers instead.
    """
    check_dvc_listings()
    predictor = load_named("surnames", model) if model else load_predictor("surnames")
    answers: list[Answer] = predictor.predict(names, top=top)
    if as_json:
        print(json.dumps(answers, ensure_ascii=False, indent=1))
    else:
        score = "log_probability" if as_log else "probability"
        rows = [list_cells(answer, score) for answer in answers]
        print(f"{predictor.origin}\n\n{align(rows)}")
