"""PostgreSQL and an `mlflow server` with users on it, set up as docs/team.md says."""

import base64
import json
import os
import shutil
import signal
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

from tests.servers.binaries import need_program
from tests.shell import call, start, stop_server, wait_for, wait_for_port

PASSWORDS = {name: f"{name}-has-a-secret" for name in ("admin", "ada", "bob", "eve", "max")}
DATABASE = "a-database-secret"
RIGHTS = {"ada": "EDIT", "bob": "EDIT", "max": "MANAGE"}  # eve reads
CONFIG = """[mlflow]
default_permission = READ
grant_default_workspace_access = true
database_uri = {users}
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""


@dataclass
class Team:
    """Both servers, and what one asks of them."""

    folder: Path
    port: int
    database_port: int
    servers: list[Popen[str]] = field(default_factory=list)  # PostgreSQL, MLflow

    @property
    def uri(self) -> str:
        """Address of MLflow."""
        return f"http://127.0.0.1:{self.port}"

    def identify(self, name: str) -> dict[str, str]:
        """Variables by which a user is known."""
        return {
            "MLFLOW_TRACKING_URI": self.uri,
            "MLFLOW_TRACKING_USERNAME": name,
            "MLFLOW_TRACKING_PASSWORD": PASSWORDS[name],
            "TRACK_SECONDS": "60",  # servers and clients share two cores here
        }

    def post(self, path: str, content: dict[str, Any], name: str = "admin") -> Any:
        """Ask MLflow's API as a user."""
        secret = base64.b64encode(f"{name}:{PASSWORDS[name]}".encode()).decode()
        headers = {"Content-Type": "application/json", "Authorization": f"Basic {secret}"}
        body = json.dumps(content).encode()
        request = urllib.request.Request(f"{self.uri}/api/{path}", body, headers)
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)

    def start(self) -> None:
        """Start both servers and make the users."""
        start_database(self)
        self.start_mlflow()
        self.make_users()

    def make_users(self) -> None:
        """Readers read; the role of the team makes experiments; rights are given one by one."""
        role = self.post("3.0/mlflow/roles/create", {"name": "team", "workspace": "default"})
        number = role["role"]["id"]
        use = {"resource_type": "workspace", "resource_pattern": "*", "permission": "USE"}
        self.post("3.0/mlflow/roles/permissions/add", {"role_id": number, **use})
        for name in ("ada", "bob", "eve", "max"):
            user = {"username": name}
            self.post("2.0/mlflow/users/create", {**user, "password": PASSWORDS[name]})
            if name not in RIGHTS:
                continue
            self.post("3.0/mlflow/roles/assign", {**user, "role_id": number})
            for kind in ("experiment", "registered_model"):
                right = {"resource_type": kind, "resource_id": "*", "permission": RIGHTS[name]}
                self.post("3.0/mlflow/users/permissions/grant", {**user, **right})

    def query(self, text: str, database: str = "mlflow") -> str:
        """Ask the database."""
        return self.ask_database("psql", "-d", database, "--tuples-only", "--command", text)

    def ask_database(self, program: str, *options: str) -> str:
        """Run a client of PostgreSQL."""
        path = need_program(program, "apt-get install postgresql")
        address = ["--host", "127.0.0.1", "--port", str(self.database_port), "--username", "mlflow"]
        command = [path, *address, *options]
        done = call(self.folder, *command, PGPASSWORD=DATABASE)
        assert done.returncode == 0, done.stdout
        return done.stdout.strip()

    def empty(self) -> None:
        """Forget all experiments and models, but no user."""
        self.query("truncate experiments, registered_models cascade")

    def start_mlflow(self) -> None:
        """Start MLflow on the database, whose address stays off the command line."""
        database = f"postgresql://mlflow:{DATABASE}@127.0.0.1:{self.database_port}"
        users = self.folder / "users.ini"
        users.write_text(CONFIG.format(users=f"{database}/users"), encoding="utf-8")
        options = f"--port {self.port} --workers 1 --app-name basic-auth --enable-workspaces"
        command = f"mlflow server {options} --artifacts-destination {self.folder}/artifacts"
        settings = {
            "MLFLOW_BACKEND_STORE_URI": f"{database}/mlflow",
            "MLFLOW_AUTH_CONFIG_PATH": str(users),
            "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORDS["admin"],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "a-key-of-the-server",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # not used here, and slow to start
        }
        self.servers.append(start(self.folder, command.split(), DEVNULL, **settings))
        wait_for(f"{self.uri}/health")

    def kill_mlflow(self) -> None:
        """End MLflow at once."""
        server = self.servers.pop()
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()

    def stop(self) -> None:
        """End both."""
        for server in reversed(self.servers):
            stop_server(server)


def start_database(team: Team) -> None:
    """Start PostgreSQL, which refuses to run as root, with a database each for runs and users."""
    home = team.folder / "database"
    home.mkdir()
    secret = team.folder / "secret"
    secret.write_text(DATABASE, encoding="utf-8")
    become: list[str] = []
    if os.geteuid() == 0:
        need_program("setpriv", "apt-get install util-linux")
        become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        for path in (home, secret):
            shutil.chown(path, "postgres")
    initdb = need_program("initdb", "apt-get install postgresql")
    options = ["--username=mlflow", "--auth=scram-sha-256", f"--pwfile={secret}"]
    done = call(team.folder, *become, initdb, "--pgdata", str(home), *options)
    assert done.returncode == 0, done.stdout
    postgres = need_program("postgres", "apt-get install postgresql")
    settings = ["listen_addresses=127.0.0.1", f"port={team.database_port}", "fsync=off"]
    command = [*become, postgres, "-D", str(home), "-k", str(home)]
    for setting in settings:
        command += ["-c", setting]
    team.servers.append(start(team.folder, command, DEVNULL))
    wait_for_port(team.database_port)
    for name in ("mlflow", "users"):
        team.query(f"create database {name}", "postgres")
