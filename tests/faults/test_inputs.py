"""What params, memory, disk and rights can do to a stage: it ends in one line that says so."""

import os
import shutil
import subprocess
import time

import psutil
import pytest

from stages.forecasting.assessment import ForecastingEvaluationParams
from stages.forecasting.generate_panel import GeneratedPanelParams
from stages.forecasting.observed import OBSERVED
from stages.forecasting.score_baselines import ForecastingBaselineParams
from stages.forecasting.signals import GeneratedParams
from stages.forecasting.train import FORECASTER
from stages.layers.gradients import ProbeParams
from stages.shared.checkpoints import build_network
from stages.shared.errors import InputError
from stages.shared.figures import FigureParams
from stages.shared.params import Name, read_params
from stages.shared.yaml_files import parse_yaml
from stages.surnames.assessment import EvaluateParams
from stages.surnames.blend import BlendParams
from stages.surnames.download import DownloadParams
from stages.surnames.preprocess import SplitParams
from stages.surnames.score_baselines import BaselineParams
from stages.surnames.train import ClassifierParams
from tests.pipeline import copy_template, list_processes, set_param
from tests.shell import PROJECT, call, make_environment, run

SCHEMAS = {
    "download_surnames": DownloadParams,
    "preprocess_surnames": SplitParams,
    "generated_series": dict[Name, GeneratedParams],
    "generated_panels": dict[Name, GeneratedPanelParams],
    "observed_series": dict[Name, OBSERVED],
    "forecasters": dict[Name, FORECASTER],
    "classifiers": dict[Name, ClassifierParams],
    "blend_classifiers": BlendParams,
    "forecasting_baselines": ForecastingBaselineParams,
    "surname_baselines": BaselineParams,
    "evaluate_forecasters": ForecastingEvaluationParams,
    "evaluate_classifiers": EvaluateParams,
    "figures": FigureParams,
    "probe_layers": ProbeParams,
}


NAN, INFINITE = float("nan"), float("inf")
WRONG = [
    ("download_surnames.attempts", 10**4),
    ("download_surnames.backoff_seconds", 1e300),
    ("download_surnames.connect_seconds", NAN),
    ("download_surnames.total_seconds", INFINITE),
    ("preprocess_surnames.seed", 10**40),
    ("preprocess_surnames.test_share", NAN),
    ("generated_series.integer_starts.points", 10**13),
    ("generated_series.integer_starts.starts.count", 10**7),
    ("generated_series.integer_starts.span", 1e-320),
    ("generated_series.integer_starts.period", NAN),
    ("generated_series.noisy_sine.noise", INFINITE),
    ("generated_series.drifting_sine.drift_period", 1e308),
    ("generated_series.noisy_sine.seed", 2**32),
    ("generated_series.mackey_glass.delay", INFINITE),
    ("observed_series.sunspots.window", 10**13),
    ("observed_series.sunspots.test_share", NAN),
    ("observed_series.sunspots.horizons", [0]),
    ("generated_series.period_40.window", 10**13),
    ("generated_series.period_40.test_points", 10**40),
    ("forecasters.carried_rnn.iterations", 10**13),
    ("forecasters.carried_rnn.batch", 10**13),
    ("forecasters.carried_rnn.rate", NAN),
    ("forecasters.carried_rnn.clip_norm", INFINITE),
    ("forecasters.carried_rnn.seed", 10**40),
    ("forecasters.carried_rnn.seed", -1),
    ("forecasters.carried_rnn.series", "../../../evil"),
    ("forecasters.carried_rnn.architecture", "../../data/evil"),
    ("forecasters.long_memory_rnn.closed_loop.horizon", 10**20),
    ("forecasters.long_memory_rnn.refine.iterations", 10**13),
    ("classifiers.surname_gru.log_every", 10**13),
    ("classifiers.surname_gru.sorted_batches", 10**13),
    ("classifiers.surname_gru.weight_decay", INFINITE),
    ("classifiers.surname_gru.architecture", "os; rm"),
    ("blend_classifiers.weights", [NAN, 0.7]),
    ("blend_classifiers.weights", [1e308, 0.7]),
    ("evaluate_forecasters.phases", 10**13),
    ("evaluate_forecasters.horizons", [0]),
    ("evaluate_forecasters.horizons", [10**13]),
    ("forecasting_baselines.ar_orders", [-1]),
    ("forecasting_baselines.ridge_penalties", [INFINITE]),
    ("forecasting_baselines.names", ["oracle"]),
    ("surname_baselines.costs", [0.0]),
    ("evaluate_forecasters.bootstrap.resamples", 10**13),
    ("evaluate_forecasters.validation_seed", 10**40),
    ("evaluate_forecasters.walkthrough_tests", {"../evil": "one_point"}),
    ("evaluate_classifiers.bins", 10**13),
    ("evaluate_classifiers.prior_strengths", [INFINITE]),
    ("evaluate_classifiers.queries", ["x" * 10**6]),
    ("figures.dpi", 10**6),
    ("probe_layers.hidden", 10**6),
    ("probe_layers.radii", [1e300]),
    ("probe_layers.forget_biases", [NAN]),
    ("probe_layers.clip_norm", INFINITE),
]
WRONG_NETWORKS = [
    ("carried_rnn", {"hidden": 10**6}, "has 1,000,004,000,001 weights"),
    ("carried_rnn", {"hidden": 10**40}, "network.hidden"),
    ("carried_rnn", {"init_std": NAN}, "network.init_std"),
    ("carried_rnn", {"init_std": -1.0}, "std"),
    ("carried_rnn", {"layers": 10**5}, "network.layers"),
    ("windowed_lstm", {"window": 10**40}, "network.window"),
    ("mackey_glass_echo_state", {"hidden": 10**6}, "has 1,000,003,000,042 weights"),
]


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    shutil.copy(PROJECT / "params.yaml", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("path", "value"), WRONG, ids=lambda value: repr(value)[:30])
def test_a_param_too_large_for_any_machine_is_a_one_line_error(workspace, path, value):
    set_param(workspace, path, value)
    section = path.split(".")[0]

    with pytest.raises(InputError) as error:
        read_params(section, SCHEMAS[section])

    message = str(error.value)
    assert "\n" not in message and len(message) < 400
    field = path.removesuffix(".starts.count")  # which is too much together with `points`
    assert message.startswith(f"params.yaml: {field}")


