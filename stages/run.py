"""Run a module of this repository: `python stages/run.py surnames.download ARGUMENT...`.

`python -m` puts the working folder first in the search path, so that a file there could replace an
installed package. This script puts the repository last, and uses its own repository even if
another clone was installed by `pip install -e`.
"""

import os
import sys

# inherited by child processes; the value shows that this script has set it
SAFE_PATH = "PYTHONSAFEPATH", "stages/run.py"


def put_repository_last() -> None:
    """Put this repository behind the installed packages, and remove other clones from the path."""
    folder = os.path.dirname(os.path.realpath(__file__))
    kept = []
    for path in sys.path:
        is_clone = os.path.exists(os.path.join(path, "stages", "run.py"))
        if os.path.realpath(path) != folder and not is_clone:
            kept.append(path)
    sys.path[:] = [*kept, os.path.dirname(folder)]
    for finder in list(sys.meta_path):
        module = sys.modules.get(getattr(finder, "__module__", ""))
        if "stages" in getattr(module, "MAPPING", {}):  # the finder of `pip install -e`
            sys.meta_path.remove(finder)
    os.environ.setdefault(*SAFE_PATH)


def srn() -> None:
    """Run the command `srn` of the repository that contains the working folder.

    That may be another clone than the one that was installed.
    """
    folder = os.getcwd()
    while not os.path.exists(os.path.join(folder, "stages", "run.py")):
        if folder == os.path.dirname(folder):
            installed = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
            sys.exit(f"error: {os.getcwd()} is not in a repository with srn: cd '{installed}'")
        folder = os.path.dirname(folder)
    script = os.path.join(folder, "stages", "run.py")
    os.execv(sys.executable, [sys.executable, script, "cli", *sys.argv[1:]])


if __name__ == "__main__":
    put_repository_last()
    import runpy  # only now, so that it is imported by the new sys.path

    if len(sys.argv) < 2:
        sys.exit(
            "usage: python stages/run.py MODULE [ARGUMENT...], such as forecasting.generate OUT"
        )
    del sys.argv[0]
    runpy.run_module(f"stages.{sys.argv[0]}", run_name="__main__", alter_sys=True)
