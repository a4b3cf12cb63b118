import torch

from stages.models.pooled_classifier import reverse_names


def test_a_name_is_reversed_and_its_padding_stays_behind_it():
    letters = torch.tensor([[1, 2, 3, 4], [5, 6, 9, 9]])

    backwards = reverse_names(letters, torch.tensor([4, 2]))

    assert backwards[0].tolist() == [4, 3, 2, 1]
    assert backwards[1, :2].tolist() == [6, 5]
