"""Run the `main` function of a stage or command, and print text that may come from others."""

import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, TextIO

from stages.shared.die_with_parent import die_with_starter
from stages.shared.errors import clean_message, explain_error, hide_secrets


def run_as_command(main: Callable[..., object], *arguments: str) -> None:
    """Call `main(*arguments)`, and turn errors that users can correct into one line and status 1.

    A stage also ends when the DVC process that runs it ends.
    """
    sys.excepthook = _print_traceback
    is_stage = "DVC_STAGE" in os.environ
    if is_stage:
        die_with_starter()
    try:
        try:
            main(*arguments)
        finally:
            # raises here if `head` has closed the pipe, instead of at exit, below another error
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
        os._exit(0)  # all output is flushed, and unloading PyTorch takes half a second


def show(text: str, file: TextIO | None = None) -> None:
    """Print text that others may have written, such as file names, without control characters.

    Args:
        text: any number of lines.
        file: standard output by default.
    """
    # not in a wrapper of `sys.stdout`: DVC wraps that in colorama, which fails on such text
    print(clean_message(text, most_lines=sys.maxsize), file=file, flush=True)


def _print_traceback(*error: Any) -> None:
    """Print a traceback without passwords."""
    sys.stderr.write(hide_secrets("".join(traceback.format_exception(*error))))
