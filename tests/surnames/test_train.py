import re
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.published import surname_rnn
from stages.models.elman_classifier import ElmanClassifier
from stages.shared.errors import InputError
from stages.shared.params import check_params
from stages.shared.training_loop import Step
from stages.shared.yaml_files import parse_yaml
from stages.surnames.alphabet import SYMBOLS, encode_name
from stages.surnames.archive import list_names, read_names_folder
from stages.surnames.evaluate import classify_names
from stages.surnames.names import (
    Names,
    Vocabulary,
    decode_names,
    pad_letters,
    read_splits,
    write_corpus,
)
from stages.surnames.preprocess import SplitParams, preprocess
from stages.surnames.train import (
    ClassifierParams,
    draw_names,
    format_progress,
    make_batches,
    resample_systematically,
    sort_batches,
    train,
)

PARAMS = parse_yaml(Path("params.yaml").read_text(encoding="utf-8"))
OFFICIAL = PARAMS["classifiers"]["surname_rnn"]
SAMPLE = Path("data/sample")

WORDS = ["Abe", "Kowalska", "O'Neal", "Li", "Yamamoto", "de la Cruz", "Ng", "Papadopoulos"]
VOCABULARY = Vocabulary("custom", SYMBOLS, [f"L{n:02}" for n in range(18)])
ENCODED = [encode_name(word) for word in WORDS]
LENGTHS = np.array([len(word) for word in WORDS])
NAMES = Names(pad_letters(np.concatenate(ENCODED), LENGTHS), LENGTHS, np.arange(len(WORDS)))
CPU = torch.device("cpu")


def params_of(**changes):
    base = {**OFFICIAL, "iterations": 20, "log_every": 1, "mean_every": None}
    return ClassifierParams.model_validate({**base, **changes})


def train_on_words(**changes):
    return train(params_of(**changes), NAMES, VOCABULARY, "x")


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """The sample in git as preprocess_surnames leaves it: names to train on and the vocabulary."""
    folder = tmp_path_factory.mktemp("sample")
    params = SplitParams.model_validate(PARAMS["preprocess_surnames"])
    corpus, vocabulary, _ = preprocess(list_names(read_names_folder(SAMPLE)), "sample", params)
    write_corpus(folder, corpus)
    return read_splits(folder).train, vocabulary


def list_draws(params, names, vocabulary):
    """What training draws, as text: name and language."""
    texts = decode_names(names, vocabulary.symbols)
    for row in draw_names(params, names.languages):
        yield texts[row], vocabulary.languages[names.languages[row]]


@pytest.mark.parametrize("gradient", ["by_hand", "autograd"])
def test_losses_are_those_of_the_published_program(gradient, sample):
    """It reads, cleans, numbers and encodes the sample itself, and is told what was drawn as text.

    Its own draws cannot equal ours: it draws a language, then a name, where we draw a name by
    weight. The tests of how languages and names are drawn hold the distribution.
    """
    params = params_of(iterations=200, gradient=gradient)
    names, vocabulary = sample
    published = surname_rnn.read_names(SAMPLE)
    languages = list(published)
    draws = []
    for name, language in list_draws(params, names, vocabulary):
        assert name in published[language]
        draws.append((name, languages.index(language)))

    ours = train(params, names, vocabulary, "x").curves
    theirs = surname_rnn.train(200, draws, seed=params.seed)

    np.testing.assert_allclose(ours.loss, theirs.losses, rtol=1e-5)


def measure_surprise(counts, expected, freedom):
    """Standard deviations that the χ² of counts is off what independent draws give.

    Far above 0 they are less even than chance allows, far below 0 more even.
    """
    square = np.sum((counts - expected) ** 2 / expected)
    return (square - freedom) / np.sqrt(2 * freedom)


def judge_draws(draws, languages):
    """Surprise at how often each language was drawn, and each name within its language."""
    num_languages = languages.max() + 1
    of_languages = np.bincount(languages[draws], minlength=num_languages)
    uniform = np.full(num_languages, len(draws) / num_languages)
    of_names = np.bincount(draws, minlength=len(languages))
    within = of_languages / np.bincount(languages)
    return (
        measure_surprise(of_languages, uniform, num_languages - 1),
        measure_surprise(of_names, within[languages], len(languages) - num_languages),
    )


def test_a_language_is_drawn_uniformly_and_then_a_name_of_it_uniformly(sample):
    languages = sample[0].languages

    draws = draw_names(ClassifierParams.model_validate(OFFICIAL), languages)

    assert np.abs(judge_draws(draws, languages)).max() < 2.5


