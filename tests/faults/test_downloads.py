"""What may befall the surnames: hostile zips, no network, and a kill at any moment."""

import bz2
import io
import os
import random
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from stages.shared.errors import InputError
from stages.surnames.archive import parse_names, read_archive, read_raw, write_raw
from tests.cli.test_repro import write_zip
from tests.pipeline import KEPT, copy_template, make_clone, read_outs, set_param
from tests.shell import PROJECT, run
from tests.surnames.test_archive import LABELLED, NAMES, zip_names

METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


def zip_members(members, method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as opened:
        for name, content in members:
            opened.writestr(name, content)
    return buffer.getvalue()


def find_problem(archive):
    """The message about a zip that is rejected."""
    with pytest.raises(InputError) as error:
        read_archive(archive, "data.zip")
    message = str(error.value)
    assert "\n" not in message and len(message) < 300
    return message


def test_a_zip_that_would_fill_the_memory_is_rejected_first():
    members = [(f"data/names/L{number}.txt", bytes(2**20)) for number in range(100)]

    assert "16777216 bytes of names" in find_problem(zip_members(members))


def test_a_zip_of_too_many_languages_is_rejected():
    members = [(f"data/names/L{number}.txt", b"Ann") for number in range(300)]

    assert "more than 256 languages" in find_problem(zip_members(members))


@pytest.mark.parametrize("name", ["x" * 300, "..", "A\nB", "-rf", "C:\\x", "A\x1b[2J"])
def test_a_member_that_is_not_a_file_of_a_language_is_rejected(name):
    assert "rename that file" in find_problem(zip_members([(f"data/names/{name}.txt", b"Ann")]))


def test_languages_of_any_script_and_with_blanks_are_read():
    names = {"Català.txt": b"Pau", "Scots Gaelic (old).txt": b"Ian", "日本語.txt": b"Sato"}

    assert read_archive(zip_names(names), "data.zip") == names


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("other", ["data/names/Aa.txt", "more/names/Aa.txt"])
def test_two_members_of_one_name_are_rejected(other):
    archive = zip_members([("data/names/Aa.txt", b"Abe"), (other, b"Bob")])

    assert "holds Aa.txt twice" in find_problem(archive)


def test_a_damaged_bzip2_is_rejected():
    content = b"Abe\nAda\nAlf\n" * 500
    archive = bytearray(zip_members([("data/names/Aa.txt", content)], zipfile.ZIP_BZIP2))
    archive[archive.index(bz2.compress(content)[:4]) + 20] ^= 0xFF

    assert "not a complete zip" in find_problem(bytes(archive))


@pytest.mark.parametrize("method", METHODS)
def test_a_zip_with_any_bytes_changed_is_read_or_rejected_in_one_line(method):
    whole = zip_members([(f"data/names/{file}", NAMES[file] * 40) for file in NAMES], method)
    generator = random.Random(0)

    for _ in range(1500):
        damaged = bytearray(whole)
        for _ in range(generator.choice([1, 2, 5])):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        try:
            read_archive(bytes(damaged), "data.zip")
        except InputError as error:
            assert "\n" not in str(error)


def test_an_endless_file_is_not_read_to_its_end(tmp_path):
    (tmp_path / "params.yaml").write_text((PROJECT / "params.yaml").read_text("utf-8"), "utf-8")

    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    (tmp_path / "sparse.csv").touch()
    os.truncate(tmp_path / "sparse.csv", 200 * 10**9)

    for name in ("/dev/zero", str(tmp_path / "pipe"), str(tmp_path / "link")):
        said = fetch(tmp_path, SURNAMES_ZIP=name)
        assert said == f"error: SURNAMES_ZIP={name}: no regular file: name a zip or CSV file\n"
    said = fetch(tmp_path, SURNAMES_ZIP=str(tmp_path / "sparse.csv"))
    assert said.endswith("/sparse.csv is larger than 67108864 bytes: rejected\n")
    said = fetch(tmp_path, SURNAMES_ZIP="/proc/self/mem")
    assert said.count("\n") == 1 and said.startswith("error: SURNAMES_ZIP=/proc/self/mem: ")


def test_a_table_of_millions_of_names_is_not_read_to_its_end():
    table = b"name,label\n" + b"a,b\n" * 2_000_000

    with pytest.raises(InputError, match="has more than 1,048,576 names"):
        parse_names(table, "names.csv")


def test_a_zip_of_millions_of_names_is_not_read_to_its_end():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for language in ("A", "B", "C"):
            archive.writestr(f"data/names/{language}.txt", b"a\n" * 500_000)

    with pytest.raises(InputError, match="has more than 1,048,576 names"):
        read_archive(content.getvalue(), "data.zip")


def fetch(folder, **environment):
    """Run the stage by hand; returns what it printed."""
    command = f"python {PROJECT}/stages/run.py surnames.download data/sample data/raw"
    return run(folder, command, check=False, **environment)


NEW = {"New": ["Nan"], "Other": ["Olaf"]}
POSSIBLE = [(LABELLED, "old.zip"), (NEW, "new.zip"), (None, "rejected")]


def kill_write(folder, event, count):
    """Replace raw names in a process that sends itself SIGKILL just before a file operation.

    Args:
        folder: data/raw.
        event: kind of the operation, as Python's audit hooks name it.
        count: how many of its kind are let pass.

    Returns:
        Whether it got as far as that.
    """
    code = f"""
import itertools, os, signal, sys
from pathlib import Path
from stages.surnames.archive import write_raw
seen = itertools.count()
def hook(event, arguments):
    if event == {event!r} and next(seen) == {count}:
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
write_raw(Path({str(folder)!r}), {NEW!r}, "custom", "new.zip")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT)
    assert done.returncode in {0, -9}
    return done.returncode == -9


@pytest.mark.parametrize("event", ["open", "os.rename"])
def test_a_kill_at_any_moment_leaves_old_names_or_new_names_or_a_rejected_file(tmp_path, event):
    kept = tmp_path / "data/raw"
    left = []
    while True:
        write_raw(kept, LABELLED, "custom", "old.zip")
        if not kill_write(kept, event, len(left)):
            break
        try:
            names, source = read_raw(kept)
            left.append((names, source.archive))
        except InputError:
            left.append((None, "rejected"))

    assert all(one in POSSIBLE for one in left)
    assert (event == "os.rename") == (POSSIBLE[2] in left)
    write_raw(kept, NEW, "custom", "new.zip")
    assert sorted(path.name for path in kept.iterdir()) == ["names.csv", "source.json"]


def test_a_half_written_pair_is_fetched_again_after_a_kill(tmp_path):
    kept, copy = tmp_path / "data/raw", tmp_path / "copy.zip"
    copy.write_bytes(zip_names(NAMES))
    shutil.copy(PROJECT / "params.yaml", tmp_path)
    set_param(tmp_path, "download_surnames.archive", "any")
    write_raw(kept, NEW, "custom", "old.zip")
    assert kill_write(kept, "os.rename", 1)

    fetch(tmp_path, SURNAMES_ZIP=str(copy))

    assert read_raw(kept)[0] == LABELLED


@pytest.fixture(scope="module")
def taken(tmp_path_factory):
    """A clone whose surnames came from a zip that is gone, with no network."""
    clone = copy_template(tmp_path_factory.mktemp("taken") / "clone")
    set_param(clone, "download_surnames.archive", "any")
    copy = write_zip(clone.parent / "copy.zip")
    run(clone, "dvc repro --single-item download_surnames", SURNAMES_ZIP=str(copy))
    copy.unlink()
    return clone


def remove(raw):
    shutil.rmtree(raw)


def take_sample(raw):
    write_raw(raw, LABELLED, "sample", "sample")


def damage(raw):
    path = raw / "names.csv"
    path.unlink()  # it may be a link into the cache
    path.write_text("name,label\nMallory,Elvish\n", encoding="utf-8")


def read_raw_outs(clone):
    """Md5 of both files in dvc.lock."""
    return {path: md5 for path, md5 in read_outs(clone).items() if path.startswith("data/raw/")}


@pytest.mark.slow
@pytest.mark.parametrize("fault", [remove, take_sample, damage])
def test_without_network_what_dvc_lock_names_is_taken_from_the_cache(taken, fault):
    recorded = read_raw_outs(taken)
    fault(taken / "data/raw")

    said = run(taken, "dvc repro --single-item download_surnames")

    assert "taken from DVC's cache" in said
    assert read_raw_outs(taken) == recorded
    assert read_raw(taken / "data/raw")[1].data == "custom (copy.zip)"
    assert "data/raw" not in run(taken, "dvc status download_surnames")


@pytest.mark.slow
def test_a_cached_file_with_a_flipped_bit_is_not_used(taken, tmp_path):
    clone = Path(shutil.copytree(taken, tmp_path / "clone", symlinks=True))
    names = (clone / "data/raw/names.csv").read_bytes()
    shutil.rmtree(clone / "data/raw")
    for path in (clone / ".dvc/cache/files/md5").rglob("*"):
        if path.is_file() and path.read_bytes() == names:
            path.chmod(0o644)
            path.write_bytes(bytes([names[0] ^ 1]) + names[1:])
            path.chmod(0o444)  # DVC trusts what is protected

    said = run(clone, "dvc repro --single-item download_surnames")

    assert "WARNING: the small sample" in said


@pytest.mark.slow
def test_the_sample_is_reported_also_if_dvc_lock_names_it(tmp_path):
    clone = copy_template(tmp_path / "clone")
    shutil.rmtree(clone / "data/raw")
    set_param(clone, "download_surnames.archive", "any")

    said = run(clone, "dvc repro --single-item download_surnames")

    assert "WARNING: the small sample" in said


@pytest.mark.slow
def test_a_lock_that_does_not_name_the_surnames_yet_leads_to_the_sample(tmp_path):
    clone = make_clone(tmp_path / "clone", KEPT)
    run(clone, "dvc repro generate_series")

    run(clone, "dvc repro download_surnames")

    assert read_raw(clone / "data/raw")[1].data == "sample"
