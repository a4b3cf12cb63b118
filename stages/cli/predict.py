"""Predict the languages of surnames, given as arguments or in a file: `srn predict Schmidt`.

The model is the champion of champions.yaml, or else the best model of the workspace; with `--model
surname_rnn` this model of dvc.lock. `--walkthrough` prints log-probabilities in the format of the
walk-through, by default of surname_rnn and for the names of the walk-through.
"""

import csv
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from stages.cli.text import align
from stages.shared.command import show
from stages.shared.errors import InputError, clean_message
from stages.shared.files import replacing
from stages.surnames.archive import open_table
from stages.surnames.names import PUBLISHED_QUERIES, format_answer
from stages.tracking.load_model import load_champion, load_named
from stages.tracking.run_specs import check_dvc_listings
from stages.tracking.served_models.loader import Classifier

# {"name", "top": [{"language", "probability", "log_probability"}, …]}
_Answer = dict[str, Any]

_PUBLISHED = "surname_rnn"  # the model of the walk-through
_PER_LINE = 3  # languages per line, to stay within 100 columns
_CHUNK = 10_000  # rows of a file in memory
_BATCH = 1_000  # names per batch
_LONGEST = 1_000  # letters of a name
_RANKED = ("label", "probability")  # columns, the best first: label_1, probability_1, …


def main(
    names: list[str],
    model: str | None,
    top: int,
    as_log: bool,
    as_json: bool,
    from_mlflow: bool,
    as_published: bool = False,
    file: Path | None = None,
    out: Path | None = None,
    unsure: float = 0.0,
) -> None:
    """Print the most probable languages of each name, or write them for the names of a file.

    Raises:
        InputError: if there is no such model or file, or a name is too long or has no known letter.
    """
    if as_published:
        names = names or [*PUBLISHED_QUERIES]
        model = model or (None if from_mlflow else _PUBLISHED)
    if bool(names) == bool(file) or (names and out) or (file and (as_json or as_log)):
        raise InputError(
            "give either names or --file; --out goes with --file, --json, --log and --walkthrough "
            "with names"
        )
    check_dvc_listings()
    if model:
        loaded = load_named(Classifier, "surnames", model)
    else:
        loaded = load_champion(Classifier, "surnames", from_mlflow)
    if file:
        if loaded.note:
            show(loaded.note, file=sys.stderr)
        out = out or file.with_name(f"{file.stem}_predicted.csv")
        num_names, num_unsure = _predict_file(loaded.model, file, out, top, unsure)
        marked = f", {num_unsure:,} of them marked in the column note" if num_unsure else ""
        show(f"{loaded.origin}\n\n{num_names:,} names{marked} -> {out}")
        return
    try:
        answers: list[_Answer] = loaded.model.predict(names, top)
    except ValueError as error:
        raise InputError(str(error)) from None
    if loaded.note:
        show(loaded.note, file=sys.stderr)
    for answer in answers:
        if unsure:
            answer["unsure"] = answer["top"][0]["probability"] < unsure
    if as_json:
        shown = json.dumps(answers, ensure_ascii=False, indent=1)
        # JSON may have control characters for a terminal; as ASCII they are escaped
        is_plain = clean_message(shown, most_lines=sys.maxsize) == shown
        print(shown if is_plain else json.dumps(answers, indent=1))
    elif as_published:
        lines = [loaded.origin]
        for answer in answers:
            ranked = ((guess["log_probability"], guess["language"]) for guess in answer["top"])
            lines += ["", *format_answer(answer["name"], ranked)]
        show("\n".join(lines))
    else:
        score = "log_probability" if as_log else "probability"
        rows = []
        for answer in answers:
            guesses = [f"{guess['language']:10} {guess[score]:.2f}" for guess in answer["top"]]
            for start in range(0, len(guesses), _PER_LINE):
                name = answer["name"] if start == 0 else ""
                rows.append([name, "  ".join(guesses[start : start + _PER_LINE])])
            if answer.get("unsure"):
                rows[-1][1] += "  unsure"
        show(f"{loaded.origin}\n\n{align(rows)}")


def _predict_file(
    model: Classifier, file: Path, out: Path, top: int, unsure: float
) -> tuple[int, int]:
    """Write the rows of a table with their most probable labels, reading some thousands at a time.

    Returns:
        The number of names, and the number of marked ones.

    Raises:
        InputError: if the file is no table with a column `name`, or is also the output.
    """
    if not file.is_file():  # a pipe may never end
        raise InputError(f"{file} is not a regular file: name a CSV file")
    if out.exists() and out.samefile(file):
        raise InputError(f"{out} is the input: name another file with --out")
    top = min(top, len(model.languages))
    num_names = num_marked = 0
    try:
        with (
            file.open(encoding="utf-8-sig", newline="") as source,
            replacing(out) as new,
            new.open("w", encoding="utf-8", newline="") as target,
        ):
            rows, [column], header = open_table(source, file.name, "name")
            writer = csv.writer(target, lineterminator="\n")
            ranks = [f"{part}_{rank}" for rank in range(1, top + 1) for part in _RANKED]
            writer.writerow([*header, *ranks, "note"])
            filled = filter(None, rows)
            while chunk := [*islice(filled, _CHUNK)]:
                names = [row[column] if column < len(row) else "" for row in chunk]
                for row, answer in zip(chunk, _answer(model, names, top, unsure), strict=True):
                    cells = [*row, *[""] * (len(header) - len(row))]
                    writer.writerow([*cells, *answer])
                    num_marked += bool(answer[-1])
                num_names += len(chunk)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file} is not a CSV file in UTF-8 ({error}): save it as one") from None
    return num_names, num_marked


def _answer(model: Classifier, names: list[str], top: int, unsure: float) -> Iterator[list[str]]:
    """Yield the new cells of each row: labels and probabilities, the best first, and a note."""
    is_long = [len(name) > _LONGEST for name in names]
    shortened = ["" if long else name for name, long in zip(names, is_long, strict=True)]
    log_probabilities = model.classify(shortened, _BATCH)
    best = (log_probabilities / model.temperature).softmax(1).topk(top)
    for long, values, indices in zip(
        is_long, best.values.tolist(), best.indices.tolist(), strict=True
    ):
        if values[0] != values[0]:  # NaN
            note = f"more than {_LONGEST:,} letters" if long else "no known letter"
            yield [*[""] * 2 * top, note]
            continue
        cells = []
        for index, value in zip(indices, values, strict=True):
            cells += [model.languages[index], f"{value:.4f}"]
        yield [*cells, "unsure" if values[0] < unsure else ""]
