import torch

from stages.models.blend_classifier import BlendClassifier
from stages.models.elman_classifier import ElmanClassifier

NAME = torch.tensor([[3, 0, 4, 1]])
LENGTH = torch.tensor([4])


def test_a_blend_of_one_member_with_weight_one_is_the_member():
    member = ElmanClassifier(num_letters=5, num_languages=3, hidden=8)

    blend = BlendClassifier([member], [1.0])

    torch.testing.assert_close(blend(NAME, LENGTH), member(NAME, LENGTH))


def test_a_larger_sum_of_weights_is_more_certain():
    member = ElmanClassifier(num_letters=5, num_languages=3, hidden=8)

    calm = BlendClassifier([member], [1.0])(NAME, LENGTH)
    sure = BlendClassifier([member, member], [1.0, 1.0])(NAME, LENGTH)

    assert sure.max() > calm.max()
    assert sure.argmax() == calm.argmax()
