import pytest

from stages.shared.verdicts import judge


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.1, 0.2, "ahead"),
        (-0.1, 0.2, "within the noise"),
        (0.0, 0.2, "within the noise"),
        (-0.2, 0.0, "within the noise"),
        (-0.2, -0.1, "behind"),
    ],
)
def test_only_an_interval_without_zero_allows_a_claim(low, high, verdict):
    assert judge({"low": low, "high": high}) == verdict
