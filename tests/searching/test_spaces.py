"""Recipes are drawn within their space, by nothing but the seed, before anything runs."""

import math
from typing import Any

import numpy as np
import pytest

from stages.searching.spaces import SearchParams, Term, change_entry, draw_recipes
from stages.shared.errors import InputError
from stages.shared.params import check_params

SPACE = {
    "rate": {"log": [0.001, 0.1]},
    "balance": {"uniform": [0.2, 0.4]},
    "network.hidden": {"choices": [16, 32, None]},
}


def params_of(**changes: Any) -> SearchParams:
    section = {
        "base": "a_model",
        "architecture": "a_classifier",
        "recipes": 200,
        "seed": 3,
        "seeds": [0],
        "score": "accuracy",
        "space": SPACE,
    }
    return check_params(section | changes, SearchParams, "search")


def test_draws_are_within_the_space_and_fill_it():
    base, *recipes = draw_recipes(params_of())

    rates = np.array([recipe["rate"] for recipe in recipes])
    balances = np.array([recipe["balance"] for recipe in recipes])
    assert base == {} and len(recipes) == 200
    assert 0.001 <= rates.min() < 0.0012 and 0.08 < rates.max() <= 0.1
    assert np.median(rates) == pytest.approx(0.01, rel=0.3)  # log: half of them below the middle
    assert 0.2 <= balances.min() < 0.21 and 0.39 < balances.max() <= 0.4
    assert np.median(balances) == pytest.approx(0.3, abs=0.02)
    assert {recipe["network.hidden"] for recipe in recipes} == {16, 32, None}


def test_a_drawn_number_has_three_digits():
    for recipe in draw_recipes(params_of())[1:]:
        digits = recipe["rate"] / 10 ** (math.floor(math.log10(recipe["rate"])) - 2)
        assert digits == pytest.approx(round(digits))


def test_more_recipes_leave_the_first_ones_as_they_are():
    few, more = draw_recipes(params_of(recipes=3)), draw_recipes(params_of(recipes=5))

    assert more[:4] == few


def test_another_param_leaves_the_draws_of_the_others_as_they_are():
    less = draw_recipes(params_of(space={"balance": SPACE["balance"]}))

    assert [recipe.get("balance") for recipe in draw_recipes(params_of())] == [
        recipe.get("balance") for recipe in less
    ]


def test_another_seed_draws_other_recipes():
    assert draw_recipes(params_of(seed=4))[1:] != draw_recipes(params_of())[1:]


def test_a_recipe_changes_what_it_names_and_nothing_else():
    entry = {"rate": 1, "network": {"hidden": 2, "cell": "gru"}}

    changed = change_entry(entry, {"network.hidden": 3, "label_smoothing": 0.1}, "space")

    assert changed == {"rate": 1, "network": {"hidden": 3, "cell": "gru"}, "label_smoothing": 0.1}
    assert entry == {"rate": 1, "network": {"hidden": 2, "cell": "gru"}}


def test_a_path_that_does_not_exist_is_rejected():
    with pytest.raises(InputError, match=r"space\.refine\.batch does not exist in the base"):
        change_entry({"refine": None}, {"refine.batch": 2}, "space")


@pytest.mark.parametrize(
    ("term", "reason"),
    [
        ({}, "give one of uniform, log and choices"),
        ({"log": [0.1, 1.0], "choices": [1]}, "give one of uniform, log and choices"),
        ({"uniform": [2.0, 1.0]}, "the first bound must be below the second"),
        ({"log": [0.0, 1.0]}, "log needs bounds above 0"),
        ({"uniform": [1.0]}, "at least 2 items"),
    ],
)
def test_an_invalid_term_is_rejected(term, reason):
    with pytest.raises(InputError, match=reason):
        check_params(term, Term, "space.rate")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"seeds": [1, 1]}, "seeds has a duplicate"),
        ({"space": {"seed": {"choices": [1, 2]}}}, "space cannot have seed"),
    ],
)
def test_a_search_that_contradicts_itself_is_rejected(changes, reason):
    with pytest.raises(InputError, match=reason):
        params_of(**changes)