@pytest.mark.parametrize("section", SCHEMAS)
def test_the_params_in_git_are_within_all_bounds(workspace, section):
    assert read_params(section, SCHEMAS[section])


@pytest.mark.parametrize(("model", "changes", "reason"), WRONG_NETWORKS)
def test_a_network_too_large_for_any_machine_is_rejected_before_it_takes_memory(
    model, changes, reason
):
    entry = parse_yaml((PROJECT / "params.yaml").read_text("utf-8"))["forecasters"][model]
    before = psutil.Process().memory_info().rss

    with pytest.raises(InputError, match=reason):
        build_network(
            entry["architecture"], entry["network"] | changes, "params.yaml: forecasters.x"
        )

    assert psutil.Process().memory_info().rss - before < 2**30


@pytest.mark.parametrize("architecture", ["__init__", "../../data/evil", "shared.params", "os", ""])
def test_only_a_file_of_stages_models_is_an_architecture(architecture):
    with pytest.raises(InputError, match=r"architecture: there is no .*choose one of blend_"):
        build_network(architecture, {}, "params.yaml: forecasters.x")


@pytest.mark.parametrize(
    "network",
    [{}, {"members": 4}, {"members": [4]}, {"members": [{"architecture": "__init__"}]}],
)
def test_a_blend_without_members_is_named(network):
    with pytest.raises(InputError, match=r"params.yaml: classifiers.x.network.members"):
        build_network(
            "blend_classifier", network | {"weights": [1.0]}, "params.yaml: classifiers.x"
        )


@pytest.mark.parametrize("text", ["seed: 9" + "9" * 5000, "[" * 5000, "when: 2026-99-99"])
def test_a_params_file_that_yaml_cannot_parse_is_a_one_line_error(workspace, text):
    (workspace / "params.yaml").write_text(text, encoding="utf-8")

    with pytest.raises(InputError, match=r"params.yaml is damaged .*: correct it") as error:
        read_params("forecasters", dict)

    assert "\n" not in str(error.value)


def run_stage(folder, stage, prefix=""):
    """Run a stage by hand, which fails; returns the one line that it ends with."""
    command = f"{prefix} python {PROJECT}/stages/run.py {stage}"
    failed = call(folder, "bash", "-c", command)
    assert failed.returncode == 1, failed.stdout
    assert "Traceback" not in failed.stdout
    return failed.stdout.splitlines()[-1]


@pytest.fixture
def series(workspace):
    """A folder in which forecasters can be trained."""
    shutil.copytree(PROJECT / "data/series", workspace / "data/series")
    for stage in (GENERATE, f"{PREPROCESS} npz/integer_starts.npz"):
        run(workspace, f"python {PROJECT}/stages/run.py {stage}")
    return workspace


