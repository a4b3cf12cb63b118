"""The one error that people are meant to read."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class InputError(Exception):
    """What a person gave is wrong: the message says what, where and what to do."""


@contextmanager
def exit_on_input_error() -> Iterator[None]:
    """End the process with one line and status 1 instead of a traceback."""
    try:
        yield
    except InputError as error:
        sys.exit(f"error: {error}")
