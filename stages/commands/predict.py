"""Name the languages of surnames: `python -m stages.commands.predict "Yue Tingsong" Schmidt`.

Asks the champion in MLflow, or the workspace's best model where nothing is registered.
"""

import argparse
import json
from typing import Any

from stages.shared.errors import exit_on_input_error
from stages.tracking.predictors import load_predictor

Answers = list[dict[str, Any]]  # {"name", "top": [{"language", "probability"}, …]}


def main(names: list[str], top: int, as_json: bool) -> None:
    """Print the likeliest languages of each name."""
    model, origin = load_predictor("surnames")
    answers = model.predict(names, params={"top": top})
    if as_json:
        print(json.dumps(answers, ensure_ascii=False, indent=1))
    else:
        print(f"{origin}\n\n{tabulate(answers)}")


def tabulate(answers: Answers) -> str:
    """One row a name, its languages with their probabilities beside it."""
    width = max(len(answer["name"]) for answer in answers)
    return "\n".join(f"{answer['name']:{width}}  {_say_top(answer['top'])}" for answer in answers)


def _say_top(top: list[dict[str, Any]]) -> str:
    if not top:
        return "no letter that the model knows"
    return "  ".join(f"{guess['language']:10} {guess['probability']:.2f}" for guess in top)


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
