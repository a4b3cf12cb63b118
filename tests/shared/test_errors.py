"""What is printed of others: no secrets, nothing that a terminal obeys, no endless lines."""

import time

import pytest

from stages.shared.errors import clean_message, hide_secrets, show_address

SECRETS = [
    "http://user:s3cret@host/path",
    "http://user:s3/cret@host:80/path",  # a slash in the password
    "http://user:s3 cret@host/path",  # a blank
    "http://user:s3@cret@host/path",
    "http:/user:s3cret@host/path",  # a slash is missing
    "http:user:s3cret@host/path",
    "user:s3cret@host/path",  # the scheme is missing
    "https://s3cret-token@host/path",  # a token as the user's name
    "https://host/path?token=s3cret&page=1",
    "https://host/path?page=1;key=s3cret",
    "postgresql://user:s3cret@host/db?password=s3cret",
    "Authorization: Bearer s3cret-token",
    "Authorization: Basic dXNlcjpzM2NyZXQ=",
]
PLAIN = [
    "http://host:5000 cannot be reached: mail me@example.org",
    "models:/surnames@champion",
    "models:/surnames@champion at http://host:80/path",
    "sqlite:////a folder/mlflow.db",
    "data/series/level.csv, line 3: '1:30' is not a number",
    "[::1]:5000",
]


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_are_hidden_wherever_they_stand_in_an_address(text):
    shown = hide_secrets(f"it failed ({text}): try again")

    assert not any(part in shown for part in ("s3", "cret", "dXNl"))
    assert shown.startswith("it failed (") and shown.endswith("): try again")


@pytest.mark.parametrize("text", PLAIN)
def test_texts_that_are_not_secret_are_unchanged(text):
    assert hide_secrets(text) == text


@pytest.mark.parametrize("part", ["a:/", "a-", "a:", "a.", "http://x:y ", "?a=", "a:/x@ "])
@pytest.mark.parametrize("ending", ["", "@"])
def test_a_megabyte_is_searched_for_secrets_in_a_second(part, ending):
    text = f"{ending}{part * (10**6 // len(part))}{ending}"

    started = time.perf_counter()
    hide_secrets(text)

    assert time.perf_counter() - started < 10  # with the square of the length it would be hours


def test_secrets_of_the_environment_are_hidden_in_any_text(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "open sesame")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "abc/def+123")

    shown = hide_secrets("login open sesame failed, abc/def+123 too")

    assert shown == "login *** failed, *** too"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://user:s3cret@host:5000/path?token=s3cret", "https://host:5000"),
        ("https://user:s3/cret@host/path", "https://host"),
        ("https://s3cret@host", "https://host"),
        ("user:s3 cret@host:80/path", "host:80"),
        ("https://host/models/@7", "https://host"),
        ("http://[::1]:5000/path", "http://[::1]:5000"),
        ("sqlite:////a folder/mlflow.db", "sqlite:////a folder/mlflow.db"),
        ("/a/data.zip", "/a/data.zip"),
    ],
)
def test_only_scheme_and_host_of_an_address_are_shown(address, shown):
    assert show_address(address) == shown


def test_control_characters_in_a_message_are_escaped():
    message = clean_message("column \x1b[31mred\x1b[0m\r\x07 \u202ename\x9b5n\tok")

    assert message == r"column \x1b[31mred\x1b[0m\r\x07 \u202ename\x9b5n" + "\tok"


def test_a_long_line_keeps_its_beginning_and_its_end():
    message = clean_message(f"column {'a' * 8_900_000} is not there: name another\nsecond line")

    first, second = message.split("\n")
    assert len(first) <= 300
    assert first.startswith("column aaa") and first.endswith("aaa is not there: name another")
    assert second == "second line"


def test_a_message_of_many_lines_ends_with_their_number():
    message = clean_message("\n".join(["one more"] * 5_000))

    assert message.splitlines()[-1] == "… 4000 more lines"
