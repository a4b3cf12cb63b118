"""Rows of the benchmark, the Markdown table that they make, and what stands below it."""

from dataclasses import dataclass, field
from statistics import median

COLUMNS = ["what", "ours", "reference", "ratio", "quality", "target", "verdict"]
NOTHING = "–"  # in a cell that has nothing to say


@dataclass(frozen=True)
class Goal:
    """A bound on something measured."""

    metric: str
    value: float
    bound: float
    sign: str  # ≥ or ≤: on which side of the bound the value should lie

    @property
    def is_met(self) -> bool:
        """Whether the value is on the right side of the bound."""
        if self.sign == "≥":
            return self.value >= self.bound
        return self.value <= self.bound

    @property
    def target(self) -> str:
        """The bound as text."""
        return f"{self.metric} {self.sign} {self.bound:.4g}"

    @property
    def miss(self) -> str:
        """By how much a goal that is not met is missed."""
        distance = abs(self.value / self.bound - 1)
        how_far = f"{distance:.1%}" if distance < 1 else f"a factor of {1 + distance:.2g}"
        return f"{self.metric} {self.value:.4g} misses {self.bound:.4g} by {how_far}"


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    ours: str
    reference: str = NOTHING
    ratios: list[float] = field(default_factory=list)  # one a repeat
    unit: str = "×"  # of the ratio
    quality: str = NOTHING
    goals: list[Goal] = field(default_factory=list)


Measured = list[Row] | str  # what a section gives: rows of the table, or a text of its own


def at_least(metric: str, value: float, bound: float) -> Goal:
    """A goal that higher values meet."""
    return Goal(metric, value, bound, "≥")


def at_most(metric: str, value: float, bound: float) -> Goal:
    """A goal that lower values meet."""
    return Goal(metric, value, bound, "≤")


def format_spread(values: list[float], unit: str = "") -> str:
    """Median [smallest to largest] of the repeats."""
    if not values:
        return NOTHING
    middle = f"{median(values):.3g}{unit}"
    if len(values) == 1:
        return middle
    return f"{middle} [{min(values):.3g}–{max(values):.3g}]"


def format_seconds(seconds: float) -> str:
    """Seconds with the unit that people read best."""
    if seconds >= 1:
        return f"{seconds:.3g} s"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds * 1e6:.3g} µs"


def judge(goals: list[Goal]) -> str:
    """`met`, or what is missed and by how much."""
    if not goals:
        return NOTHING
    misses = [goal.miss for goal in goals if not goal.is_met]
    return "; ".join(misses) or "met"


def render_row(row: Row) -> str:
    """One line of Markdown."""
    targets = ", ".join(goal.target for goal in row.goals) or NOTHING
    ratio = format_spread(row.ratios, row.unit)
    cells = [row.what, row.ours, row.reference, ratio, row.quality, targets, judge(row.goals)]
    return render_cells(cells)


def render_cells(cells: list[str], width: int = len(COLUMNS)) -> str:
    """Cells of one line; those that lack at its end stay empty."""
    missing = width - len(cells)
    return f"| {' | '.join(cells + [''] * missing)} |"


def render_grid(columns: list[str], rows: list[list[str]]) -> str:
    """Any Markdown table: its columns, and the cells of its rows."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(render_cells(cells, len(columns)) for cells in lines)


def render_table(sections: dict[str, list[Row]]) -> str:
    """All sections as one Markdown table, each under a row with its name."""
    lines = [render_cells(COLUMNS), render_cells(["---"] * len(COLUMNS))]
    for title, rows in sections.items():
        lines.append(render_cells([f"**{title}**"]))
        lines.extend(map(render_row, rows))
    return "\n".join(lines)


def render_sections(sections: dict[str, Measured]) -> str:
    """One table of the sections that have rows, then the text of each other one under its title."""
    in_table: dict[str, list[Row]] = {}
    texts = []
    for title, measured in sections.items():
        if isinstance(measured, str):
            texts.append(f"## {title}\n\n{measured}")
        else:
            in_table[title] = measured
    parts = [render_table(in_table)] if in_table else []
    return "\n\n".join(parts + texts)
