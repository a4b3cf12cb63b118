"""What the interval of a difference allows to say, in the words that every page and table uses."""

from collections.abc import Mapping


def judge(interval: Mapping[str, float]) -> str:
    """Ahead or behind only if the interval of the improvement excludes zero."""
    if interval["low"] > 0:
        return "ahead"
    return "behind" if interval["high"] < 0 else "within the noise"