def test_the_published_program_draws_so_too():
    names = surname_rnn.read_names(SAMPLE)
    distinct = {language: list(dict.fromkeys(group)) for language, group in names.items()}
    languages = np.repeat(np.arange(18), [len(group) for group in distinct.values()])
    pairs = zip(chain(*distinct.values()), languages.tolist(), strict=True)
    numbers = {pair: number for number, pair in enumerate(pairs)}

    drawn = surname_rnn.draw_names(distinct, 200_000)

    draws = np.array([numbers[pair] for pair in drawn])
    assert np.abs(judge_draws(draws, languages)).max() < 2.5


@pytest.mark.parametrize("changes", [{"balance": 0.0}, {"balance": 0.9}, {"sampling": "epochs"}])
def test_other_draws_are_not_uniform(changes, sample):
    languages = sample[0].languages

    draws = draw_names(ClassifierParams.model_validate({**OFFICIAL, **changes}), languages)

    assert len(draws) == 200_000
    assert np.abs(judge_draws(draws, languages)).max() > 2.5


def test_gradients_by_hand_have_the_norm_of_automatic_ones():
    by_hand = train_on_words(gradient="by_hand").curves
    automatic = train_on_words(gradient="autograd").curves

    np.testing.assert_allclose(by_hand.gradient_norm, automatic.gradient_norm, rtol=1e-4)


@pytest.mark.parametrize(("balance", "share"), [(0.0, 0.1), (0.5, 0.25), (1.0, 0.5)])
def test_a_language_is_drawn_as_often_as_its_balance_says(balance, share):
    languages = np.repeat([0, 1], [90, 10])  # √0.1 / (√0.9 + √0.1) is 0.25

    draws = draw_names(params_of(iterations=20_000, balance=balance), languages)

    assert languages[draws].mean() == pytest.approx(share, abs=0.02)


def test_an_epoch_shows_every_name_once_if_nothing_is_balanced():
    params = params_of(sampling="epochs", balance=0.0, batch=5, iterations=4, gradient="autograd")

    draws = draw_names(params, np.repeat([0, 1], [7, 3]))

    assert sorted(draws[:10]) == sorted(draws[10:]) == list(range(10))
    assert draws[:10].tolist() != draws[10:].tolist()


def test_systematic_resampling_draws_each_name_as_often_as_expected():
    weights = np.array([0.5, 0.3, 0.15, 0.05])  # of 4 draws: 2, 1.2, 0.6 and 0.2
    generator = np.random.default_rng(0)

    epochs = [resample_systematically(weights, generator) for _ in range(200)]

    times = np.array([np.bincount(epoch, minlength=4) for epoch in epochs])
    assert (times >= [2, 1, 0, 0]).all()
    assert (times <= [2, 2, 1, 1]).all()
    np.testing.assert_allclose(times.mean(axis=0), 4 * weights, atol=0.1)


def test_sorted_batches_hold_the_same_names_with_less_padding():
    params = params_of(batch=4, iterations=8, sorted_batches=8, gradient="autograd")
    lengths = np.arange(32)[::-1] % 13
    draws = np.random.default_rng(0).permutation(32)

    batches = sort_batches(draws, lengths, params)

    assert sorted(batches.ravel()) == list(range(32))
    spread = np.ptp(lengths[batches], axis=1).mean()
    assert spread < np.ptp(lengths[draws.reshape(8, 4)], axis=1).mean() / 3


def test_a_batch_is_as_wide_as_its_longest_name():
    params = params_of(batch=3, iterations=5, gradient="autograd")

    for letters, lengths, _ in make_batches(params, NAMES, CPU):
        assert letters.shape == (3, lengths.max())


@pytest.mark.parametrize(("language", "verdict"), [(1, "       ✓"), (0, "  ✗ (Aa)")])
def test_a_progress_line_is_the_published_one_about_the_last_name_of_its_batch(language, verdict):
    letters = torch.tensor([[2, 2, 2], [1, 0, 9]])  # "ccc", then "ba" and its padding
    batch = letters, torch.tensor([3, 2]), torch.tensor([2, language])
    outputs = torch.tensor([[3.0, 0.0, 0.0], [0.1, 2.0, 0.3]])  # for "ba" Bb is likeliest
    vocabulary = Vocabulary("custom", "abcdefghij", ["Aa", "Bb", "Cc"])

    line = format_progress(batch, Step([0.25], None, outputs), vocabulary)

    assert line == f"loss: 0.2500 name:         ba pred:       Bb label: {verdict}"


def test_the_time_is_on_the_terminal_and_not_in_the_progress(capsys):
    progress = train_on_words(iterations=5000, mean_every=5000).progress

    [kept] = [line for line in progress if line.startswith("Iter: ")]
    [shown] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Iter: ")]
    assert kept.startswith("Iter: 5000    loss: ")
    assert re.fullmatch(r"Iter: 5000    time:    0m \ds loss: .*", shown)
    assert shown.partition(" loss: ")[2] == kept.partition(" loss: ")[2]


