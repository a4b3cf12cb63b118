import torch

from stages.models.ngram_classifier import NgramClassifier


def test_a_name_has_its_ngrams_and_those_with_its_ends():
    model = NgramClassifier(57, 4, num_buckets=4096, longest=4, dropout=0.0)
    letters, lengths = torch.tensor([[10, 11, 0]]), torch.tensor([2])

    buckets, is_inside = model.hash_ngrams(letters, lengths)

    # ^ab$ has four 1-grams, three 2-grams, two 3-grams and one 4-gram
    assert is_inside.sum() == 10
    assert len(set(buckets[is_inside].tolist())) == 10


def test_an_untrained_model_gives_all_languages_the_same_probability():
    model = NgramClassifier(57, 4, num_buckets=64, longest=2, dropout=0.0)

    probabilities = model(torch.tensor([[10, 11]]), torch.tensor([2])).exp()

    torch.testing.assert_close(probabilities, torch.full((1, 4), 0.25))
