"""A remote of DVC on a server of the test's own, and clones that share it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.test_cache import find_object
from tests.shell import call, commit, run

WEIGHTS = "data/trained/carried_rnn/weights.pt"


@dataclass(frozen=True)
class Remote:
    """Where DVC keeps its objects.

    Args:
        url: of the remote.
        folder: in which the server keeps its files.
        settings: committed with the repository.
        secrets: kept in .dvc/config.local.
    """

    url: str
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)

    def add_to(self, repository: Path) -> None:
        """Commit the remote as docs/team.md says."""
        run(repository, f"dvc remote add --force --default team {self.url}")
        for name, value in {"verify": "true", **self.settings}.items():
            run(repository, f"dvc remote modify team {name} {value}")
        self.hand_secrets_to(repository)
        commit(repository, "remote")

    def hand_secrets_to(self, repository: Path) -> None:
        """Let a clone in."""
        for name, value in self.secrets.items():
            run(repository, f"dvc remote modify --local team {name} {value}")

    def clone(self, repository: Path) -> Path:
        """A teammate's clone, who has the secrets."""
        run(repository.parent, f"git clone -q {repository} clone")
        teammate = repository.parent / "clone"
        self.hand_secrets_to(teammate)
        return teammate

    def find_object(self, repository: Path, path: str) -> Path:
        """The file of an out on the server."""
        return find_object(repository, str(self.folder), path)


def count_files(folder: Path) -> int:
    """How many files a folder has, in all its folders, while others write there."""
    return sum(path.is_file() for path in folder.rglob("*"))


def list_written(folder: Path) -> dict[Path, int]:
    """The same files, and when each was written, in nanoseconds, where nobody writes."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def assert_rot_is_rejected(
    repository: Path, remote: Remote, spoil: Callable[[Path], object]
) -> None:
    """A teammate pulls nothing that was damaged on the server."""
    remote.add_to(repository)
    run(repository, "dvc push -q")
    spoiled = remote.find_object(repository, WEIGHTS)
    spoiled.chmod(0o644)
    spoil(spoiled)
    teammate = remote.clone(repository)

    stopped = call(teammate, "dvc", "pull")

    assert stopped.returncode != 0
    assert not (teammate / WEIGHTS).exists()


def assert_whole(clone: Path) -> None:
    """All that dvc.lock names is there, as dvc.lock has it."""
    done = call(clone, "python", "stages/run.py", "tracking.track")
    assert done.returncode == 0, done.stdout
    assert "deleted" not in run(clone, "dvc status")
