"""With a DVC whose undocumented parts have changed, commands do without them."""

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from dvc import rwlock
from dvc.dependency import param
from dvc.dvcfile import Lockfile
from dvc.repo import Repo

from stages.cli import dvc_internals
from stages.cli.dvc_internals import params_read_once, warn_of_another_dvc, write_entries_alone
from stages.cli.graph import Pipeline
from stages.cli.pull import fetch_listings
from stages.tracking.run_specs import read_dvc_folders
from tests.pipeline import set_param
from tests.shell import call, run
from tests.workspace import add_remote

CHANGES = ("missing", "called_otherwise")


def change_part(patch, part, change):
    """Take a part away, or let it have one more argument."""
    module, _, name = part.partition(":")
    if change == "missing":
        patch.delattr(f"{module}.{name}")
        return

    def called_otherwise(*arguments, another=None):
        raise AssertionError(part)

    called_otherwise.__qualname__ = name
    patch.setattr(f"{module}.{name}", called_otherwise)


def test_this_dvc_is_as_expected(capsys):
    warn_of_another_dvc()

    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("part", dvc_internals._PARTS)
def test_a_changed_part_of_dvc_is_reported_with_the_version_to_install(
    monkeypatch, capsys, part, change
):
    change_part(monkeypatch, part, change)

    warn_of_another_dvc()

    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("WARNING: DVC 3.") and part.replace(":", ".") in line
    assert line.endswith("pip install 'dvc>=3.67,<3.68'") and len(line) <= 300


def test_a_missing_module_of_dvc_gives_no_traceback(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "dvc.dependency.param", None)

    warn_of_another_dvc()

    assert "dvc.dependency.param.load_path" in capsys.readouterr().err


def test_params_are_read_once_and_dvc_is_left_as_it_was():
    load = param.load_path

    with params_read_once():
        assert param.load_path is not load

    assert param.load_path is load


@pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")  # DVC's own
@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_is_seen_without_reading_params_once(workspace, monkeypatch, change):
    set_param(workspace, "classifiers.surname_gru.rate", 0.02)
    run(workspace, "dvc repro --quiet --single-item follow_imports")
    expected = Pipeline()
    changed = expected.find_changed(expected.graph)
    load = param.load_path
    if change == "missing":  # and DVC reads params by something else
        monkeypatch.setattr(param, "read_param_file", make_reader(load))
        monkeypatch.delattr(param, "load_path")
    else:
        monkeypatch.setattr(param, "load_path", make_loader(load))

    pipeline = Pipeline()

    assert pipeline.graph == expected.graph
    assert (
        pipeline.find_changed(pipeline.graph)
        == changed
        == {"train_classifier@surname_gru", "track"}
    )


def make_loader(load):
    def load_path(fs_path, fs, another=None, **options):
        return load(fs_path, fs, **options)

    load_path.__qualname__ = "load_path"
    return load_path


def make_reader(load):
    read = param.read_param_file

    def read_otherwise(*arguments, **options):
        param.load_path = load
        try:
            return read(*arguments, **options)
        finally:
            with suppress(AttributeError):
                del param.load_path

    return read_otherwise


@pytest.mark.parametrize(
    "part", [dvc_internals._WRITE_LOCK, dvc_internals._MAKE_ENTRY, dvc_internals._FORMAT_YAML]
)
@pytest.mark.parametrize("change", CHANGES)
def test_dvc_writes_dvc_lock_itself_where_it_has_changed(monkeypatch, part, change):
    monkeypatch.setattr(Lockfile, "dump_stages", Lockfile.dump_stages)  # for undoing
    change_part(monkeypatch, part, change)
    before = vars(Lockfile).get("dump_stages")

    write_entries_alone()

    assert vars(Lockfile).get("dump_stages") is before


@pytest.mark.slow
def test_a_job_writes_the_bytes_of_dvc_where_dvc_has_changed(workspace, tmp_path):
    other = Path(shutil.copytree(workspace, tmp_path / "other", symlinks=True))
    changed = (
        "from dvc.dvcfile import Lockfile\n"
        "write = Lockfile.dump_stages\n"
        "def dump_stages(self, stages, another=None, **options):\n"
        "    print('by DVC')\n"
        "    write(self, stages, **options)\n"
        "dump_stages.__qualname__ = 'Lockfile.dump_stages'\n"
        "Lockfile.dump_stages = dump_stages\n"
    )
    (tmp_path / "sitecustomize.py").write_text(changed, encoding="utf-8")
    command = ("dvc", "commit", "--force", "--quiet", "probe_layers")
    for folder in (workspace, other):
        lock = folder / "dvc.lock"
        text = lock.read_text(encoding="utf-8")
        lock.write_text(text.partition("  probe_layers:\n")[0], encoding="utf-8")

    by_dvc = call(workspace, *command)
    job = (sys.executable, "stages/run.py", "cli.jobs", str(os.getpid()))
    by_job = call(other, *job, *command, PYTHONPATH=str(tmp_path))

    assert (by_dvc.returncode, by_job.returncode) == (0, 0), by_job.stdout
    assert by_job.stdout == "by DVC\n"
    assert (other / "dvc.lock").read_bytes() == (workspace / "dvc.lock").read_bytes()
    assert "probe_layers" in (other / "dvc.lock").read_text(encoding="utf-8")


@pytest.fixture
def teammate(workspace, tmp_path, monkeypatch):
    """A clone of a workspace that shares its results; nothing is pulled."""
    add_remote(workspace, tmp_path / "remote")
    run(tmp_path, f"git clone -q {workspace} teammate")
    monkeypatch.chdir(tmp_path / "teammate")
    return tmp_path / "teammate"


@pytest.mark.parametrize("change", [None, *CHANGES])
def test_listings_are_read_from_the_remote_without_dvcs_internals(
    teammate, workspace, monkeypatch, change
):
    folders = read_dvc_folders()
    if change:
        for part in ("FIND_REMOTE", "FIND_OBJECT", "READ_FILE", "ADD_OBJECT"):
            change_part(monkeypatch, getattr(dvc_internals, f"_{part}"), change)

    fetch_listings(folders)

    cached = Path(".dvc/cache/files/md5")
    listings = {path.relative_to(cached) for path in cached.glob("*/*")}
    assert listings == {Path(md5[:2], md5[2:]) for md5 in folders.values()} != set()
    for listing in listings:
        theirs = workspace / cached / listing
        assert (cached / listing).read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize("change", [None, "missing"])
def test_a_listing_that_the_remote_lacks_is_left_to_dvc(teammate, tmp_path, monkeypatch, change):
    [(folder, md5), *_] = read_dvc_folders().items()
    (tmp_path / "remote/files/md5" / md5[:2] / md5[2:]).unlink()
    if change:
        change_part(monkeypatch, dvc_internals._FIND_REMOTE, change)

    fetch_listings({folder: md5})

    assert not Path(".dvc/cache").exists() or not [*Path(".dvc/cache").rglob("*.dir")]


def test_the_lock_files_are_those_of_dvc(workspace):
    with Repo() as repo:
        lock = Path(repo.lock._lockfile)

    assert (lock.name, rwlock.RWLOCK_LOCK) == dvc_internals._LOCKS
    assert rwlock.RWLOCK_FILE == dvc_internals._RWLOCK
    assert lock.parent == (workspace / dvc_internals._FOLDER).resolve()
