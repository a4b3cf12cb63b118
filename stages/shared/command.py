"""Run the `main` of the module that Python was started with: the last line of each such module.

And print what that has to show of others.
"""

import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, TextIO

from stages.shared.die_with_parent import die_with_starter
from stages.shared.errors import clean_message, explain_error, hide_secrets


def run_as_command(main: Callable[..., object], *arguments: str) -> None:
    """Call `main`; an error that a person can correct ends this process with one line.

    A stage also ends with the dvc that runs it, and exits without delay.

    Args:
        main: of the module that Python was started with.
        arguments: of `main`.
    """
    sys.excepthook = _print_traceback
    is_stage = "DVC_STAGE" in os.environ
    if is_stage:
        die_with_starter()
    try:
        try:
            main(*arguments)
        finally:
            # a pipe that `head` closed shows here, or else at the very end, below another error
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's last flush
        sys.exit(1)
    except Exception as error:
        message = explain_error(error)
        if message is None:
            raise  # a bug
        sys.exit(f"error: {message}")
    if is_stage and "torch" in sys.modules:
        os._exit(0)  # all output is flushed; PyTorch takes half a second to leave


def show(text: str, file: TextIO | None = None) -> None:
    """Print what others may have written, such as names of files, without what a terminal obeys.

    It cannot be done in `sys.stdout`: DVC puts colorama before that, which stops at such texts.

    Args:
        text: any number of lines.
        file: standard output by default.
    """
    print(clean_message(text, most_lines=sys.maxsize), file=file, flush=True)


def _print_traceback(*error: Any) -> None:
    """Print a traceback without the passwords in it, wherever they come from."""
    sys.stderr.write(hide_secrets("".join(traceback.format_exception(*error))))
