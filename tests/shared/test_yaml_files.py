from itertools import pairwise

import pytest
from dvc.utils.serialize import load_yaml

from stages.shared.yaml_files import format_yaml, parse_yaml, read_yaml

CONTENT = {
    "rate": 1e-05,
    "large": 1e16,
    "none": None,
    "texts": ["010", "1e-5", "yes", "null", "it's: so", ""],
    "flags": [True, False],
    "nested": {"b": [1, 2.5], "a": {}},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("0o10", 8),
        ("1_000", 1000),
        ("1:30", "1:30"),
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("1e-05", 1e-05),  # as `dvc exp run -S` writes it
        ("1e3", 1000.0),
        ("~", None),
    ],
)
def test_a_value_is_what_dvc_records(text, value, tmp_path):
    (tmp_path / "params.yaml").write_text(f"value: {text}\n", encoding="utf-8")

    recorded = load_yaml(str(tmp_path / "params.yaml"))

    assert parse_yaml(f"value: {text}\n") == recorded == {"value": value}
    assert type(parse_yaml(f"value: {text}\n")["value"]) is type(value)


@pytest.mark.parametrize("text", ["a: [", "a: 1\na: 2", "a: " + "[" * 10_000, "%"])
def test_invalid_yaml_is_a_one_line_error(text):
    with pytest.raises(ValueError, match=r"^.+$") as error:
        parse_yaml(text)

    assert "\n" not in str(error.value)


@pytest.mark.parametrize("flow", [False, True])
def test_what_is_written_is_read_again(flow):
    assert parse_yaml(format_yaml(CONTENT, flow=flow)) == CONTENT


def test_keys_keep_their_order():
    assert list(parse_yaml(format_yaml(CONTENT))) == list(CONTENT)


def test_aliases_for_billions_of_values_are_a_one_line_error():
    lines = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for before, name in pairwise("abcdefghij"):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]")

    with pytest.raises(ValueError, match="aliases stand for more than 1,000,000 values"):
        parse_yaml("\n".join(lines))


@pytest.mark.parametrize("start", ["[", "{a: ", "- ", "? "])
def test_thousands_of_nested_levels_are_a_one_line_error(start):
    with pytest.raises(ValueError, match="more than 200 levels"):
        parse_yaml(f"a:\n  {start * 100_000}")


def test_a_file_of_a_hundred_nested_levels_is_read_and_copied(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(f"a: {'[' * 180}{']' * 180}", encoding="utf-8")

    first, second = read_yaml(path), read_yaml(path)

    first["a"].append(1)
    assert second["a"] != first["a"]


def test_a_few_aliases_are_read():
    assert parse_yaml("a: &a [1, 2]\nb: *a") == {"a": [1, 2], "b": [1, 2]}
