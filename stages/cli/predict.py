"""Name the languages of surnames: `srn predict "Yue Tingsong" Schmidt`.

Uses the champion of champions.yaml, or the best model of the workspace where there is none; with
`--model surname_rnn` that model of dvc.lock.
"""

import json
import sys
from typing import Any

from stages.cli.text import align
from stages.shared.command import show
from stages.shared.errors import InputError, clean_message
from stages.tracking.load_model import load_champion, load_named
from stages.tracking.run_specs import check_dvc_listings
from stages.tracking.served_models.loader import Classifier

# {"name", "top": [{"language", "probability", "log_probability"}, …]}
_Answer = dict[str, Any]

_PER_LINE = 3  # languages beside a name, which may be long: within 100 columns


def main(
    names: list[str], model: str | None, top: int, as_log: bool, as_json: bool, from_mlflow: bool
) -> None:
    """Print the likeliest languages of each name.

    Raises:
        InputError: there is no such model, or a name is too long.
    """
    check_dvc_listings()
    if model:
        loaded = load_named(Classifier, "surnames", model)
    else:
        loaded = load_champion(Classifier, "surnames", from_mlflow)
    try:
        answers: list[_Answer] = loaded.model.predict(names, top)
    except ValueError as error:
        raise InputError(str(error)) from None
    if loaded.note:
        show(loaded.note, file=sys.stderr)
    if as_json:
        shown = json.dumps(answers, ensure_ascii=False, indent=1)
        # a terminal obeys what JSON need not escape; as ASCII it means the same
        is_plain = clean_message(shown, most_lines=sys.maxsize) == shown
        print(shown if is_plain else json.dumps(answers, indent=1))
    else:
        score = "log_probability" if as_log else "probability"
        rows = []
        for answer in answers:
            guesses = [f"{guess['language']:10} {guess[score]:.2f}" for guess in answer["top"]]
            guesses = guesses or ["no letter that the model knows"]
            for start in range(0, len(guesses), _PER_LINE):
                name = answer["name"] if start == 0 else ""
                rows.append([name, "  ".join(guesses[start : start + _PER_LINE])])
        show(f"{loaded.origin}\n\n{align(rows)}")
