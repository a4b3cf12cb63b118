"""Name the languages of surnames: `python stages/run.py commands.predict "Yue Tingsong" Schmidt`.

Asks the champion in MLflow, or the workspace's best model where nothing is registered; with
`--model surname_rnn` that one, whichever of the two has it.
"""

import argparse
import json
from typing import Any

from stages.commands.checks import check_folder
from stages.commands.text import align
from stages.shared.errors import InputError, exit_on_input_error
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


def main(names: list[str], model: str | None, top: int, score: str, as_json: bool) -> None:
    """Print the likeliest languages of each name.

    Args:
        names: as people write them.
        model: to ask; None: the champion or the best.
        top: languages a name.
        score: probability or log_probability, to show beside a language.
        as_json: print what the model answers instead.
    """
    check_folder()
    check_dvc_listings()
    predictor = load_named("surnames", model) if model else load_predictor("surnames")
    answers: list[Answer] = predictor.predict(names, top=top)
    if as_json:
        print(json.dumps(answers, ensure_ascii=False, indent=1))
    else:
        rows = [list_cells(answer, score) for answer in answers]
        print(f"{predictor.origin}\n\n{align(rows)}")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--model", help="of dvc.lock (default: the champion, or else the best)")
    parser.add_argument("--top", type=int, default=3, help="languages a name (default: 3)")
    parser.add_argument("--log", action="store_true", help="the network's own log-probabilities")
    parser.add_argument("--json", action="store_true", help="a list with one object a name")
    arguments = parser.parse_args()
    if arguments.top < 1:
        parser.error(f"--top must be at least 1, got {arguments.top}")
    return arguments


if __name__ == "__main__":
    with exit_on_input_error():
        arguments = parse_arguments()
        score = "log_probability" if arguments.log else "probability"
        main(arguments.names, arguments.model, arguments.top, score, arguments.json)
