"""Commands as a person types them, with none of the settings of the machine that runs the tests."""

import atexit
import fcntl
import os
import re
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

PROJECT = Path(__file__).parents[1]
TEMPLATES = "TESTS_TEMPLATES"  # variable with the folder of `make_once`
# variables that would reach a test from outside
FOREIGN = ("DVC_", "MLFLOW_", "GIT_", "TRACK_", "TESTS_")
SERVER_FOLDERS: dict[str, Path] = {}  # of `find_server`, by address
FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(["dvc.repo", "mlflow.store.tracking.sqlalchemy_store", "torch"])


def call(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command; stdout holds all that it printed."""
    return subprocess.run(
        command,
        cwd=folder,
        env=make_environment(folder) | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )


def call_srn(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Call `srn` of this repository in another; stdout holds all that it printed.

    It runs in a process of its own, a fork of one that has imported what takes seconds.
    """
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as printed:
        settings = make_environment(folder) | environment
        process = FORKS.Process(target=run_srn, args=(folder, arguments, settings, printed.name))
        process.start()
        process.join(timeout=300)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"srn {' '.join(arguments)} has run for 300 s")
        return subprocess.CompletedProcess(arguments, process.exitcode, printed.read())


def run_srn(
    folder: Path, arguments: tuple[str, ...], environment: dict[str, str], printed: str
) -> None:
    """Be `srn` from now on."""
    for stream in (sys.stdout, sys.stderr):
        os.dup2(os.open(printed, os.O_WRONLY | os.O_APPEND), stream.fileno())
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["srn", *arguments]
    from stages.cli import __main__ as srn

    srn.ROOT = folder
    srn.main()


def call_unread(
    folder: Path, *command: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command whose stdout goes to a program that has ended, as `head` does."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        return subprocess.run(
            command,
            cwd=folder,
            env=make_environment(folder) | environment,
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            timeout=300,
        )


def run(folder: Path, command: str, check: bool = True, **environment: str) -> str:
    """Run a line in a shell; returns what it printed."""
    done = call(folder, "sh", "-c", command, **environment)
    assert not check or done.returncode == 0, f"{command}: {done.stdout}"
    return done.stdout


def read_blocks(title: str) -> list[str]:
    """What README gives to be typed below a title, one text per block."""
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def type_in(folder: Path, block: str) -> subprocess.CompletedProcess[str]:
    """Type lines into a shell, in the environment of the tests instead of one more."""
    python = shlex.quote(str(Path(sys.executable).parent))
    make = f'make() {{ command make --old-file .venv/installed BIN={python} "$@"; }}'
    return call(folder, "bash", "-ec", f"{make}\n{block}")


def assert_one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """A command has failed, and said why in one line that has these words."""
    assert done.returncode == 1, done.stdout
    [line] = done.stdout.splitlines()
    assert line.startswith("error: ")
    for word in words:
        assert word in line


def commit(folder: Path, message: str) -> None:
    """Commit everything to git."""
    run(folder, f"git add -A && git commit -qm '{message}'")


def make_environment(folder: Path) -> dict[str, str]:
    """An environment that knows nothing of the machine's own settings of git, DVC and MLflow."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    settings = folder.parent / f"{folder.name}-settings"
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DVC_NO_ANALYTICS": "true",
        "DVC_GLOBAL_CONFIG_DIR": str(settings / "global"),
        "DVC_SYSTEM_CONFIG_DIR": str(settings / "system"),
        "DVC_SITE_CACHE_DIR": str(settings / "site"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "Test",
        "GIT_AUTHOR_EMAIL": "test@example.org",
        "GIT_COMMITTER_NAME": "Test",
        "GIT_COMMITTER_EMAIL": "test@example.org",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": "1",
    }


def make_once(name: str, make: Callable[[Path], object]) -> Path:
    """A folder that tests copy, made by the first process of a run of the tests that asks for it.

    Args:
        name: of the folder.
        make: makes the folder.
    """
    folder = find_templates() / name
    with Path(f"{folder}.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be making it
        if not folder.exists():
            try:
                make(folder)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
    return folder


def copy_folder(source: Path, target: Path) -> Path:
    """Copy a folder with its links, in half the time of `shutil.copytree`."""
    subprocess.run(["cp", "-a", source, target], check=True)
    return target


def find_templates() -> Path:
    """The folder of what a run of the tests makes once; the first process removes it at its end."""
    if TEMPLATES not in os.environ:
        folder = tempfile.TemporaryDirectory()
        atexit.register(folder.cleanup)
        os.environ[TEMPLATES] = folder.name  # inherited by the workers of xdist
    return Path(os.environ[TEMPLATES])


@contextmanager
def file_size_limited(num_bytes: int) -> Iterator[None]:
    """Let this process write no file beyond a size, as where the disk is full."""
    old, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (old, most))


def find_free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start(
    folder: Path, command: list[str], output: int = subprocess.PIPE, **environment: str
) -> subprocess.Popen[str]:
    """Start a command in a process group of its own.

    Args:
        folder: where.
        command: its program and arguments.
        output: PIPE, or DEVNULL where nobody reads it.
        environment: variables beside those of every command.
    """
    return subprocess.Popen(
        command,
        cwd=folder,
        env=make_environment(folder) | environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        text=True,
        start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # `pytest &` ignores it
    )


def start_server(command: str, folder: Path) -> subprocess.Popen[str]:
    """Start a server, whose workers end with its group."""
    idle = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # or it starts four more processes
    return start(folder, shlex.split(command), subprocess.DEVNULL, **idle)


def stop_server(server: subprocess.Popen[str]) -> None:
    """End a server and its workers."""
    os.killpg(server.pid, signal.SIGTERM)
    server.wait()


@cache
def find_server(content: str = "") -> str:
    """Address of a real `mlflow server`, started once a process, and once for other content."""
    folder = tempfile.TemporaryDirectory()
    port = find_free_port()
    options = f"--port {port} --workers 1 --backend-store-uri sqlite:///mlflow.db"
    command = f"mlflow server {options} --artifacts-destination ./artifacts"
    server = start_server(command, Path(folder.name))
    atexit.register(folder.cleanup)
    atexit.register(stop_server, server)
    # not /health: the first request that needs the database makes its tables
    wait_for(f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get?experiment_id=0")
    SERVER_FOLDERS[f"http://127.0.0.1:{port}"] = Path(folder.name)
    return f"http://127.0.0.1:{port}"


def wait_for_port(port: int, seconds: int = 30) -> None:
    """Wait until somebody listens on a port of this machine."""
    for _ in range(seconds * 10):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"nobody listens on port {port}")


def wait_for(address: str, seconds: int = 90) -> None:
    """Wait until a server answers."""
    for _ in range(seconds * 5):
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(f"{address} does not answer")
