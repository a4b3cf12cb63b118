"""What DVC would write by the listing of a folder stays in that folder, each file once."""

import hashlib
import json

import pytest

from stages.tracking.mlflow_sync.dvc_files import listing_problem

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
def test_a_path_that_leads_out_of_the_folder_is_named(path):
    assert describe(list_files("loss.png", path)) == f"names {path!r}, which is outside of it"


@pytest.mark.parametrize("paths", [("a.png", "a.png"), ("a.png", "A.PNG"), ("straße", "STRASSE")])
def test_a_file_that_is_named_twice_is_rejected(paths):
    assert describe(list_files(*paths)) == "names a file twice"


def test_a_file_below_another_file_is_rejected():
    assert describe(list_files("a", "A/b.png")) == "names 'A/b.png' below a file"


@pytest.mark.parametrize(
    "content", [None, 1, {}, "x", [1], [{"md5": MD5}], [{"relpath": "a"}], [{"md5": 1}]]
)
def test_what_is_no_list_of_files_is_rejected(content):
    assert describe(content) == "is no list of files"


def test_a_file_whose_md5_is_none_is_rejected():
    assert describe([{"md5": "../x", "relpath": "a"}]) == "has a file without an md5"


def test_another_listing_than_that_of_the_lock_file_is_rejected():
    assert listing_problem(b"[]", f"{MD5}.dir") == "is not that of dvc.lock"


def test_a_listing_of_files_in_folders_is_taken():
    assert describe(list_files("a.png", "b/a.png", "b/c/a.png")) is None
