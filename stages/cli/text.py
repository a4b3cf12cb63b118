"""Tables in a terminal."""

from collections.abc import Sequence


def align(rows: Sequence[Sequence[str]]) -> str:
    """Format a table, one line per row, with aligned columns."""
    widths = [0] * len(rows[0])
    for row in rows:
        for column, cell in enumerate(row):
            widths[column] = max(widths[column], len(cell))
    lines = []
    for row in rows:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)
