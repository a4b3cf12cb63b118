"""The literal programs in benchmarks/published/ give the figures of the walk-throughs.

They are what our own training is compared with, so they are checked first. Bands are the 5 and
95 % of the reference runs over seeds; the median of a few seeds has to lie inside.
"""

import math
from statistics import mean, median

import pytest
import torch
from torch import nn

from benchmarks.published import carried_rnn, lagged_rnn, small_init_rnn, surname_rnn, windowed_lstm

NAMES = [("Schmidt", 6), ("Yue tingsong", 1), ("O'Neill", 8), ("Li", 0)]


@pytest.fixture(scope="module")
def carried() -> list[carried_rnn.Trained]:
    return [carried_rnn.train(seed=seed) for seed in range(5)]


@pytest.fixture(scope="module")
def lagged() -> list[lagged_rnn.Trained]:
    return [lagged_rnn.train(seed=seed) for seed in range(5)]


@pytest.fixture(scope="module")
def windowed() -> windowed_lstm.Trained:
    return windowed_lstm.train(seed=42)


def test_carried_rnn_ends_at_the_published_loss(carried):
    final = median(trained.losses[-1] for trained in carried)

    assert 1.9e-3 < final < 1.7e-2


def test_carried_rnn_has_the_published_error_from_one_point(carried):
    errors = [
        carried_rnn.one_point_free_run(trained.model, trained.state, start)
        for trained in carried
        for start in range(3)
    ]

    assert 0.045 < median(errors) < 1.5


@pytest.mark.parametrize(
    ("step", "published"), [(0, 0.495), (10, 0.069), (25, 4.1e-3), (50, 4.9e-4)]
)
def test_lagged_rnn_learns_at_the_published_pace(lagged, step, published):
    loss = median(trained.losses[step] for trained in lagged)

    assert published / 4 < loss < published * 4  # five seeds; the loss falls a thousandfold


def test_lagged_rnn_ends_at_the_published_loss(lagged):
    final = median(trained.losses[-1] for trained in lagged)

    assert 4.5e-5 < final < 5.2e-4


def test_lagged_rnn_continues_as_published(lagged):
    errors = [
        lagged_rnn.continue_free_run(trained.model, trained.state, steps=49) for trained in lagged
    ]

    assert 2.2e-3 < median(errors) < 6.0e-2


def test_windowed_lstm_has_the_published_score(windowed):
    error = windowed_lstm.forecast(windowed.model, windowed_lstm.make_series())

    assert error == pytest.approx(0.0088976, rel=1e-4)


def test_windowed_lstm_loses_the_phase_within_500_steps(windowed):
    error = windowed_lstm.forecast(windowed.model, windowed_lstm.make_series(1260), steps=500)

    assert error == pytest.approx(0.345, abs=5e-4)


def test_windowed_lstm_prints_the_last_loss_which_is_below_the_epochs_mean(windowed):
    assert windowed.losses[-1] == pytest.approx(1.3e-4, abs=5e-6)
    assert mean(windowed.losses[-720:]) == pytest.approx(4.3e-4, abs=5e-6)


def test_windowed_lstm_test_needs_no_network():
    series = windowed_lstm.make_series()

    copied = nn.functional.mse_loss(series[-80:-40], series[-40:]).item()

    assert copied < 1e-9  # the period equals the window


def test_windows_are_720_and_labelled_with_the_next_point():
    series = windowed_lstm.make_series()

    windows = windowed_lstm.cut_windows(series[:-40])

    assert len(windows) == 720
    assert torch.equal(windows[1][0], series[1:41])
    assert torch.equal(windows[-1][1], series[759:760])


def test_the_hand_written_cell_equals_nn_rnncell():
    model = surname_rnn.SurnameRNN()
    recurrent = nn.RNN(57, surname_rnn.HIDDEN)
    u, w = model.u.state_dict(), model.w.state_dict()
    recurrent.load_state_dict(
        {"weight_ih_l0": u["weight"], "bias_ih_l0": u["bias"]}
        | {"weight_hh_l0": w["weight"], "bias_hh_l0": w["bias"]}
    )
    letters = surname_rnn.encode_name("Yue Tingsong")

    _, hidden = recurrent(letters)
    log_probabilities = model.v(hidden[0]).log_softmax(dim=1)

    torch.testing.assert_close(surname_rnn.read_name(model, letters), log_probabilities)


