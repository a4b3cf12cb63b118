import re
from pathlib import Path

import pytest

from stages.cli.dag import draw_mermaid, list_arrows, replace_drawing
from stages.shared.errors import InputError
from stages.shared.yaml_files import parse_yaml

ROOT = Path(__file__).parents[2]
KINDS = {"cut": set(), "train": {"cut"}, "score": {"cut", "train"}, "track": {"train", "score"}}


def test_an_arrow_that_a_longer_way_implies_is_left_out():
    assert list_arrows(KINDS) == [("train", "score"), ("score", "track"), ("cut", "train")]


def test_the_drawing_replaces_the_one_before_and_nothing_else():
    text = "before\n```mermaid\nold\n```\nafter\n"

    drawn = replace_drawing(text, draw_mermaid({"cut": set(), "train": {"cut"}}))

    assert drawn == "before\n```mermaid\nflowchart LR\n    cut --> train\n```\nafter\n"


def test_a_text_without_a_block_is_refused():
    with pytest.raises(InputError, match="no ```mermaid block"):
        replace_drawing("text", "drawing")


def test_the_readme_draws_every_kind_of_stage():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    stages = parse_yaml((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]

    _, _, rest = readme.partition("```mermaid\n")
    drawn = re.findall(r"\w+(?= -->)|(?<=--> )\w+", rest.partition("```")[0])

    assert set(drawn) == set(stages), "type `make dag`"
