import math

import pytest
import torch

from stages.models.markov_classifier import MarkovClassifier

AB = torch.tensor([[0, 1]]), torch.tensor([2])  # the name "ab" of an alphabet of three letters


def build(**changes):
    arguments = {"num_ngrams": 64, "longest": 2, "doubt": 1.0, "doubt_per_follower": 0.5}
    return MarkovClassifier(3, 2, **{**arguments, "sharpness": 1.0, **changes})


def test_a_name_is_as_probable_as_its_letters_after_their_contexts():
    model = build()
    model.count(*AB, torch.tensor([0]))

    forwards = model.forwards(*AB)[0].exp()

    # language 0 has read a, b and $ once each: 3 n-grams after no context, doubt 1 + 3 / 2
    alone = (1 + 2.5 / 4) / (3 + 2.5)  # of each of them, 1 / 4 before any counting
    after = (1 + 1.5 * alone) / (1 + 1.5)  # of a after ^, b after a, $ after b: all were seen
    # language 1 has read nothing: four symbols, all alike
    torch.testing.assert_close(forwards, torch.tensor([after**3, 0.25**3]))


def test_a_new_letter_leaves_a_language_with_its_shorter_context():
    model = build(longest=2)
    model.count(*AB, torch.tensor([0]))

    probability = model.forwards(torch.tensor([[0, 0]]), torch.tensor([2]))[0, 0].exp()

    alone = (1 + 2.5 / 4) / (3 + 2.5)
    after_begin = (1 + 1.5 * alone) / (1 + 1.5)
    after_a = 1.5 * alone / (1 + 1.5)  # neither a nor $ was seen there
    torch.testing.assert_close(probability, torch.tensor(after_begin * after_a * after_a))


def test_both_directions_and_the_prior_are_tempered():
    model = build(sharpness=0.5)
    model.count(*AB, torch.tensor([0]))

    log_odds = model(*AB)[0, 0] - model(*AB)[0, 1]

    alone = (1 + 2.5 / 4) / (3 + 2.5)
    forwards = 3 * math.log((1 + 1.5 * alone) / (1 + 1.5) * 4)  # backwards the same, by symmetry
    assert log_odds.item() == pytest.approx(0.5 * (forwards + math.log(2)), rel=1e-5)


def test_predictions_change_after_more_names_are_counted_or_loaded():
    counted, loaded, fresh = build().eval(), build(), build()
    for model in (counted, fresh):
        model(*AB)
        model.count(*AB, torch.tensor([1]))
    loaded.eval()(*AB)
    loaded.load_state_dict(fresh.state_dict(), assign=True)

    expected = fresh(*AB)

    assert torch.equal(counted(*AB), expected)
    assert torch.equal(loaded.eval()(*AB), expected)


def test_names_are_counted_alike_in_one_batch_or_in_several():
    letters, lengths = torch.tensor([[0, 1, 2], [2, 2, 0], [1, 0, 0]]), torch.tensor([3, 2, 1])
    languages = torch.tensor([0, 1, 0])
    at_once, one_by_one = build(longest=3), build(longest=3)

    at_once.count(letters, lengths, languages)
    for row in (2, 0, 1):
        end = lengths[row]
        one_by_one.count(letters[row : row + 1, :end], lengths[row : row + 1], languages[[row]])

    for name, tensor in at_once.state_dict().items():
        assert torch.equal(tensor, one_by_one.state_dict()[name]), name


def test_without_names_all_languages_are_equally_likely():
    torch.testing.assert_close(build()(*AB).exp(), torch.tensor([[0.5, 0.5]]))


def test_more_ngrams_than_there_is_room_for_are_rejected():
    with pytest.raises(ValueError, match=r"num_ngrams \(5\) is below 6: raise it"):
        build(num_ngrams=5).count(*AB, torch.tensor([0]))


@pytest.mark.parametrize(
    "changes", [{"longest": 0}, {"longest": 9}, {"doubt": 0.0}, {"sharpness": 0.0}]
)
def test_arguments_out_of_range_are_rejected(changes):
    with pytest.raises(ValueError, match=f"{next(iter(changes))}="):
        build(**changes)