def test_surname_rnn_predicts_at_every_letter_and_uses_the_last_prediction():
    model = surname_rnn.SurnameRNN()
    answers = []
    model.v.register_forward_hook(lambda module, given, answer: answers.append(answer))

    last = surname_rnn.read_name(model, surname_rnn.encode_name("Yue"))

    assert len(answers) == 3
    torch.testing.assert_close(last, answers[-1].log_softmax(dim=1))


def test_surname_rnn_starts_as_a_guess_among_18_languages():
    losses = [surname_rnn.train(1, [draw]).losses[0] for draw in NAMES]

    assert losses == pytest.approx([math.log(18)] * len(NAMES), abs=0.2)


def test_surname_rnn_takes_one_plain_gradient_step_a_name():
    initial = surname_rnn.SurnameRNN().state_dict()
    model = surname_rnn.SurnameRNN()
    model.load_state_dict(initial)
    answer = surname_rnn.read_name(model, surname_rnn.encode_name("Schmidt"))
    nn.functional.nll_loss(answer, torch.tensor([6])).backward()

    trained = surname_rnn.train(1, [("Schmidt", 6)], initial=initial).model.state_dict()

    for name, parameter in model.named_parameters():
        torch.testing.assert_close(trained[name], initial[name] - 0.005 * parameter.grad)


def test_surname_is_cleaned_before_it_is_judged():
    model = surname_rnn.SurnameRNN()

    typed = surname_rnn.log_probabilities(model, "Nguyễn-1")

    assert torch.equal(typed, surname_rnn.log_probabilities(model, "Nguyen"))
    assert typed.exp().sum().item() == pytest.approx(1)


@pytest.mark.parametrize(
    ("program", "draws"),
    [
        pytest.param(carried_rnn, {"draws": [3, 1, 9, 0]}, id="carried_rnn"),
        pytest.param(lagged_rnn, {}, id="lagged_rnn"),
        pytest.param(surname_rnn, {"draws": NAMES}, id="surname_rnn"),
        pytest.param(windowed_lstm, {}, id="windowed_lstm"),
        pytest.param(small_init_rnn, {"draws": [2, 1, 0, 2]}, id="small_init_rnn"),
    ],
)
def test_initial_weights_and_draws_decide_every_loss(program, draws):
    untrained = program.train(0, seed=7, **draws).model.state_dict()

    once = program.train(4, initial=untrained, seed=1, **draws)
    again = program.train(4, initial=untrained, seed=2, **draws)

    assert once.losses == again.losses
    assert len(once.losses) == 4


@pytest.mark.parametrize("program", [carried_rnn, small_init_rnn])
def test_clipping_records_the_norm_it_found_and_changes_the_steps_after(program):
    draws = [2, 1, 0, 2]

    free = program.train(4, draws)
    loose = program.train(4, draws, clip_norm=10)
    tight = program.train(4, draws, clip_norm=0.01)

    assert loose.losses == free.losses
    assert tight.gradient_norms[0] == loose.gradient_norms[0] > 0.01
    assert tight.losses[0] == free.losses[0]
    assert tight.losses[3] != free.losses[3]


@pytest.mark.parametrize("program", [carried_rnn, small_init_rnn])
def test_no_gradient_is_measured_where_none_is_clipped(program):
    assert program.train(2, [2, 1]).gradient_norms == []


def test_small_init_rnn_starts_with_small_recurrent_weights_and_a_default_head():
    model = small_init_rnn.train(0).model

    recurrent = nn.utils.parameters_to_vector(model.recurrent.parameters())
    head = nn.utils.parameters_to_vector(model.head.parameters())

    assert recurrent.std().item() == pytest.approx(0.001, rel=0.2)
    assert head.abs().max().item() > 0.1


@pytest.mark.slow  # a minute: three seeds of 6,000 updates
def test_small_init_rnn_reaches_the_published_figures():
    runs = [small_init_rnn.train(seed=seed, clip_norm=10) for seed in range(3)]

    errors = [
        small_init_rnn.one_point_free_run(trained.model, trained.state, start)
        for trained in runs
        for start in range(3)
    ]

    assert 9e-5 < median(trained.losses[-1] for trained in runs) < 5.9e-4
    assert 0.015 < median(errors) < 0.71
    assert max(max(trained.gradient_norms) for trained in runs) < 10  # clipping never fires
