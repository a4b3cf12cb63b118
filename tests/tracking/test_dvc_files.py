"""What DVC's files may name: files of the repository by their md5s, each once."""

import hashlib
import json
from pathlib import Path

import pytest

from stages.shared.errors import InputError
from stages.shared.yaml_files import format_yaml
from stages.tracking.mlflow_sync.dvc_files import listing_problem, read_folders, read_stages

MD5 = "0" * 32


def describe(content: object) -> str | None:
    """What is said of a listing that has the md5 of the lock file."""
    listing = json.dumps(content).encode()
    return listing_problem(listing, f"{hashlib.md5(listing).hexdigest()}.dir")


def list_files(*paths: str) -> list[dict[str, str]]:
    return [{"md5": MD5, "relpath": path} for path in paths]


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../x.py",
        "a/../../x.py",
        "./x.py",
        "a//x.py",
        "a/",
        "",
        "..\\x.py",
        "C:\\x.py",
        "a\nb",
        "\x1b[31m",
        "\u202ex.py",
    ],
)
def test_a_path_outside_of_the_folder_is_rejected(path):
    assert describe(list_files("loss.png", path)) == f"names {path!r}, which is outside of it"


@pytest.mark.parametrize("paths", [("a.png", "a.png"), ("a.png", "A.PNG"), ("straße", "STRASSE")])
def test_a_file_that_is_named_twice_is_rejected(paths):
    assert describe(list_files(*paths)) == "names a file twice"


def test_a_file_below_another_file_is_rejected():
    assert describe(list_files("a", "A/b.png")) == "names 'A/b.png' below a file"


@pytest.mark.parametrize(
    "content", [None, 1, {}, "x", [1], [{"md5": MD5}], [{"relpath": "a"}], [{"md5": 1}]]
)
def test_content_that_is_not_a_list_of_files_is_rejected(content):
    assert describe(content) == "is not a list of files"


def test_a_file_with_an_invalid_md5_is_rejected():
    assert describe([{"md5": "../x", "relpath": "a"}]) == "has a file without an md5"


def test_another_listing_than_that_of_the_lock_file_is_rejected():
    assert listing_problem(b"[]", f"{MD5}.dir") == "is not that of dvc.lock"


def test_a_listing_of_files_in_folders_is_taken():
    assert describe(list_files("a.png", "b/a.png", "b/c/a.png")) is None


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A pipeline of one stage."""
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text("stages: {plot: {cmd: x}}", encoding="utf-8")
    Path("params.yaml").touch()
    return tmp_path


def read_lock(entry: object) -> object:
    Path("dvc.lock").write_text(format_yaml({"stages": {"plot": entry}}), encoding="utf-8")
    return read_stages("dvc.yaml", "params.yaml", "data/code/")


def test_a_lock_file_names_files_by_their_md5s(folder):
    out = {"path": "data/plot", "md5": f"{MD5}.dir", "nfiles": 2}

    stages = read_lock({"cmd": "x", "deps": [{"path": "a.csv", "md5": MD5}], "outs": [out]})

    assert stages["plot"].deps == {"a.csv": MD5}
    assert stages["plot"].outs == read_folders([Path("dvc.lock")]) == {"data/plot": f"{MD5}.dir"}


@pytest.mark.parametrize("kind", ["deps", "outs"])
@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ({"path": "data/x", "md5": "./../../../../data/series/x.dir"}, "md5: String should match"),
        ({"path": "data/x", "md5": f"{MD5[1:]}"}, "md5: String should match"),
        ({"path": "data/x", "md5": 5}, "md5: Input should be a valid string"),
        ({"path": "data/x"}, "md5: Field required"),
        ({"path": "/usr", "md5": f"{MD5}.dir"}, "plot names /usr, outside of the repository"),
        ({"path": "../x", "md5": MD5}, "plot names ../x, outside of the repository"),
        ({"path": "data/../../x", "md5": MD5}, "outside of the repository"),
        ({"path": ["x"], "md5": MD5}, "path: Input should be a valid string"),
        (5, "Input should be a valid dictionary"),
        (None, "Input should be a valid dictionary"),
    ],
)
def test_a_lock_file_that_names_anything_else_is_damaged(folder, kind, file, problem):
    with pytest.raises(
        InputError, match=r"^dvc\.lock is damaged .*git checkout dvc\.lock"
    ) as error:
        read_lock({"cmd": "x", kind: [file]})

    assert problem in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(InputError, match="is damaged"):
        read_folders([Path("dvc.lock")])


@pytest.mark.parametrize("entry", [5, None, [1], {"deps": None}, {"params": {"params.yaml": 5}}])
def test_an_entry_with_another_structure_is_damage(folder, entry):
    with pytest.raises(InputError, match=r"^dvc\.lock is damaged \(plot"):
        read_lock(entry)


@pytest.mark.parametrize("stages", ["[1]", "abc", "5"])
def test_stages_with_another_structure_are_damage(folder, stages):
    Path("dvc.lock").write_text(f"stages: {stages}", encoding="utf-8")

    with pytest.raises(InputError, match=r"^dvc\.lock is damaged"):
        read_stages("dvc.yaml", "params.yaml", "data/code/")


def test_a_dvc_file_with_paths_outside_of_the_repository_is_damaged(folder):
    Path("x.dvc").write_text("outs:\n- path: ../../x\n  md5: " + MD5 + ".dir", encoding="utf-8")

    with pytest.raises(InputError, match=r"^x\.dvc is damaged .*\.\./\.\./x, outside"):
        read_folders([Path("x.dvc")])
