"""The launcher of trainings: here, or on the cluster of RAY_ADDRESS, and what it loads for that."""

import shutil
import sys

from tests.pipeline import replace_text
from tests.shell import PROJECT, assert_one_line, call

COMMAND = [sys.executable, "stages/run.py", "launch", "forecasting.train", "m", "m.npz", "out"]


def test_a_train_module_is_loaded_once_and_its_errors_are_one_line(tmp_path):
    shutil.copytree(PROJECT / "stages", tmp_path / "stages")
    train = tmp_path / "stages/forecasting/train.py"
    replace_text(train, "import sys\n", "import sys\nprint(__name__, 'is loaded')\n")

    stopped = call(tmp_path, *COMMAND)

    first, *rest = stopped.stdout.splitlines(keepends=True)
    assert first == "stages.forecasting.train is loaded\n"
    stopped.stdout = "".join(rest)
    assert_one_line(stopped, "params.yaml is missing")


def test_a_training_of_an_unknown_task_is_not_sent_to_a_cluster(tmp_path):
    command = [sys.executable, str(PROJECT / "stages/run.py"), "launch", "captions.train", "m"]

    stopped = call(tmp_path, *command, "m.npz", "out", RAY_ADDRESS="auto")

    assert_one_line(stopped, "captions is not in SECTIONS", "unset RAY_ADDRESS")


def test_while_it_waits_for_a_cluster_neither_torch_nor_numpy_are_loaded(tmp_path):
    shutil.copy(PROJECT / "params.yaml", tmp_path)
    (tmp_path / "m.npz").touch()
    # at the last moment before the process waits
    fake = 'import sys; sys.exit(f\'loaded: {sorted({*sys.modules} & {"numpy", "torch"})}\')'
    (tmp_path / "ray.py").write_text(fake, encoding="utf-8")
    script = str(PROJECT / "stages/run.py")
    command = [sys.executable, script, "launch", "forecasting.train", "carried_rnn", "m.npz", "out"]

    stopped = call(tmp_path, *command, RAY_ADDRESS="auto", PYTHONPATH=str(tmp_path))

    assert stopped.stdout == "loaded: []\n"
