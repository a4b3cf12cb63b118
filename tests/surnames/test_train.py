from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from benchmarks.published import surname_rnn
from stages.models.elman_classifier import ElmanClassifier
from stages.shared.errors import InputError
from stages.shared.params import check_params
from stages.surnames.alphabet import SYMBOLS, encode_name
from stages.surnames.names import Names, Vocabulary, batch_names, pad_names
from stages.surnames.train import SurnameParams, draw_names, make_batches, sort_batches, train

PARAMS = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
OFFICIAL = PARAMS["surnames"]["surname_rnn"]

WORDS = ["Abe", "Kowalska", "O'Neal", "Li", "Yamamoto", "de la Cruz", "Ng", "Papadopoulos"]
CPU = torch.device("cpu")


def params_of(**changes):
    base = {**OFFICIAL, "iterations": 20, "log_every": 1, "mean_every": None, "print_every": None}
    return SurnameParams.model_validate({**base, **changes})


def names_of(words=WORDS, num_languages=18):
    encoded = [encode_name(word) for word in words]
    lengths = np.array([len(word) for word in words])
    return Names(pad_names(encoded), lengths, np.arange(len(words)) % num_languages)


def vocabulary(num_languages=18):
    return Vocabulary("custom", SYMBOLS, [f"L{n:02}" for n in range(num_languages)])


@pytest.mark.parametrize("gradient", ["by_hand", "autograd"])
def test_losses_are_those_of_the_published_program(gradient):
    params = params_of(iterations=200, gradient=gradient)
    names = names_of()
    draws = [(WORDS[n], int(names.languages[n])) for n in draw_names(params, names.languages)]

    _, _, curves = train(params, names, vocabulary(), "x")
    theirs = surname_rnn.train(200, draws, seed=params.seed)

    np.testing.assert_allclose(curves.loss, theirs.losses, rtol=1e-5)


def test_gradients_by_hand_have_the_norm_of_automatic_ones():
    runs = [
        train(params_of(gradient=g), names_of(), vocabulary(), "x")[2]
        for g in ("by_hand", "autograd")
    ]

    np.testing.assert_allclose(runs[0].gradient_norm, runs[1].gradient_norm, rtol=1e-4)


def test_the_hand_written_cell_gives_what_torch_gives_with_the_same_weights():
    torch.manual_seed(0)
    ours = ElmanClassifier(num_letters=57, num_languages=18, hidden=16)
    torchs = torch.nn.RNN(57, 16, batch_first=True)
    for mine, its in (("u", "ih"), ("w", "hh")):
        getattr(torchs, f"weight_{its}_l0").data = getattr(ours, mine).weight.data
        getattr(torchs, f"bias_{its}_l0").data = getattr(ours, mine).bias.data
    letters, lengths = batch_names(["Papadopoulos"], SYMBOLS)

    _, state = torchs(torch.nn.functional.one_hot(letters, 57).float())

    expected = torch.log_softmax(ours.v(state[0]), dim=1)
    torch.testing.assert_close(ours(letters, lengths), expected)


def test_a_name_of_a_language_is_drawn_as_often_as_its_balance_says():
    languages = np.repeat([0, 1], [90, 10])

    shares = {
        balance: languages[
            draw_names(params_of(iterations=20_000, balance=balance), languages)
        ].mean()
        for balance in (0.0, 0.5, 1.0)
    }

    assert shares[0.0] == pytest.approx(0.1, abs=0.02)
    assert shares[0.5] == pytest.approx(0.25, abs=0.02)  # √0.1 / (√0.9 + √0.1)
    assert shares[1.0] == pytest.approx(0.5, abs=0.02)


def test_an_epoch_shows_every_name_once_if_nothing_is_balanced():
    params = params_of(sampling="epochs", balance=0.0, batch=5, iterations=4, gradient="autograd")

    draws = draw_names(params, np.repeat([0, 1], [7, 3]))

    assert sorted(draws[:10]) == sorted(draws[10:]) == list(range(10))
    assert draws[:10].tolist() != draws[10:].tolist()


def test_an_epoch_repeats_a_name_as_often_as_expected():
    params = params_of(sampling="epochs", balance=1.0, batch=10, iterations=1, gradient="autograd")

    draws = draw_names(params, np.repeat([0, 1], [9, 1]))

    assert np.bincount(draws, minlength=10)[9] == 5


def test_sorted_batches_hold_the_same_names_with_less_padding():
    params = params_of(batch=4, iterations=8, sorted_batches=8, gradient="autograd")
    lengths = np.arange(32)[::-1] % 13
    draws = np.random.default_rng(0).permutation(32)

    batches = sort_batches(draws.copy(), lengths, params)

    assert sorted(batches.ravel()) == list(range(32))
    spread = np.ptp(lengths[batches], axis=1).mean()
    assert spread < np.ptp(lengths[draws.reshape(8, 4)], axis=1).mean() / 3


def test_a_batch_is_as_wide_as_its_longest_name():
    params = params_of(batch=3, iterations=5, gradient="autograd")

    for letters, lengths, _ in make_batches(params, names_of(), CPU):
        assert letters.shape == (3, lengths.max())


def test_the_walk_throughs_progress_line_is_printed(capsys):
    train(params_of(print_every=10), names_of(), vocabulary(), "x")

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert " / L" in lines[0] and ("✓" in lines[0] or "✗ (L" in lines[0])


def test_mean_loss_averages_the_updates_since_the_last():
    every = train(params_of(), names_of(), vocabulary(), "x")[2]
    sparse = train(params_of(log_every=5, mean_every=5), names_of(), vocabulary(), "x")[2]

    assert sparse.iteration == [5, 10, 15, 20]
    assert sparse.mean_loss[1] == pytest.approx(np.mean(every.loss[5:10]))


def test_same_seed_same_weights_and_another_seed_others():
    weights = [
        train(params_of(seed=s), names_of(), vocabulary(), "x")[0].w.weight for s in (1, 1, 2)
    ]

    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_loss_that_is_no_number_stops_at_its_iteration():
    params = params_of(rate=1e38, gradient="autograd")

    with pytest.raises(InputError, match=r"x: the loss became (nan|inf) at iteration \d+"):
        train(params, names_of(), vocabulary(), "x")


@pytest.mark.parametrize(
    "changes", [{"batch": 2}, {"optimizer": "adam"}, {"clip_norm": 1.0}, {"schedule": "one_cycle"}]
)
def test_by_hand_knows_only_plain_sgd(changes):
    with pytest.raises(InputError, match="by_hand knows only plain sgd"):
        check_params({**OFFICIAL, **changes}, SurnameParams, "params.yaml: surnames.x")


def test_printing_does_not_change_the_training():
    network = {"num_buckets": 50, "longest": 2, "dropout": 0.5}
    changes = {"architecture": "ngram_classifier", "network": network, "gradient": "autograd"}

    runs = [
        train(params_of(**changes, print_every=every), names_of(), vocabulary(), "x")[0].table
        for every in (None, 3)
    ]

    assert torch.equal(*runs)


def test_by_hand_an_infinite_loss_stops_at_its_iteration():
    with (
        np.errstate(all="ignore"),
        pytest.raises(InputError, match=r"the loss became (nan|inf) at iteration \d+"),
    ):
        train(params_of(rate=1e38, iterations=50), names_of(), vocabulary(), "x")
