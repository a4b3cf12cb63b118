import torch

from stages.models.elman_classifier import ElmanClassifier

NAME = torch.tensor([[3, 0, 4, 1]])
LENGTH = torch.tensor([4])
LANGUAGE = torch.tensor([2])


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


def test_an_update_by_hand_moves_the_weights_as_automatic_differentiation_does():
    by_hand, automatic = build(), build()
    log_probabilities = automatic(NAME, LENGTH)
    nll = torch.nn.functional.nll_loss(log_probabilities, LANGUAGE)
    nll.backward()

    loss, norm, logits = by_hand.make_update_by_hand(rate=0.1)((NAME, LENGTH, LANGUAGE), True)

    gradients = [weight.grad for weight in automatic.parameters()]
    torch.testing.assert_close(loss, nll.item())
    torch.testing.assert_close(norm, torch.nn.utils.get_total_norm(gradients).item())
    torch.testing.assert_close(logits.log_softmax(1), log_probabilities.detach())
    for moved, weight in zip(by_hand.parameters(), automatic.parameters(), strict=True):
        torch.testing.assert_close(moved, weight - 0.1 * weight.grad)
