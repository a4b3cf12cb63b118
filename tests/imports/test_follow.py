"""The lists of code: what a module runs, and so what has to change before its stage runs again."""

import json

import pytest

from stages.imports import follow
from stages.imports.follow import find_imports, read_requirements, read_sources
from stages.shared.errors import InputError

PROJECT = """\
[project]
dependencies = ["numpy==2.4.6", "PyYAML>=6,<7", "scikit_learn>=1.9,<2", "dvc>=3.67,<4"]
optional-dependencies.ray = ["ray>=2.60"]
"""
CODE = {
    "stages/__init__.py": "import os\n",
    "stages/forecasting/__init__.py": "",
    "stages/forecasting/train.py": "from stages.forecasting.windows import cut\n"
    + 'if __name__ == "__main__": 1',
    "stages/forecasting/windows.py": "def cut():\n    from ..shared import tables\n"
    + "    import numpy.fft\n",
    "stages/shared/__init__.py": "import yaml\n",
    "stages/shared/tables.py": "import stages.shared.errors as errors, ray\n",
    "stages/shared/errors.py": "from . import tables\n",  # a circle
    "stages/shared/unused.py": "import sklearn\n",
    "stages/models/rnn.py": "import numpy\n",
}
FILES = {"pyproject.toml": PROJECT, "dvc.yaml": "stages: {}", "params.yaml": ""}
TRAIN = [file for file in CODE if file not in ("stages/shared/unused.py", "stages/models/rnn.py")]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A project of a few files."""
    for name, text in (CODE | FILES).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def list_lists(place):
    """What is written now, by path."""
    follow.main("code")
    paths = (place / "code").rglob("*.json")
    return {path.relative_to(place / "code").as_posix(): path.read_text() for path in paths}


def test_a_list_names_each_file_that_a_module_imports_directly_or_not(place):
    lists = list_lists(place)

    assert list(json.loads(lists["forecasting/train.json"])["files"]) == sorted(TRAIN)


def test_every_module_that_is_run_or_loaded_by_name_has_a_list(place):
    assert list_lists(place).keys() == {"forecasting/train.json", "models/rnn.json"}


def test_a_list_has_the_requirements_of_the_packages_that_its_files_import(place):
    lists = list_lists(place)

    assert json.loads(lists["forecasting/train.json"])["packages"] == [
        "PyYAML>=6,<7",
        "numpy==2.4.6",
    ]


@pytest.mark.parametrize("file", TRAIN)
def test_an_edit_of_a_file_that_is_reached_changes_the_list(place, file):
    before = list_lists(place)
    with (place / file).open("a", encoding="utf-8") as code:
        code.write("\n# a comment\n")

    after = list_lists(place)

    assert after["forecasting/train.json"] != before["forecasting/train.json"]


def test_edits_elsewhere_change_nothing(place):
    before = list_lists(place)
    (place / "stages/shared/unused.py").write_text("import dvc\n", encoding="utf-8")
    (place / "stages/forecasting/new.py").write_text("import numpy\n", encoding="utf-8")
    path = place / "pyproject.toml"
    path.write_text(PROJECT.replace("dvc>=3.67", "dvc>=3.68").replace("1.9", "2"), "utf-8")

    assert list_lists(place) == before


def test_another_version_of_a_package_changes_the_lists_of_those_who_import_it(place):
    before = list_lists(place)
    (place / "pyproject.toml").write_text(PROJECT.replace(">=6", ">=6.1"), encoding="utf-8")

    after = list_lists(place)

    assert after["models/rnn.json"] == before["models/rnn.json"]
    assert after["forecasting/train.json"] != before["forecasting/train.json"]


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("import a.b as c, d", {"a.b", "d"}),
        ("from a.b import c, d", {"a.b.c", "a.b.d"}),
        ("from . import e", {"pack.sub.e"}),
        ("from .. import e", {"pack.e"}),
        ("from ..e import f", {"pack.e.f"}),
        ("def g():\n    if True:\n        import h", {"h"}),
    ],
)
def test_every_way_of_importing_is_seen(code, names):
    assert set(find_imports(code.encode(), "pack.sub")) == names


def test_a_requirement_is_found_by_the_name_of_the_import(place):
    requirements = read_requirements(place / "pyproject.toml")

    assert requirements["sklearn"] == "scikit_learn>=1.9,<2"
    assert "ray" not in requirements  # an extra


def test_a_file_that_is_not_python_is_a_one_line_error(place):
    (place / "stages/forecasting/windows.py").write_text("def cut(:\n", encoding="utf-8")

    with pytest.raises(
        InputError,
        match=r"^stages/forecasting/windows\.py is not valid Python .*line 1.*correct it$",
    ):
        read_sources(follow.CODE)
