"""The best recipe goes into params.yaml, of which nothing else changes."""

import difflib
from pathlib import Path

import pytest

from stages.cli import adopt
from stages.searching.outcome import Best, write_best
from stages.shared.errors import InputError
from stages.shared.yaml_files import format_yaml, parse_yaml
from tests.shell import PROJECT

PARAMS = Path("params.yaml")
OUT = Path("data/searched/classifiers")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder: the real params.yaml, which cites no search, and what a search found."""
    params = (PROJECT / "params.yaml").read_text(encoding="utf-8")
    uncited = params.partition("\nsearched:")[0]
    (tmp_path / "params.yaml").write_text(uncited, encoding="utf-8")
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "searches").mkdir()
    searches = format_yaml({"search_classifiers": {}, "search_forecasters": {}, "search_gru": {}})
    (tmp_path / "searches/params.yaml").write_text(searches, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    find({"rate": 0.0107, "momentum": True, "network.dropout": 0.25})
    return tmp_path


def find(changes, out=OUT):
    """Let a search have found a recipe."""
    out.mkdir(parents=True, exist_ok=True)
    entry = read_entry("surname_gru")
    del entry["seed"]
    for path, value in changes.items():
        section, _, last = path.rpartition(".")
        (entry[section] if section else entry)[last] = value
    best = Best("classifiers", "surname_gru", "official", 3, changes, entry, "macro_f1", 0.5, 0.4)
    write_best(out, best)


def read_entry(name):
    return parse_yaml(PARAMS.read_text(encoding="utf-8"))["classifiers"][name]


def list_differences(before, after):
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return [line for line in lines if line[:2] in {"- ", "+ "}]


def test_only_the_values_of_the_recipe_change_and_the_search_is_cited(folder):
    before = PARAMS.read_text(encoding="utf-8")

    adopt.main("classifiers", None)

    assert list_differences(before, PARAMS.read_text(encoding="utf-8")) == [
        "-       dropout: 0.122",
        "+       dropout: 0.25",
        "-     rate: 0.0101",
        "+     rate: 0.0107",
        "+     momentum: true",
        "+ ",
        "+ searched:  # entry: the search that found its recipe",
        "+   surname_gru: classifiers",
    ]


def test_the_entry_is_what_the_search_found_but_for_its_seed(folder):
    seed = read_entry("surname_gru")["seed"]

    adopt.main("classifiers", "surname_gru")

    entry = read_entry("surname_gru")
    assert (entry["rate"], entry["momentum"], entry["network"]["dropout"]) == (0.0107, True, 0.25)
    assert entry["seed"] == seed


def test_a_second_search_is_cited_beside_the_first(folder):
    text = PARAMS.read_text(encoding="utf-8")
    PARAMS.write_text(f"{text}\nsearched:\n  noisy_rnn: forecasters\n", encoding="utf-8")

    adopt.main("classifiers", None)

    cited = parse_yaml(PARAMS.read_text(encoding="utf-8"))["searched"]
    assert cited == {"surname_gru": "classifiers", "noisy_rnn": "forecasters"}


def test_adopting_twice_changes_nothing(folder, capsys):
    adopt.main("classifiers", None)
    before = PARAMS.read_text(encoding="utf-8")

    adopt.main("classifiers", None)

    assert PARAMS.read_text(encoding="utf-8") == before
    assert "classifiers.surname_gru was that already" in capsys.readouterr().out


@pytest.mark.parametrize("path", ["rate", "network.dropout", "iterations"])
def test_check_reports_each_value_that_differs_from_the_search(folder, path):
    adopt.main("classifiers", None)
    adopt.check()
    text = PARAMS.read_text(encoding="utf-8")
    PARAMS.write_text(
        adopt.set_value(text, f"classifiers.surname_gru.{path}".split("."), 7), "utf-8"
    )

    with pytest.raises(
        InputError, match=rf"classifiers\.surname_gru\.{path} is 7, the search found"
    ):
        adopt.check()


def test_check_reports_a_search_that_has_found_something_else_since(folder):
    adopt.main("classifiers", None)
    find({"rate": 0.02})

    with pytest.raises(InputError, match=r"rate is 0\.0107, the search found 0\.02"):
        adopt.check()


def test_an_entry_with_more_than_the_recipe_is_left_alone(folder):
    text = PARAMS.read_text(encoding="utf-8")
    text = adopt.set_value(text, ["classifiers", "surname_gru", "mean_every"], 7)
    PARAMS.write_text(text, encoding="utf-8")

    with pytest.raises(InputError, match=r"surname_gru\.mean_every is 7, the recipe has none"):
        adopt.main("classifiers", None)

    assert PARAMS.read_text(encoding="utf-8") == text


def test_the_section_of_the_entry_is_that_of_the_base_of_the_search(folder, capsys):
    find({"rate": 0.03}, Path("data/searched/gru"))

    adopt.main("gru", None)

    assert read_entry("surname_gru")["rate"] == 0.03
    assert "classifiers.surname_gru.rate: 0.0101 -> 0.03" in capsys.readouterr().out
    assert parse_yaml(PARAMS.read_text(encoding="utf-8"))["searched"] == {"surname_gru": "gru"}
    adopt.check()


def test_a_name_of_no_search_is_rejected_with_those_there_are(folder):
    with pytest.raises(
        InputError, match="has no search_rnn: name one of classifiers, forecasters, gru"
    ):
        adopt.main("rnn", None)


def test_a_search_without_local_results_is_reported(folder):
    with pytest.raises(InputError, match=r"data/searched/forecasters/best\.yaml is missing: run"):
        adopt.main("forecasters", None)


@pytest.mark.parametrize("text", ["", "[1]", "5", "a: [", "entry: 5", "section: 5", "base: [x]"])
def test_a_result_with_another_structure_is_a_one_line_error(folder, text):
    path = OUT / "best.yaml"
    known = "" if text in ("", "[1]", "5") else path.read_text(encoding="utf-8")
    changed = [line for line in known.splitlines() if not line.startswith(text.split(":")[0])]
    path.write_text("\n".join([text, *changed]), encoding="utf-8")

    with pytest.raises(InputError, match=r"^data/searched/classifiers/best\.yaml.*$"):
        adopt.main("classifiers", None)


@pytest.mark.parametrize(
    ("before", "path", "value", "after"),
    [
        ("a: 1  # one\nb: 2\n", "a", 3, "a: 3  # one\nb: 2\n"),
        ("a: {b: 1, c: [1, 2]}  # x\n", "a.b", None, "a: {b: null, c: [1, 2]}  # x\n"),
        ("a: {b: 1, c: 2}\n", "a.d", 0.5, "a: {b: 1, d: 0.5, c: 2}\n"),
        ("a:\n  b: 1\n  c: 2  # two\n", "a.d", "x", "a:\n  b: 1\n  d: x\n  c: 2  # two\n"),
        ("ä: 1\nb: 2\n", "b", 1e-05, "ä: 1\nb: 1e-05\n"),
    ],
)
def test_a_value_is_set_where_it_stands(before, path, value, after):
    assert adopt.set_value(before, path.split("."), value) == after


def test_a_missing_mapping_is_not_created():
    with pytest.raises(InputError, match=r"params\.yaml has no a\.c: add it"):
        adopt.set_value("a: {b: 1}\n", ["a", "c", "d"], 1)
