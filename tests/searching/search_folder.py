"""A folder in which searches run: tiny bases, the sample of surnames and two series."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from stages.forecasting.observed import ObservedParams, read_csv_series
from stages.forecasting.preprocess import split_series
from stages.forecasting.series import ObservedSeries, read_series, write_series
from stages.searching import search_classifiers, search_forecasters
from stages.shared.yaml_files import format_yaml, parse_yaml
from stages.surnames.archive import list_names, read_names_folder
from stages.surnames.names import Corpus, read_corpus, write_corpus, write_vocabulary
from stages.surnames.preprocess import SplitParams, preprocess
from tests.forecasting.entries import series_of
from tests.pipeline import set_param, shrink_params
from tests.shell import PROJECT

SURNAMES = Path("data/preprocessed/surnames")
WINDOWS = Path("data/preprocessed/series/period_40.npz")  # its end is held out
SUNSPOTS = Path("data/preprocessed/series/sunspots.npz")
OUT = Path("data/searched/a_task")
SEARCHES = {
    "search_classifiers": {
        "base": "surname_gru",
        "architecture": "pooled_classifier",
        "recipes": 2,
        "seed": 0,
        "seeds": [1, 0],
        "score": "macro_f1",
        "space": {"rate": {"log": [0.003, 0.3]}, "network.dropout": {"choices": [0.1, 0.2]}},
    },
    "search_forecasters": {
        "base": "windowed_lstm_fast",
        "architecture": "window_forecaster",
        "series": "period_40",
        "recipes": 2,
        "seed": 0,
        "seeds": [0],
        "score": "mse_500",
        "space": {"rate": {"uniform": [0.003, 0.3]}},
    },
    "search_sunspots": {
        "base": "sunspots_echo_state",
        "architecture": "echo_state_forecaster",
        "series": "sunspots",
        "recipes": 3,
        "seed": 0,
        "seeds": [0],
        "score": "mase_11",
        "space": {"fit_readout.penalty": {"log": [0.001, 1.0]}},
    },
}


def make_search_folder(folder: Path) -> Path:
    """Make the folder."""
    params = parse_yaml((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    shrink_params(params)
    (folder / "searches").mkdir(parents=True)
    write_yaml(folder / "params.yaml", params)
    write_yaml(folder / "searches/params.yaml", SEARCHES)
    shutil.copy(PROJECT / "pyproject.toml", folder)
    (folder / SURNAMES).mkdir(parents=True)
    (folder / WINDOWS).parent.mkdir()
    split = SplitParams.model_validate(params["preprocess_surnames"])
    names = list_names(read_names_folder(PROJECT / "data/sample"))
    corpus, vocabulary, _ = preprocess(names, "sample", split)
    write_corpus(folder / SURNAMES, corpus)
    write_vocabulary(folder / SURNAMES, vocabulary)
    write_series(folder / WINDOWS, series_of("windowed_lstm_fast"))
    observed = ObservedParams.model_validate(params["observed_series"]["sunspots"])
    table = read_csv_series(PROJECT / observed.path, observed, observed.season)
    write_series(folder / SUNSPOTS, split_series("sunspots", observed, table))
    return folder


def write_yaml(path: Path, content: Any) -> None:
    """Write params."""
    path.write_text(format_yaml(content), encoding="utf-8")


def change_search(section: str, **changes: Any) -> None:
    """Change a section of searches/params.yaml in the working folder."""
    write_yaml(Path("searches/params.yaml"), SEARCHES | {section: SEARCHES[section] | changes})


def search_names() -> dict[str, bytes]:
    """Search for a classifier in the working folder; what the search wrote, by name."""
    search_classifiers.main("search_classifiers", str(SURNAMES), str(OUT))
    return read_outs()


def search_forecasts() -> dict[str, bytes]:
    """Search for a forecaster likewise."""
    search_forecasters.main("search_forecasters", str(WINDOWS), str(OUT))
    return read_outs()


def search_sunspots() -> dict[str, bytes]:
    """Search for another forecaster, of a series from a file, likewise."""
    search_forecasters.main("search_sunspots", str(SUNSPOTS), str(OUT))
    return read_outs()


def read_outs() -> dict[str, bytes]:
    """What lies where a search writes."""
    return {path.name: path.read_bytes() for path in sorted(OUT.iterdir())}


def list_kept() -> list[Path]:
    """The finished trials."""
    return sorted(Path(".dvc/tmp/trials").glob("*.json"))


def forget_trials() -> None:
    """Have everything trained once more."""
    shutil.rmtree(".dvc/tmp/trials")


def spoil_test_names() -> None:
    """Put other letters and languages into the test split, and leave all others."""
    corpus = read_corpus(SURNAMES)
    is_test = corpus.splits == "test"
    letters = np.where(np.repeat(is_test, corpus.lengths), 0, corpus.letters)
    languages = np.where(is_test, 0, corpus.languages)
    write_corpus(SURNAMES, Corpus(letters, corpus.lengths, languages, corpus.splits))


def spoil_test_runs() -> None:
    """Draw other test phases, and put other samples into the held-out end of the series."""
    set_param(Path(), "evaluate_forecasters.seed", 99)
    series = read_series(WINDOWS)
    series.windows.test[:] = 0.5
    write_series(WINDOWS, series)


def spoil_test_years() -> None:
    """Put other samples into the test part of the sunspots."""
    series = read_series(SUNSPOTS)
    assert isinstance(series, ObservedSeries)
    series.samples[series.num_train + series.num_validation :] = 1000.0
    write_series(SUNSPOTS, series)
