import torch

from stages.models.elman_classifier import ElmanClassifier

NAME = torch.tensor([[3, 0, 4, 1]])
LENGTH = torch.tensor([4])


def build():
    torch.manual_seed(0)
    return ElmanClassifier(num_letters=5, num_languages=3, hidden=8)


def test_the_hand_written_cell_gives_what_torch_gives_with_the_same_weights():
    ours = build()
    torchs = torch.nn.RNN(5, 8, batch_first=True)
    for mine, its in (("u", "ih"), ("w", "hh")):
        getattr(torchs, f"weight_{its}_l0").data = getattr(ours, mine).weight.data
        getattr(torchs, f"bias_{its}_l0").data = getattr(ours, mine).bias.data

    _, state = torchs(torch.nn.functional.one_hot(NAME, 5).float())

    expected = torch.log_softmax(ours.v(state[0]), dim=1)
    torch.testing.assert_close(ours(NAME, LENGTH), expected)
