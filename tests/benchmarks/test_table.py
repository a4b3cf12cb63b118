import pytest

from benchmarks.table import (
    Row,
    at_least,
    at_most,
    format_seconds,
    format_spread,
    judge,
    render_grid,
    render_sections,
    render_table,
)


def test_a_spread_is_the_median_with_the_extremes():
    assert format_spread([3.0, 1.0, 2.0], "×") == "2× [1–3]"
    assert format_spread([0.25], " of it") == "0.25 of it"
    assert format_spread([0.5, 0.25, 0.125, 1.0]) == "0.375 [0.125–1]"
    assert format_spread([], "×") == "–"


@pytest.mark.parametrize(
    ("seconds", "text"), [(125.0, "125 s"), (0.0123, "12.3 ms"), (58e-6, "58 µs")]
)
def test_seconds_have_a_readable_unit(seconds, text):
    assert format_seconds(seconds) == text


def test_a_missed_goal_says_by_how_much():
    goals = [at_least("accuracy", 0.78, 0.80), at_most("share", 0.3, 0.32)]

    assert judge(goals) == "accuracy 0.78 misses 0.8 by 2.5%"
    assert judge(goals[1:]) == "met"
    assert judge([]) == "–"


def test_a_large_miss_is_given_as_a_factor():
    assert judge([at_most("mse", 5e-3, 1e-3)]) == "mse 0.005 misses 0.001 by a factor of 5"


def test_all_sections_make_one_table():
    row = Row("step", "2 s", "4 s", [2.0], goals=[at_least("ratio", 2.0, 1.5)])

    table = render_table({"First": [row], "Second": [row]})

    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    assert [line[0] for line in cells] == ["what", "---", "**First**", "step", "**Second**", "step"]
    assert cells[3] == ["step", "2 s", "4 s", "2×", "–", "ratio ≥ 1.5", "met"]
    assert {len(line) for line in cells} == {7}


def test_a_grid_has_as_many_cells_in_each_line_as_columns():
    grid = render_grid(["a", "b"], [["1", "2"], ["**all**"]])

    assert grid.splitlines() == ["| a | b |", "| --- | --- |", "| 1 | 2 |", "| **all** |  |"]


def test_the_text_of_a_section_is_below_the_table():
    rows = [Row("step", "2 s")]

    page = render_sections({"First": rows, "Words": "as they are", "Second": rows})

    table = render_table({"First": rows, "Second": rows})
    assert page == f"{table}\n\n## Words\n\nas they are"


def test_texts_alone_need_no_table():
    assert render_sections({"Words": "as they are"}) == "## Words\n\nas they are"
