"""Who writes a file reads it back as it was; what is no such file is rejected in one line."""

import os
from datetime import UTC, datetime

import pytest

from stages.shared.errors import InputError
from stages.shared.files import open_lock, read_file, replacing
from stages.shared.json_files import read_json, write_json
from stages.shared.model_config import read_times, write_times
from stages.shared.tables import Curves, read_curves, read_table, write_curves
from stages.shared.yaml_files import read_yaml
from tests.shell import file_size_limited


def test_curves_are_read_as_they_were_written(tmp_path):
    curves = Curves([1, 3], [0.1, 1 / 3], [None, 0.25], [1e-30, None], [None, None])

    write_curves(tmp_path / "curves.csv", curves)

    assert read_curves(tmp_path / "curves.csv") == curves
    lines = (tmp_path / "curves.csv").read_bytes().splitlines(keepends=True)
    assert lines[:2] == [b"iteration,loss,mean_loss,gradient_norm\n", b"1,0.1,,1e-30\n"]


def test_only_a_validation_that_was_measured_is_a_column(tmp_path):
    curves = Curves([1, 2], [0.1, 0.2], [None, None], [None, None], [None, 0.75])

    write_curves(tmp_path / "curves.csv", curves)

    assert read_curves(tmp_path / "curves.csv") == curves
    titles, *_, last = (tmp_path / "curves.csv").read_text(encoding="utf-8").splitlines()
    assert titles.endswith(",validation_loss") and last.endswith(",0.75")


def test_times_are_in_order(tmp_path):
    started = datetime(2026, 1, 2, tzinfo=UTC)

    write_times(tmp_path, started, "a processor, AVX2")

    times = read_times(tmp_path)
    assert times.started == started < times.ended
    assert times.processor == "a processor, AVX2"


def test_json_keeps_accents_and_ends_with_a_line(tmp_path):
    write_json(tmp_path / "x.json", {"name": "Ślusàrski"})

    assert read_json(tmp_path / "x.json") == {"name": "Ślusàrski"}
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == '{\n "name": "Ślusàrski"\n}\n'


READERS = [read_file, read_json, read_yaml, read_table]


@pytest.mark.parametrize("read", READERS)
def test_endless_files_are_not_opened(read, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()

    for name in ("pipe", "link", "folder"):
        with pytest.raises(InputError, match=f"{name} is not a regular file"):
            read(tmp_path / name)


@pytest.mark.parametrize("read", READERS)
def test_a_file_of_gigabytes_is_not_read_to_its_end(read, tmp_path):
    path = tmp_path / "sparse"
    path.touch()
    os.truncate(path, 200 * 10**9)

    with pytest.raises(InputError, match="sparse has more than 67,108,864 bytes"):
        read(path)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a": ' * 100_000, "9" * 5_000])
def test_invalid_json_is_a_one_line_error(text, tmp_path):
    (tmp_path / "x.json").write_text(text, encoding="utf-8")

    with pytest.raises(InputError, match=r"^.*x\.json is damaged .*: delete it"):
        read_json(tmp_path / "x.json")


def test_a_link_in_place_of_a_file_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "elsewhere").write_text("theirs", encoding="utf-8")
    (tmp_path / "link").symlink_to("elsewhere")

    with replacing(tmp_path / "link") as new:
        new.write_text("ours", encoding="utf-8")

    assert (tmp_path / "elsewhere").read_text(encoding="utf-8") == "theirs"
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "link").read_text(encoding="utf-8") == "ours"


def test_a_full_disk_while_a_file_is_replaced_leaves_the_old_file(tmp_path):
    path = tmp_path / "champions.yaml"
    path.write_text("old", encoding="utf-8")

    with file_size_limited(10), pytest.raises(OSError) as raised, replacing(path) as new:
        new.write_text("new " * 10, encoding="utf-8")

    assert raised.value.filename == str(path)
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "folder"])
def test_a_lock_that_is_not_a_plain_file_is_reported_and_not_opened(tmp_path, kind):
    lock, theirs = tmp_path / "repro.lock", tmp_path / "theirs"
    if kind == "link":
        theirs.write_text("theirs", encoding="utf-8")
    if kind.endswith("link"):
        lock.symlink_to(theirs)
    elif kind == "pipe":
        os.mkfifo(lock)
    else:
        lock.mkdir()

    with pytest.raises(InputError, match="is not a plain file: delete it"):
        open_lock(lock)

    assert theirs.exists() == (kind == "link")
    assert kind != "link" or theirs.read_text(encoding="utf-8") == "theirs"
