"""Errors that users can correct, each in one line: wrong input, too little memory or disk space."""

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
# user, password or token in a URL: everything between the scheme, or `user:`, and the last `@` of
# a word
_WORD = re.compile(r"[^\s'\"<>]+")
_LOGIN = re.compile(
    r"([\w+.-](?<!(?<![\w+.-])models):/{1,3})"  # http://user:password@host, http://token@host
    r"|(?<![\w.%+-])[\w.%+-]+:[^/]"  # user:password@host
)
# a password that contains spaces; `:8080` is a port, not a password
_BLANKS = re.compile(r"(://)[^\s/@:]+:(?!\d+(?:[/\s)\]}'\",;]|$))[^@\n'\"]{0,200}@(?=[\w.\[-])")
_FIELD = re.compile(r"([?&;][\w.-]+=)[^&;\s'\"<>)]+")  # postgresql://host/db?password=…
_HEADER = re.compile(r"\b((?:Basic|Bearer) )[\w+/=.~-]{6,}")
_SECRET_VARIABLE = re.compile("PASSWORD|TOKEN|SECRET|ACCESS_KEY")
_HOST = re.compile(r"([a-z][\w+.-]*:/{1,3})?(.*)", re.IGNORECASE | re.DOTALL)
_AUTHORITY = re.compile(r"(?:[\w.-]+|\[[\da-fA-F:.]+\])(?::\d+)?(?=[/?#]|$)")
# control characters, and Unicode characters that hide text or reverse its direction
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
_LONGEST_LINE, _MOST_LINES = 300, 1_000  # of a message
_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space and repeat",
    errno.EDQUOT: "your disk quota is used up: free some space and repeat",
    errno.EROFS: "the file system is read-only: work in a copy, or mount it for writing",
    errno.EACCES: "permission denied: change the permissions, or work in a copy of your own",
    errno.EPERM: "operation not permitted: change the permissions, or work in a copy of your own",
}


class InputError(Exception):
    """Wrong input; the message says what is wrong, where, and what to do."""


def explain_error(error: Exception) -> str | None:
    """Return one line for users, without passwords; None if the error is a bug."""
    message = None
    if isinstance(error, InputError):
        message = str(error)
    elif isinstance(error, (OSError, MemoryError, RuntimeError)):
        if is_out_of_memory(error):
            message = f"out of memory ({summarize(error)}): {LESS_MEMORY}"
        elif isinstance(error, RuntimeError) and _DISK.search(str(error)):
            reason = summarize(error)
            message = f"weights could not be written ({reason}): is the disk full? free some"
        elif isinstance(error, OSError) and error.errno in _ADVICE:
            where = f"{error.filename}: " if error.filename else ""
            message = f"{where}{_ADVICE[error.errno]}"
    return None if message is None else clean_message(message)


def hide_secrets(text: str) -> str:
    """Replace logins and query values of URLs, and other secrets, by `***`.

    For text of other programs, such as errors of MLflow; our own messages use `show_address`.
    Takes time linear in the length of any text.
    """
    for name, value in os.environ.items():
        if len(value) >= 4 and _SECRET_VARIABLE.search(name):
            text = text.replace(value, "***")
    text = _BLANKS.sub(r"\1***@", _WORD.sub(_hide_login, text))
    return _HEADER.sub(r"\1***", _FIELD.sub(r"\1***", text))


def _hide_login(word: re.Match[str]) -> str:
    """Replace the login in a word of a text."""
    before, at, host = word[0].rpartition("@")
    login = _LOGIN.search(before)
    if not login:
        return word[0]
    return f"{before[: login.start()]}{login[1] or ''}***{at}{host}"


def show_address(address: str) -> str:
    """Return the scheme and host of a URL, without login, path and query; a file's URL whole."""
    match = _HOST.fullmatch(address)
    assert match  # it matches any text
    scheme, rest = match[1] or "", match[2]
    if scheme.startswith(("sqlite:", "file:")) or (not scheme and "@" not in rest):
        return hide_secrets(address)
    if not _AUTHORITY.match(rest):
        rest = rest.rpartition("@")[2]
    return scheme + re.split("[/?#]", rest)[0]


def clean_message(text: str, most_lines: int = _MOST_LINES) -> str:
    """Remove secrets and control characters from a message, and shorten it if it is too long."""
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
    """Return whether NumPy, PyTorch or the system could not allocate memory."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or bool(_MEMORY.search(str(error).lower()))


def summarize(error: Exception) -> str:
    """Return the first line of an error, at most 200 characters."""
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:200]
