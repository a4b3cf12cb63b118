import torch

from stages.models.pooled_classifier import PooledClassifier, reverse_names


def test_a_name_is_reversed_and_its_padding_stays_behind_it():
    letters = torch.tensor([[1, 2, 3, 4], [5, 6, 9, 9]])

    backwards = reverse_names(letters, torch.tensor([4, 2]))

    assert backwards[0].tolist() == [4, 3, 2, 1]
    assert backwards[1, :2].tolist() == [6, 5]


def test_marks_show_where_a_name_begins_and_ends():
    letters, lengths = torch.tensor([[3, 4, 0]]), torch.tensor([2])
    model = PooledClassifier(5, 2, "gru", 4, 4, True, dropout=0.0, marked=True)
    bare = PooledClassifier(7, 2, "gru", 4, 4, True, dropout=0.0)
    bare.load_state_dict(model.state_dict())

    with_its_marks = bare(torch.tensor([[5, 3, 4, 6]]), torch.tensor([4]))

    torch.testing.assert_close(model(letters, lengths), with_its_marks)


def test_the_mean_of_the_states_comes_behind_their_maximum():
    letters, lengths = torch.tensor([[3, 4, 0], [1, 2, 3]]), torch.tensor([2, 3])
    model = PooledClassifier(5, 2, "gru", 4, 6, False, dropout=0.0, mean=True)

    pooled = model.pool_states(model.recurrents[0], letters, lengths)

    states = model.recurrents[0](model.embedding(letters[0, :2]))[0]
    expected = torch.cat([states.max(0).values, states.mean(0)])
    torch.testing.assert_close(pooled[0], expected)
