"""Name the languages of surnames: `python -m stages.commands.predict "Yue Tingsong" Schmidt`.

Asks the champion in MLflow, or the workspace's best model where nothing is registered.
"""

import argparse
import json
from typing import Any

from stages.commands.text import align
from stages.shared.errors import exit_on_input_error
from stages.tracking.predictors import load_predictor

Answer = dict[str, Any]  # {"name", "top": [{"language", "probability"}, …]}


def list_cells(answer: Answer) -> list[str]:
    """A name and beside it its languages with their probabilities."""
    guesses = []
    for guess in answer["top"]:
        guesses.append(f"{guess['language']:10} {guess['probability']:.2f}")
    return [answer["name"], "  ".join(guesses) or "no letter that the model knows"]


def main(names: list[str], top: int, as_json: bool) -> None:
    """Print the likeliest languages of each name."""
    predictor = load_predictor("surnames")
    answers: list[Answer] = predictor.predict(names, top=top)
    if as_json:
        print(json.dumps(answers, ensure_ascii=False, indent=1))
    else:
        rows = [list_cells(answer) for answer in answers]
        print(f"{predictor.origin}\n\n{align(rows)}")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--top", type=int, default=3, help="languages a name (default: 3)")
    parser.add_argument("--json", action="store_true", help="a list with one object a name")
    arguments = parser.parse_args()
    if arguments.top < 1:
        parser.error(f"--top must be at least 1, got {arguments.top}")
    return arguments


if __name__ == "__main__":
    with exit_on_input_error():
        arguments = parse_arguments()
        main(arguments.names, arguments.top, arguments.json)
