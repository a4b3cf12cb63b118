import functools
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stages.shared.errors import InputError
from stages.shared.yaml_files import format_yaml
from stages.surnames import archive
from stages.surnames.download import main
from tests.surnames.test_archive import LABELLED, NAMES, SAMPLE, zip_names

RAW = ["names.csv", "source.json"]
PARAMS = {
    "addresses": [],
    "archive": "any",
    "connect_seconds": 1.0,
    "read_seconds": 1.0,
    "total_seconds": 3.0,
    "attempts": 2,
    "backoff_seconds": 0.0,
    "sample_fallback": True,
}


@pytest.fixture
def fetch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(**changes):
        (tmp_path / "params.yaml").write_text(
            format_yaml({"download_surnames": {**PARAMS, **changes}})
        )
        main(str(SAMPLE), "data/raw")
        return archive.read_raw(Path("data/raw"))[1].data

    return run


def held():
    return archive.read_raw(Path("data/raw"))[0]


class Answers(BaseHTTPRequestHandler):
    """Answers with the next of a list of (status, announced size, body)."""

    def __init__(self, answers, *args):
        self.answers = answers
        super().__init__(*args)

    def do_GET(self):
        status, size, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.send_response(status)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def serve():
    servers = []

    def start(*answers):
        handler = functools.partial(Answers, list(answers))
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/data.zip"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def good():
    body = zip_names(NAMES)
    return 200, len(body), body


def test_names_come_over_http(fetch, serve):
    assert fetch(addresses=[serve(good())]) == "custom (data.zip)"

    assert held() == LABELLED


def test_a_failed_attempt_is_repeated(fetch, serve):
    assert fetch(addresses=[serve((503, 0, b""), good())]) == "custom (data.zip)"


def test_an_interrupted_download_is_repeated_and_leaves_nothing(fetch, serve):
    status, size, body = good()

    assert fetch(addresses=[serve((status, size, body[:100]), good())]) == "custom (data.zip)"

    assert sorted(path.name for path in Path("data/raw").iterdir()) == RAW


def test_the_addresses_are_tried_in_order(fetch, serve, tmp_path):
    copy = tmp_path / "copy.zip"
    copy.write_bytes(zip_names(NAMES))

    addresses = ["https://127.0.0.1:9/", serve((404, 0, b"")), f"file://{copy}"]

    assert fetch(addresses=addresses) == "custom (copy.zip)"
    assert fetch(addresses=[str(copy)]) == "custom (copy.zip)"


def test_a_table_of_names_and_labels_is_accepted_like_a_zip(fetch, tmp_path):
    table = tmp_path / "names.csv"
    table.write_text("label,name\nElvish,Arwen\nDwarvish,Gimli\nElvish,Legolas\n", "utf-8")

    assert fetch(addresses=[str(table)]) == "custom (names.csv)"

    assert held() == {"Dwarvish": ["Gimli"], "Elvish": ["Arwen", "Legolas"]}


def test_without_any_address_the_sample_is_used_and_reported(fetch, capfd):
    assert fetch(addresses=["https://127.0.0.1:9/"]) == "sample"

    warning = capfd.readouterr().err
    assert "WARNING" in warning and "dvc repro --force --single-item download_surnames" in warning
    assert len(held()) == 18


def test_a_param_forbids_the_sample(fetch):
    with pytest.raises(InputError, match="sample_fallback"):
        fetch(sample_fallback=False)

    assert not Path("data/raw").exists()


def test_a_local_copy_is_used_before_the_network(fetch, serve, tmp_path, monkeypatch):
    copy = tmp_path / "copy.zip"
    copy.write_bytes(zip_names({"Cc.txt": b"Cid\nCarl\nCleo"}))
    monkeypatch.setenv("SURNAMES_ZIP", str(copy))

    fetch(addresses=[serve(good())])

    assert list(held()) == ["Cc"]


def test_a_missing_copy_is_reported(fetch, monkeypatch):
    monkeypatch.setenv("SURNAMES_ZIP", "/nowhere/data.zip")

    with pytest.raises(InputError, match=r"SURNAMES_ZIP=/nowhere/data.zip: No such file"):
        fetch()


def test_official_files_are_recognised_and_not_fetched_twice(fetch, monkeypatch, tmp_path):
    digests = {file: hashlib.sha256(content).hexdigest() for file, content in NAMES.items()}
    monkeypatch.setattr(archive, "OFFICIAL_SHA256", digests)
    copy = tmp_path / "copy.zip"
    copy.write_bytes(zip_names(NAMES))

    assert fetch(archive="official", addresses=[str(copy)]) == "official"
    copy.unlink()
    assert fetch(archive="official", addresses=[str(copy)], sample_fallback=False) == "official"
    assert held() == LABELLED


def test_official_names_that_were_edited_are_fetched_again(fetch, monkeypatch, tmp_path):
    digests = {file: hashlib.sha256(content).hexdigest() for file, content in NAMES.items()}
    monkeypatch.setattr(archive, "OFFICIAL_SHA256", digests)
    copy = tmp_path / "copy.zip"
    copy.write_bytes(zip_names(NAMES))
    fetch(archive="official", addresses=[str(copy)])
    Path("data/raw/names.csv").write_text("name,label\nMallory,Aa\n", encoding="utf-8")

    assert fetch(archive="official", addresses=[str(copy)]) == "official"

    assert held() == LABELLED


def test_another_archive_is_rejected_with_its_files(fetch, tmp_path):
    copy = tmp_path / "copy.zip"
    copy.write_bytes(zip_names(NAMES))

    with pytest.raises(InputError, match=r"Aa.txt, Arabic.txt, Bb.txt.*archive: any"):
        fetch(archive="official", addresses=[str(copy)])

    assert not Path("data/raw").exists()


def test_a_bad_zip_is_rejected_and_the_old_names_stay(fetch, tmp_path):
    copy = tmp_path / "copy.zip"
    copy.write_bytes(zip_names(NAMES))
    fetch(addresses=[str(copy)])
    copy.write_bytes(b"<html>Log in</html>")

    with pytest.raises(InputError, match="not a complete zip"):
        fetch(addresses=[str(copy)])

    assert held() == LABELLED
    assert sorted(path.name for path in Path("data/raw").iterdir()) == RAW
