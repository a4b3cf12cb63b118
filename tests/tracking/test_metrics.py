"""The names of scores."""

from stages.tracking.metrics import list_labels, list_scores

METRICS = {
    "data": "half_periods",
    "one_step_mse": 0.1,
    "validation": {"one_step_mse": 0.2},
    "baselines": {"ar2": {"one_step_mse": 0.3}, "ar_best": {"one_step_mse": 0.4, "order": 8}},
}


def test_a_score_is_named_by_its_path():
    assert list_scores(METRICS) == {
        "one_step_mse": 0.1,
        "validation/one_step_mse": 0.2,
        "baselines/ar2/one_step_mse": 0.3,
        "baselines/ar_best/one_step_mse": 0.4,
        "baselines/ar_best/order": 8,
    }


def test_the_data_are_a_label_and_no_score():
    assert list_labels(METRICS) == {"data": "half_periods"}
