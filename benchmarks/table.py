"""Rows of the benchmark and the one Markdown table that they make."""

from dataclasses import dataclass, field
from statistics import median

COLUMNS = ["what", "ours", "reference", "ratio", "quality", "target", "verdict"]


@dataclass(frozen=True)
class Goal:
    """A bound on something measured."""

    metric: str
    value: float
    bound: float
    at_least: bool

    @property
    def is_met(self) -> bool:
        """Whether the value is on the right side of the bound."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    @property
    def target(self) -> str:
        """The bound as text."""
        return f"{self.metric} {'≥' if self.at_least else '≤'} {self.bound:.3g}"

    @property
    def verdict(self) -> str:
        """Nothing if it is met, else by how much it is missed."""
        if self.is_met:
            return ""
        return f"{self.metric} {self.value:.3g} misses {self.bound:.3g} by {self._miss}"

    @property
    def _miss(self) -> str:
        share = abs(self.value / self.bound - 1)
        return f"{share:.1%}" if share < 1 else f"a factor of {1 + share:.2g}"


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    ours: str
    reference: str = "–"
    ratios: list[float] = field(default_factory=list)  # one a repeat
    unit: str = "×"  # of the ratio
    quality: str = "–"
    goals: list[Goal] = field(default_factory=list)


def at_least(metric: str, value: float, bound: float) -> Goal:
    """A goal that higher values meet."""
    return Goal(metric, value, bound, at_least=True)


def at_most(metric: str, value: float, bound: float) -> Goal:
    """A goal that lower values meet."""
    return Goal(metric, value, bound, at_least=False)


def say_ratio(ratios: list[float], unit: str) -> str:
    """Median [smallest to largest] of the repeats."""
    if len(ratios) < 2:
        return "".join(f"{ratio:.3g}{unit}" for ratio in ratios) or "–"
    return f"{median(ratios):.3g}{unit} [{min(ratios):.3g}–{max(ratios):.3g}]"


def say_seconds(seconds: float) -> str:
    """Seconds with the unit that people read best."""
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds:.1e} s"


def judge(goals: list[Goal]) -> str:
    """`met`, or what is missed and by how much."""
    if not goals:
        return "–"
    return "; ".join(goal.verdict for goal in goals if not goal.is_met) or "met"


def render_row(row: Row) -> list[str]:
    """The cells of one row."""
    target = ", ".join(goal.target for goal in row.goals) or "–"
    ratio = say_ratio(row.ratios, row.unit)
    return [row.what, row.ours, row.reference, ratio, row.quality, target, judge(row.goals)]


def render_table(sections: dict[str, list[Row]]) -> str:
    """All sections as one Markdown table, each under a row with its name."""
    lines = [COLUMNS, ["---"] * len(COLUMNS)]
    for title, rows in sections.items():
        lines.append([f"**{title}**", *[""] * (len(COLUMNS) - 1)])
        lines += [render_row(row) for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