GENERATE = "forecasting.generate integer_starts csv/integer_starts.csv"
PREPROCESS = "forecasting.preprocess generated_series.integer_starts csv/integer_starts.csv"
TRAIN = "forecasting.train carried_rnn npz/integer_starts.npz"


def test_infinite_weights_after_the_last_update_are_not_written(series):
    set_param(series, "forecasters.carried_rnn.iterations", 1)
    set_param(series, "forecasters.carried_rnn.rate", 1e300)

    said = run_stage(series, f"{TRAIN} carried_rnn")

    assert "is no longer finite after training: lower rate" in said
    assert not (series / "carried_rnn").exists()


@pytest.mark.slow
def test_a_stage_without_memory_reports_what_to_lower(series):
    torchs = {"network": {"cell": "lstm", "hidden": 4000}}
    numpys = {"carry_state": False, "batch": 10**6, "iterations": 10**4}

    for changes in (torchs, numpys):
        shutil.copy(PROJECT / "params.yaml", series / "params.yaml")
        for key, value in changes.items():
            set_param(series, f"forecasters.carried_rnn.{key}", value)

        said = run_stage(series, f"{TRAIN} out", "ulimit -v 1000000;")

        assert said.startswith("error: out of memory (")
        assert "lower batch, the sizes of the network" in said
    assert not (series / "out").exists()


def run_in_tmpfs(folder, size, stage, prepare=""):
    """Run a stage whose OUT lies in a file system of its own: `small`."""
    (folder / "small").mkdir(exist_ok=True)
    mount = f"mount -t tmpfs -o size={size} none small && {prepare or 'true'}"
    prefix = f"unshare --user --map-root-user --mount bash -c '{mount} && exec "
    command = f"{prefix} python {PROJECT}/stages/run.py {stage}'"
    failed = call(folder, "bash", "-c", command)
    if "unshare" in failed.stdout or "mount" in failed.stdout.splitlines()[0]:
        pytest.skip("this machine gives no namespace to mount in")
    assert failed.returncode == 1, failed.stdout
    assert "Traceback" not in failed.stdout
    return failed.stdout.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("unshare"), reason="mounts a small file system")
@pytest.mark.parametrize(
    ("stage", "size"),
    [
        ("forecasting.generate integer_starts small/out.csv", "16k"),
        (f"{PREPROCESS} small/out.npz", "8k"),
        ("forecasting.train carried_rnn npz/integer_starts.npz small/out", "4k"),
        ("forecasting.train carried_rnn npz/integer_starts.npz small/out", "8k"),
        ("forecasting.train carried_rnn npz/integer_starts.npz small/out", "16k"),
        ("surnames.download data/sample small/out", "16k"),
        ("layers.probe small/out", "16k"),
    ],
)
def test_a_full_disk_is_a_one_line_error(series, stage, size):
    set_param(series, "download_surnames.addresses", [])
    shutil.copytree(PROJECT / "data/sample", series / "data/sample")

    said = run_in_tmpfs(series, size, stage)

    assert said.startswith("error: ") and "the disk" in said and "full" in said


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("unshare"), reason="mounts a small file system")
def test_a_read_only_checkout_is_a_one_line_error(series):
    said = run_in_tmpfs(series, "1m", f"{TRAIN} small/out", "mount -o remount,ro small")

    assert said == (
        "error: small/out: the file system is read-only: work in a copy, or mount it for writing"
    )


@pytest.mark.skipif(not shutil.which("setpriv"), reason="gives a right away")
def test_a_folder_without_write_permission_is_a_one_line_error(workspace):
    workspace.chmod(0o555)
    # root may write everywhere, until it gives that right away
    prefix = "setpriv --bounding-set=-dac_override" if os.geteuid() == 0 else ""

    said = run_stage(workspace, "forecasting.generate integer_starts out/a.csv", f"{prefix} env")

    workspace.chmod(0o755)
    assert said.startswith("error: out: permission denied")


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_training_is_reported_as_killed(tmp_path, jobs):
    clone = copy_template(tmp_path / "clone")
    set_param(clone, "forecasters.carried_rnn.iterations", 10**6)
    command = subprocess.Popen(
        ["python", "stages/run.py", "cli", "repro", "--jobs", str(jobs)],
        cwd=clone,
        env=make_environment(clone),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    kill_trainer(clone)

    said = command.communicate(timeout=60)[0].splitlines()[-1]
    assert command.returncode == 1
    assert "was killed, probably because memory ran out: lower batch" in said


def kill_trainer(clone):
    for _ in range(600):
        for process in list_processes(clone):
            if "forecasting.train" in process.cmdline():
                process.kill()
                return
        time.sleep(0.1)
    raise AssertionError("no trainer has started")
