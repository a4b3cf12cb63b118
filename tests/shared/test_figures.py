from dataclasses import replace

import numpy as np
import pytest

from stages.shared.figures import draw_curves, name_cell
from stages.shared.tables import Curves

CURVES = Curves([1, 2, 3, 4], [4.0, 3.0, 2.0, 1.0], [None, 3.5, None, 1.5], [None] * 4)
PLAIN = Curves([1, 2], [4.0, 3.0], [None, None], [None, None])


def draw(curves, **network):
    return draw_curves(curves, None, network, "nats", "model", "blue")


@pytest.mark.parametrize(
    ("network", "name"),
    [
        ({"cell": "rnn_tanh", "hidden": 3}, "RNN"),
        ({"cell": "lstm"}, "LSTM"),
        ({"cell": "gru"}, "GRU"),
        ({"hidden": 128}, "RNN"),
        ({"num_buckets": 64}, ""),
    ],
)
def test_a_title_names_the_cell(network, name):
    assert name_cell(network) == name
    assert draw(PLAIN, **network)["loss_linear"].get_suptitle() == f"{name} LOSS".strip()


def test_the_published_picture_is_one_linear_line():
    axes = draw(PLAIN, cell="lstm")["loss_linear"].axes[0]

    (line,) = axes.lines
    assert axes.get_yscale() == "linear"
    assert line.get_color() == "blue"
    np.testing.assert_array_equal(line.get_xydata(), [[1, 4], [2, 3]])


def test_the_published_picture_shows_means_alone_where_they_were_taken():
    (line,) = draw(CURVES)["loss_linear"].axes[0].lines

    np.testing.assert_array_equal(line.get_xydata(), [[2, 3.5], [4, 1.5]])


def test_a_label_of_the_published_loss_is_its_legend():
    figure = draw_curves(PLAIN, None, {}, "nats", "model", "blue", "loss")["loss_linear"]

    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["loss"]
    assert not draw(PLAIN)["loss_linear"].legends


def test_our_picture_is_logarithmic_and_shows_both():
    axes = draw(CURVES)["loss"].axes[0]

    assert axes.get_yscale() == "log"
    assert [len(line.get_xdata()) for line in axes.lines] == [4, 2]


def test_the_loss_on_validation_is_drawn_where_it_was_measured():
    curves = replace(PLAIN, validation_loss=[None, 2.5])

    *_, line = draw(curves)["loss"].axes[0].lines

    assert line.get_label() == "validation"
    np.testing.assert_array_equal(line.get_xydata(), [[2, 2.5]])


def test_the_iteration_at_which_lbfgs_took_over_is_marked():
    figures = draw_curves(CURVES, None, {}, "nats", "model", refined_after=2)

    *_, mark = figures["loss"].axes[0].lines
    assert list(mark.get_xdata()) == [2, 2]
    assert [text.get_text().strip() for text in figures["loss"].axes[0].texts] == ["L-BFGS"]


def test_a_model_without_training_has_no_loss_figures():
    assert draw(Curves()) == {}