def test_training_ends_with_the_published_queries_and_their_three_likeliest_languages():
    vocabulary = replace(VOCABULARY, data="sample")

    trained = train(params_of(), NAMES, vocabulary, "x")

    printed = trained.progress[-16:]
    assert printed[::4] == ["> Yue Tingsong", "> Yue tingsong", "> yutingsong", "> test your name"]
    letters = torch.tensor([encode_name("yutingsong")])
    values, indices = trained.model(letters, torch.tensor([10]))[0].sort(descending=True)
    assert printed[9:12] == [f"({values[n]:.2f}) L{indices[n]:02}" for n in range(3)]


def test_own_names_do_not_get_the_published_queries():
    vocabulary = replace(VOCABULARY, data="custom (places.csv)")

    progress = train(params_of(), NAMES, vocabulary, "x").progress

    assert not [line for line in progress if line.startswith(">")]


@pytest.mark.parametrize("gradient", ["by_hand", "autograd"])
def test_a_progress_line_has_the_prediction_before_the_update(gradient, capsys):
    params = params_of(gradient=gradient, rate=1.0, iterations=1, mean_every=1)
    drawn = draw_names(params, NAMES.languages)[0]
    target = VOCABULARY.languages[NAMES.languages[drawn]]
    torch.manual_seed(params.seed)
    untrained = ElmanClassifier(num_letters=57, num_languages=18, hidden=128)
    letters = torch.tensor([ENCODED[drawn]])
    guess = untrained(letters, torch.tensor([letters.shape[1]])).argmax()

    train(params, NAMES, VOCABULARY, "x")

    line = capsys.readouterr().out
    assert f"pred: {VOCABULARY.languages[guess]:>8} label:  ✗ ({target})" in line


@pytest.mark.parametrize(("mean_every", "printed"), [(100, [100, 200]), (60, [60, 120, 180])])
def test_progress_has_a_line_for_each_mean(mean_every, printed):
    progress = train_on_words(iterations=200, mean_every=mean_every).progress

    assert [int(line.split()[1]) for line in progress if "Iter: " in line] == printed


def test_progress_has_a_line_every_100_iterations_where_no_means_are_taken():
    progress = train_on_words(iterations=200).progress

    assert [int(line.split()[1]) for line in progress if "Iter: " in line] == [100, 200]


def test_printing_does_not_change_the_training():
    network = {"num_buckets": 50, "longest": 2, "dropout": 0.5}
    changes = {"architecture": "ngram_classifier", "network": network, "gradient": "autograd"}

    quiet = train_on_words(**changes)
    loud = train_on_words(**changes, mean_every=3)

    assert torch.equal(quiet.model.table, loud.model.table)


def test_mean_loss_averages_the_updates_since_the_last():
    every = train_on_words().curves
    sparse = train_on_words(log_every=5, mean_every=5).curves

    assert sparse.iteration == [5, 10, 15, 20]
    assert sparse.mean_loss[1] == pytest.approx(np.mean(every.loss[5:10]))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "architecture": "pooled_classifier",
            "network": {
                "cell": "gru",
                "embedding": 4,
                "hidden": 4,
                "bidirectional": False,
                "dropout": 0.5,
            },
            "gradient": "autograd",
            "batch": 4,
        },
    ],
)
def test_measuring_the_loss_on_validation_changes_no_weight(changes):
    params = params_of(log_every=10, validate_every=5, **changes)

    plain = train(params, NAMES, VOCABULARY, "x")
    measured = train(params, NAMES, VOCABULARY, "x", validation=NAMES)

    for name, weight in plain.model.state_dict().items():
        assert torch.equal(weight, measured.model.state_dict()[name])
    assert measured.curves.iteration == [5, 10, 15, 20]
    assert None not in measured.curves.validation_loss
    assert plain.curves.iteration == [10, 20]


def test_the_loss_on_validation_weighs_names_as_training_draws_them():
    params = params_of(iterations=1, validate_every=1, balance=1.0)
    names = Names(NAMES.letters[[0, 0, 0, 1]], LENGTHS[[0, 0, 0, 1]], np.array([0, 0, 0, 1]))

    trained = train(params, NAMES, VOCABULARY, "x", validation=names)

    losses = -classify_names(trained.model, names.letters, names.lengths)
    expected = (losses[0, 0] + losses[3, 1]) / 2  # both languages count alike
    assert trained.curves.validation_loss == [pytest.approx(expected, rel=1e-5)]


