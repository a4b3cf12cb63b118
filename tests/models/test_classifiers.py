"""What is true of every surname classifier; their own facts stand in files of their own."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.models.blend_classifier import BlendClassifier
from stages.models.elman_classifier import ElmanClassifier
from stages.models.markov_classifier import MarkovClassifier
from stages.models.ngram_classifier import NgramClassifier
from stages.models.pooled_classifier import PooledClassifier

NUM_LETTERS, NUM_LANGUAGES = 57, 4


def build_elman() -> ElmanClassifier:
    return ElmanClassifier(NUM_LETTERS, NUM_LANGUAGES, hidden=16)


def build_pooled(cell: str, bidirectional: bool) -> PooledClassifier:
    return PooledClassifier(NUM_LETTERS, NUM_LANGUAGES, cell, 8, 16, bidirectional, dropout=0.1)


def build_ngrams() -> NgramClassifier:
    return NgramClassifier(NUM_LETTERS, NUM_LANGUAGES, num_buckets=4096, longest=4, dropout=0.1)


def build_marked() -> PooledClassifier:
    return PooledClassifier(
        NUM_LETTERS, NUM_LANGUAGES, "gru", 8, 16, True, dropout=0.1, marked=True, mean=True
    )


def build_markov() -> MarkovClassifier:
    return MarkovClassifier(
        NUM_LETTERS,
        NUM_LANGUAGES,
        num_ngrams=256,
        longest=4,
        doubt=1.0,
        doubt_per_follower=1.0,
        sharpness=1.0,
    )


def build_blend() -> BlendClassifier:
    return BlendClassifier([build_pooled("gru", True), build_ngrams()], [0.5, 0.5])


BUILDERS = {
    "elman": build_elman,
    "rnn_tanh": lambda: build_pooled("rnn_tanh", False),
    "gru": lambda: build_pooled("gru", True),
    "lstm": lambda: build_pooled("lstm", True),
    "marked gru": build_marked,
    "ngrams": build_ngrams,
    "markov": build_markov,
    "blend": build_blend,
}
every_classifier = pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS.keys())


@pytest.fixture
def names() -> tuple[Tensor, Tensor]:
    """Four names of 1 to 7 letters, one for each language, padded with symbol 0."""
    lengths = torch.tensor([7, 4, 1, 5])
    letters = torch.randint(1, NUM_LETTERS, (4, 7), generator=torch.Generator().manual_seed(0))
    return letters * (torch.arange(7) < lengths.unsqueeze(1)), lengths


def train_on(model: nn.Module, letters: Tensor, lengths: Tensor) -> nn.Module:
    """Fit four names to the languages 0..3."""
    if isinstance(model, MarkovClassifier):
        model.count(letters, lengths, torch.arange(4))
        return model.eval()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(60):
        optimizer.zero_grad()
        functional.nll_loss(model.train()(letters, lengths), torch.arange(4)).backward()
        optimizer.step()
    return model.eval()


@every_classifier
def test_each_name_gets_log_probabilities_that_sum_to_one(
    build: Callable[[], nn.Module], names: tuple[Tensor, Tensor]
) -> None:
    model = build().eval()

    log_probabilities = model(*names)

    assert log_probabilities.shape == (4, NUM_LANGUAGES)
    torch.testing.assert_close(log_probabilities.exp().sum(1), torch.ones(4))


@every_classifier
def test_padding_does_not_change_a_names_logits(
    build: Callable[[], nn.Module], names: tuple[Tensor, Tensor]
) -> None:
    letters, lengths = names
    model = train_on(build(), letters, lengths)

    wider = functional.pad(letters, (0, 3), value=5)
    alone = [model(name[None, :length], length[None]) for name, length in zip(*names, strict=True)]

    torch.testing.assert_close(model(wider, lengths), model(letters, lengths))
    torch.testing.assert_close(torch.cat(alone), model(letters, lengths))


@every_classifier
def test_four_names_can_be_overfitted(
    build: Callable[[], nn.Module], names: tuple[Tensor, Tensor]
) -> None:
    torch.manual_seed(0)
    model = train_on(build(), *names)

    probabilities = model(*names).exp().diagonal()

    assert probabilities.min() > 0.9


@every_classifier
def test_the_same_seed_gives_the_same_bytes(
    build: Callable[[], nn.Module], names: tuple[Tensor, Tensor]
) -> None:
    weights = []
    for _ in range(2):
        torch.manual_seed(3)
        weights.append(train_on(build(), *names).state_dict())

    for name, tensor in weights[0].items():
        assert tensor.numpy().tobytes() == weights[1][name].numpy().tobytes()
