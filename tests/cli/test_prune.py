"""A model that left params.yaml leaves nothing in data/ and dvc.lock, and `srn prune` the rest."""

import shutil
import sys
from pathlib import Path

import pytest

from stages.cli import prune
from stages.imports.leftovers import find_leftovers, remove_leftovers, tidy_results
from stages.shared.dvc_pipeline import list_outs, split_lock
from stages.shared.errors import InputError
from stages.tracking.mlflow_sync.store import Store, find_uri
from tests.pipeline import edit_params
from tests.shell import assert_one_line, call, call_srn, run
from tests.store import fill, list_names, sync
from tests.workspace import add_forecaster

GONE = "windowed_lstm_fast"
NEW = "wide_rnn"
PRUNE = [sys.executable, "stages/run.py", "cli", "prune"]


def remove_model(folder: Path, model: str = GONE) -> None:
    edit_params(folder, lambda params: params["forecasters"].pop(model))


def list_entries(folder: Path) -> list[str]:
    entries = split_lock((folder / "dvc.lock").read_text(encoding="utf-8"))
    assert entries is not None
    return list(entries)


def list_files(folder: Path) -> set[str]:
    files = (path for path in (folder / "data").rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix() for path in files}


def test_a_foreach_is_one_stage_per_item_with_its_outs():
    pipeline = {
        "stages": {
            "clean": {"outs": ["data/clean.csv"]},
            "train": {
                "foreach": "${models}",
                "do": {
                    "outs": [{"data/${key}/weights.pt": {"persist": True}}],
                    "metrics": ["data/${item.task}/${key}.json"],
                },
            },
            "count": {"foreach": ["a"], "do": {"outs": ["data/${item}.txt"]}},
            "draw": {"matrix": {"color": ["red"]}, "outs": ["data/${item.color}.png"]},
            "fold": {"matrix": {"color": "${colors}"}, "outs": ["data/${item.color}.svg"]},
            "inner": {"wdir": "data", "outs": ["inner.txt"]},
            "report": {"outs": ["data/${folder}/report.html"]},  # of `vars`
        }
    }
    params = {"models": {"rnn": {"task": "waves"}}}

    stages = list_outs(pipeline, params)

    assert stages == {
        "clean": ["data/clean.csv"],
        "train@rnn": ["data/rnn/weights.pt", "data/waves/rnn.json"],
        "count@a": ["data/a.txt"],
        "draw@red": ["data/red.png"],
        "fold@*": ["data/*.svg"],
        "inner": ["data/inner.txt"],
        "report": ["data/*/report.html"],
    }


@pytest.mark.parametrize(
    "stages",
    [
        [1],
        {"a": None},
        {"a": {"foreach": 5, "do": {}}},
        {"a": {"outs": [5]}},
        {"a": {"outs": [{}]}},
        {"a": {"outs": "data/x"}},
        {"a": {"do": [1]}},
    ],
)
def test_what_defines_no_stages_is_one_line(stages):
    with pytest.raises(InputError, match=r"^dvc\.yaml is damaged \(.+\): correct it"):
        list_outs({"stages": stages}, {})


@pytest.mark.parametrize("entries", [5, "x", None])
def test_the_items_of_a_section_that_is_no_mapping_are_not_known(entries):
    pipeline = {"stages": {"train": {"foreach": "${models}", "do": {"outs": ["data/${key}"]}}}}

    assert list_outs(pipeline, {"models": entries}) == {"train@*": ["data/*"]}
    assert list_outs({}, {}) == {}


def test_a_workspace_whose_stages_have_all_run_has_no_leftovers(workspace):
    found = find_leftovers()

    assert found.format() == []


def test_the_first_stage_removes_what_a_removed_model_left(workspace):
    files, entries = list_files(workspace), list_entries(workspace)
    remove_model(workspace)

    said = run(workspace, "dvc repro --single-item follow_imports")

    assert f"removed, since no stage makes it any more: data/trained/{GONE}" in said
    assert list_files(workspace) == {path for path in files if GONE not in path}
    assert list_entries(workspace) == [name for name in entries if GONE not in name]
    assert not list(workspace.glob(f"data/**/{GONE}*"))


def test_a_removed_model_is_removed_again_where_dvc_ran_the_first_stage_before(workspace):
    params = (workspace / "params.yaml").read_text(encoding="utf-8")
    for _ in range(2):  # DVC's run cache knows the second one
        (workspace / "params.yaml").write_text(params, encoding="utf-8")
        run(workspace, "git checkout -q dvc.lock && dvc checkout -q")
        remove_model(workspace)

        run(workspace, "dvc repro --single-item follow_imports")

        assert not list(workspace.glob(f"data/**/{GONE}*"))