def test_same_seed_same_weights_and_another_seed_others():
    first, again, other = (train_on_words(seed=seed).model for seed in (1, 1, 2))

    assert torch.equal(first.w.weight, again.w.weight)
    assert not torch.equal(first.w.weight, other.w.weight)


@torch.no_grad()
def clear_weights(model):
    for weight in model.parameters():
        weight.zero_()


@pytest.mark.parametrize("gradient", ["by_hand", "autograd"])
def test_training_starts_from_weights_that_a_caller_has_changed(gradient):
    params = params_of(iterations=1, gradient=gradient)

    trained = train(params, NAMES, VOCABULARY, "x", clear_weights)

    assert trained.curves.loss == pytest.approx([np.log(18)])  # zeros hold all languages for equal
    assert not trained.model.w.weight.any()  # and give the states no gradient


def test_a_shorter_training_makes_the_first_updates_of_a_longer_one():
    shorter = train_on_words(iterations=10).curves.loss

    assert train_on_words(iterations=20).curves.loss[:10] == shorter


def test_a_network_gets_its_sizes_from_the_data():
    config = train_on_words(network={"hidden": 4}).config

    assert config.task == "surnames"
    assert config.architecture == "elman_classifier"
    assert config.network == {"num_letters": 57, "num_languages": 18, "hidden": 4}


@pytest.mark.parametrize("gradient", ["by_hand", "autograd"])
def test_a_loss_that_is_not_finite_stops_at_its_iteration(gradient):
    params = params_of(rate=1e38, iterations=50, gradient=gradient)

    with (
        np.errstate(all="ignore"),
        pytest.raises(InputError, match=r"x: the loss became (nan|inf) at iteration \d+"),
    ):
        train(params, NAMES, VOCABULARY, "x")


@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": "ngram_classifier"},
        {"batch": 2},
        {"optimizer": "adam"},
        {"schedule": "one_cycle"},
        {"momentum": True},
        {"clip_norm": 1.0},
        {"label_smoothing": 0.1},
    ],
)
def test_by_hand_supports_only_plain_sgd(changes):
    with pytest.raises(InputError, match=f"by_hand knows only plain sgd.*{next(iter(changes))}"):
        check_params({**OFFICIAL, **changes}, ClassifierParams, "params.yaml: classifiers.x")


def count_words(**changes):
    base = {**PARAMS["classifiers"]["surname_markov"], "batch": 3}
    return train(ClassifierParams.model_validate({**base, **changes}), NAMES, VOCABULARY, "x")


def test_counting_sees_each_name_once_and_measures_the_loss_before():
    trained = count_words()

    assert trained.model.names.tolist() == [1.0] * 8 + [0.0] * 10
    assert trained.curves.loss[0] == pytest.approx(np.log(18))  # before any name
    assert trained.curves.gradient_norm == [None, None, None]


def test_there_is_room_for_all_ngrams_of_the_names():
    network = PARAMS["classifiers"]["surname_markov"]["network"]
    small = network | {"num_ngrams": 9}
    without = {name: value for name, value in small.items() if name != "num_ngrams"}

    models = [count_words(network=of).model for of in (network, small, without)]

    name = torch.tensor([ENCODED[0]]), torch.tensor([3])
    for model in models[1:]:
        assert len(model.forwards.ngrams) < 65536
        torch.testing.assert_close(model(*name), models[0](*name))


@pytest.mark.parametrize(("epochs", "iterations"), [(1.0, 4), (2.5, 10), (0.01, 2)])
def test_epochs_are_as_many_updates_as_make_so_many_draws(epochs, iterations):
    params = params_of(iterations=0, epochs=epochs, batch=2, gradient="autograd")

    trained = train(params, NAMES, VOCABULARY, "x")

    assert len(trained.curves.loss) == iterations


@pytest.mark.parametrize("lengths", [{}, {"iterations": 5, "epochs": 1}])
def test_a_training_has_either_iterations_or_epochs(lengths):
    recipe = {key: value for key, value in OFFICIAL.items() if key != "iterations"}

    with pytest.raises(InputError, match="it needs either iterations or epochs"):
        check_params(recipe | lengths, ClassifierParams, "params.yaml: classifiers.x")


@pytest.mark.parametrize(
    "changes",
    [
        {"gradient": "autograd"},
        {"epochs": 2.0},
        {"architecture": "ngram_classifier"},
        {"balance": 0.5},
        {"rate": 0.1},
        {"optimizer": "adam"},
        {"schedule": "one_cycle"},
        {"label_smoothing": 0.1},
    ],
)
def test_counting_has_no_optimizer(changes):
    markov = PARAMS["classifiers"]["surname_markov"]

    with pytest.raises(InputError, match=f"counts each name once.*{next(iter(changes))}"):
        check_params({**markov, **changes}, ClassifierParams, "params.yaml: classifiers.x")
