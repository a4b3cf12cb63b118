"""What `make repro` sees of the stages that DVC knows."""

import shutil

import pytest

from stages.cli.graph import Pipeline, find_downstream, find_stale
from tests.pipeline import set_param
from tests.shell import PROJECT, run


@pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")  # DVC's own
def test_searches_that_have_never_run_are_no_stages_to_run(workspace):
    shutil.copytree(PROJECT / "searches", workspace / "searches", dirs_exist_ok=True)
    (workspace / "searches/dvc.lock").unlink(missing_ok=True)
    set_param(workspace, "classifiers.surname_gru.rate", 0.02)  # that a search would read too
    run(workspace, "dvc repro --quiet --single-item follow_imports")  # `make repro` does so first
    status = run(workspace, "dvc status")

    pipeline = Pipeline()

    graph, changed = pipeline.graph, pipeline.find_changed(pipeline.graph)
    assert "searches/dvc.yaml:search_classifiers" in status  # DVC itself sees it
    assert changed == {"train_classifier@surname_gru", "track"}
    assert "track" in graph and not any("search" in stage for stage in graph)
    assert {"blend_classifiers", "plot_blend"} < find_stale(graph, changed).keys()


def test_what_reads_from_a_failed_stage_directly_or_not_is_downstream():
    waiting = {"score": {"cut"}, "plot": {"score", "train"}, "other": {"train"}, "free": set()}

    assert find_downstream({"make", "cut"}, waiting) & waiting.keys() == {"score", "plot"}