def test_a_file_that_dvc_does_not_keep_is_named_and_stays(workspace, capsys):
    note = workspace / "data/trained/carried_rnn/notes.txt"
    note.write_text("try a lower rate", encoding="utf-8")
    hidden = note.with_name(".notes.txt.swp")
    hidden.touch()
    (workspace / "data/trained/emptied/by_dvc").mkdir(parents=True)
    remove_model(workspace)

    tidy_results()

    printed = capsys.readouterr().out
    assert "WARNING: no stage makes data/trained/carried_rnn/notes.txt, so" in printed
    assert hidden.name not in printed
    assert note.exists()
    assert not (workspace / "data/trained" / GONE).exists()
    assert not (workspace / "data/trained/emptied").exists()


def test_control_characters_in_a_file_name_are_escaped(workspace):
    (workspace / "data/generated/a\x1b]0;title\x07\nb").touch()

    done = call_srn(workspace, "prune")

    assert r"data/generated/a\x1b]0;title\x07" in done.stdout
    assert done.stdout.replace("\n", "").isprintable()


@pytest.mark.parametrize("place", ["data/generated", "data/plotted/link"])
def test_links_are_not_followed_when_files_are_removed(workspace, tmp_path, place):
    home = tmp_path / "home"
    (home / "empty").mkdir(parents=True)
    shutil.copy(workspace / "data/trained/carried_rnn/weights.pt", home)  # that DVC's cache has
    (home / "thesis.tex").touch()
    link = workspace / place
    if link.exists():
        shutil.rmtree(link)
    link.symlink_to(home)

    remove_leftovers(find_leftovers(), unsaved=True)

    assert {path.name for path in home.iterdir()} == {"empty", "weights.pt", "thesis.tex"}


def test_an_empty_folder_that_a_link_points_to_is_kept(workspace, tmp_path):
    (tmp_path / "empty").mkdir()
    (workspace / "data/plotted/link").symlink_to(tmp_path / "empty")

    remove_leftovers(find_leftovers(), unsaved=True)

    assert (tmp_path / "empty").exists()


def test_prune_removes_only_after_a_confirmation(workspace):
    note = workspace / "data/trained/carried_rnn/notes.txt"
    note.write_text("try a lower rate", encoding="utf-8")
    remove_model(workspace)
    files, lock = list_files(workspace), (workspace / "dvc.lock").read_bytes()

    answer = call(workspace, "sh", "-c", f"{' '.join(PRUNE)} < /dev/null")

    *listed, last = answer.stdout.splitlines()
    assert answer.returncode == 1 and "srn prune --yes" in last
    assert "data/trained/carried_rnn/notes.txt, not in DVC's cache" in listed
    assert f"dvc.lock: the entry of train_forecaster@{GONE}" in listed
    assert list_files(workspace) == files
    assert (workspace / "dvc.lock").read_bytes() == lock

    prune.main(mlflow=False, yes=True)

    assert not note.exists()
    assert find_leftovers().format() == []


def test_runs_of_a_model_that_no_commit_names_are_pruned_in_mlflow(workspace, capsys):
    fill(workspace)
    names = list_names()
    add_forecaster(workspace, NEW)
    sync()
    assert list_names() == sorted([*names, NEW])
    remove_model(workspace, NEW)
    remove_model(workspace)  # which a commit names

    prune.main(mlflow=True, yes=True)

    assert f"MLflow: {NEW}, run " in capsys.readouterr().out
    assert list_names() == names


def test_an_experiment_that_has_no_other_runs_is_pruned_too(workspace):
    fill(workspace)
    store = Store(find_uri())
    for run_ in store.search_runs(""):
        if run_.info.experiment_id == store.experiments["layers"]:
            store.client.set_tag(run_.info.run_id, "stage", "probe_cells")

    prune.main(mlflow=True, yes=True)

    assert sorted(Store(find_uri()).experiments) == ["forecasting", "surnames"]


def test_a_run_of_a_registered_version_is_not_pruned(workspace):
    fill(workspace)
    add_forecaster(workspace, NEW)
    sync()
    store = Store(find_uri())
    [run_] = [run_ for run_ in store.search_runs("") if run_.info.run_name == NEW]
    store.client.create_registered_model("waves")
    store.client.create_model_version("waves", run_.info.artifact_uri, run_.info.run_id)
    remove_model(workspace, NEW)

    with pytest.raises(InputError, match=f"{NEW} stays: version 1 of the registered model waves"):
        prune.main(mlflow=True, yes=True)

    assert NEW in list_names()


def test_a_shallow_clone_does_not_know_what_to_prune_in_mlflow(workspace, tmp_path):
    run(workspace, "git commit -q --allow-empty -m another")
    run(tmp_path, f"git clone -q --depth 1 file://{workspace} shallow")
    done = call_srn(tmp_path / "shallow", "prune", "--mlflow", "--yes")

    assert_one_line(done, "git fetch --unshallow")


def test_what_stages_of_a_matrix_have_written_is_no_leftover(workspace):
    stage = """
  draw:
    matrix:
      color: [red, blue]
    cmd: echo ${item.color} > data/plotted/${item.color}.txt
    outs:
      - data/plotted/${item.color}.txt
"""
    with (workspace / "dvc.yaml").open("a", encoding="utf-8") as file:
        file.write(stage)
    run(workspace, "dvc repro --quiet --single-item draw@red draw@blue")

    assert find_leftovers().format() == []
