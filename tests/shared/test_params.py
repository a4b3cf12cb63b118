from pathlib import Path

import pytest
from pydantic import Field

from stages.shared.errors import InputError
from stages.shared.params import Params, read_params


class Knobs(Params):
    rate: float = Field(gt=0)
    layers: int


def write(text):
    Path("params.yaml").write_text(text, encoding="utf-8")


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_section_is_found_by_its_dotted_path():
    write("task: {model: {rate: 0.1, layers: 2}}")

    assert read_params("task.model", Knobs) == Knobs(rate=0.1, layers=2)


@pytest.mark.parametrize(
    ("text", "field", "advice"),
    [
        ("knobs: {rate: 0.1, layers: 2, colour: red}", "knobs.colour", "not a known key"),
        ("knobs: {rate: '1e-3', layers: 2}", "knobs.rate", "valid number, got '1e-3'"),
        ("knobs:\n  rate: 0.1\n  layers: 1:30", "knobs.layers", "valid integer, got '1:30'"),
        ("knobs: {rate: 0.1, layers: 2, layers: 3}", "params.yaml", "duplicate key"),
        ("knobs: {rate: abc, layers: 2}", "knobs.rate", "got 'abc'"),
        ("knobs: {rate: -1.0, layers: 2}", "knobs.rate", "greater than 0, got -1.0"),
        ("knobs: {rate: 0.1, layers: 2.5}", "knobs.layers", "valid integer, got 2.5"),
        ("knobs: {rate: 0.1}", "knobs.layers", "is missing: add it"),
        ("knobs: {rate: true, layers: 1}", "knobs.rate", "got True"),
        ("other: {}", "knobs", "has no section"),
        ("knobs: [", "params.yaml", "is damaged"),
        ("", "params.yaml", "has no section"),
    ],
)
def test_a_wrong_field_is_named_in_one_line(text, field, advice):
    write(text)

    with pytest.raises(InputError) as error:
        read_params("knobs", Knobs)

    message = str(error.value)
    assert field in message and advice in message and "params.yaml" in message
    assert "\n" not in message
