"""Errors that people are meant to read, each in one line: wrong input, no memory, no disk space."""

import errno
import os
import re

_MEMORY = re.compile(
    r"not enough memory|can't allocate memory|cannot allocate memory|out of memory"
)
LESS_MEMORY = (
    "lower batch, the sizes of the network or iterations in params.yaml, or let fewer stages run "
    "at once: make repro JOBS=1"
)
_DISK = re.compile("PytorchStreamWriter|unexpected pos|iostream error")  # messages of torch.save
# user, password or token before the host of an address: in a word without blanks and quotes all
# that stands before its last `@`, from a scheme or from `user:` on
_WORD = re.compile(r"[^\s'\"<>]+")
_LOGIN = re.compile(
    r"([\w+.-](?<!(?<![\w+.-])models):/{1,3})"  # http://user:password@host, http://token@host
    r"|(?<![\w.%+-])[\w.%+-]+:[^/]"  # user:password@host
)
# a password with blanks; what looks like a port is none
_BLANKS = re.compile(r"(://)[^\s/@:]+:(?!\d+(?:[/\s)\]}'\",;]|$))[^@\n'\"]{0,200}@(?=[\w.\[-])")
_FIELD = re.compile(r"([?&;][\w.-]+=)[^&;\s'\"<>)]+")  # postgresql://host/db?password=…
_HEADER = re.compile(r"\b((?:Basic|Bearer) )[\w+/=.~-]{6,}")
_SECRET_VARIABLE = re.compile("PASSWORD|TOKEN|SECRET|ACCESS_KEY")
_HOST = re.compile(r"([a-z][\w+.-]*:/{1,3})?(.*)", re.IGNORECASE | re.DOTALL)
_AUTHORITY = re.compile(r"(?:[\w.-]+|\[[\da-fA-F:.]+\])(?::\d+)?(?=[/?#]|$)")
# what a terminal obeys instead of printing it, and what hides or turns text around
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
_LONGEST_LINE, _MOST_LINES = 300, 1_000  # of a message
_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space and repeat",
    errno.EDQUOT: "your share of the disk is full: free some space and repeat",
    errno.EROFS: "the file system can only be read: work in a copy, or mount it for writing",
    errno.EACCES: "you may not do this: give yourself the right, or work in a copy of your own",
    errno.EPERM: "you may not do this: give yourself the right, or work in a copy of your own",
}


class InputError(Exception):
    """Wrong input; the message contains what is wrong, where, and what to do."""


def explain_error(error: Exception) -> str | None:
    """One line without passwords: what is wrong and what to do; None if the error is a bug."""
    message = None
    if isinstance(error, InputError):
        message = str(error)
    elif isinstance(error, (OSError, MemoryError, RuntimeError)):
        if is_out_of_memory(error):
            message = f"memory ran out ({summarize(error)}): {LESS_MEMORY}"
        elif isinstance(error, RuntimeError) and _DISK.search(str(error)):
            reason = summarize(error)
            message = f"weights could not be written ({reason}): is the disk full? free some"
        elif isinstance(error, OSError) and error.errno in _ADVICE:
            where = f"{error.filename}: " if error.filename else ""
            message = f"{where}{_ADVICE[error.errno]}"
    return None if message is None else clean_message(message)


def hide_secrets(text: str) -> str:
    """The same without the logins and query values of the addresses in it, and other secrets.

    For texts of others, such as errors of MLflow and of requests. Our own messages have
    `show_address` of an address. The time grows with the length of the text alone, whatever it is.
    """
    for name, value in os.environ.items():
        if len(value) >= 4 and _SECRET_VARIABLE.search(name):
            text = text.replace(value, "***")
    text = _BLANKS.sub(r"\1***@", _WORD.sub(_hide_login, text))
    return _HEADER.sub(r"\1***", _FIELD.sub(r"\1***", text))


def _hide_login(word: re.Match[str]) -> str:
    """A word of a text without the login in it."""
    before, at, host = word[0].rpartition("@")
    login = _LOGIN.search(before)
    if not login:
        return word[0]
    return f"{before[: login.start()]}{login[1] or ''}***{at}{host}"


def show_address(address: str) -> str:
    """Scheme and host of an address, without login, path and query; a file's address whole."""
    match = _HOST.fullmatch(address)
    assert match  # it matches all texts
    scheme, rest = match[1] or "", match[2]
    if scheme.startswith(("sqlite:", "file:")) or (not scheme and "@" not in rest):
        return hide_secrets(address)
    if not _AUTHORITY.match(rest):
        rest = rest.rpartition("@")[2]
    return scheme + re.split("[/?#]", rest)[0]


def clean_message(text: str, most_lines: int = _MOST_LINES) -> str:
    """A message without secrets and control characters, its lines and their number bounded."""
    lines = []
    for line in hide_secrets(text).split("\n"):
        shown = _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), line)
        if len(shown) > _LONGEST_LINE:
            half = _LONGEST_LINE // 2 - 2
            shown = f"{shown[:half]} … {shown[-half:]}"
        lines.append(shown)
    more = len(lines) - most_lines
    return "\n".join([*lines[:most_lines], *([f"… {more} more lines"] if more > 0 else [])])


def is_out_of_memory(error: Exception) -> bool:
    """Whether NumPy, PyTorch or the system had no memory to give."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or bool(_MEMORY.search(str(error).lower()))


def summarize(error: Exception) -> str:
    """First line of an error that can fill a page."""
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:200]
