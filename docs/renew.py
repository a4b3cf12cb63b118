"""Renew what docs/ has of the results: `make docs`, after `make repro`.

The pictures in docs/pictures/, but for the one of MLflow, are those of data/plotted/, smaller and
with fewer colors; docs/walkthroughs.ipynb is docs/walkthroughs.py as a notebook without outputs.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from PIL import Image

DOCS = Path(__file__).parent
PICTURES = {  # name in docs/pictures/ -> picture below data/plotted/, and its width in pixels
    "carried_loss": ("carried_rnn/details/loss_linear", 480),
    "carried_test": ("carried_rnn/details/walkthrough", 900),
    "lagged_window": ("lagged_rnn/details/window", 480),
    "lagged_snapshots": ("lagged_rnn/details/snapshots", 600),
    "lagged_loss": ("lagged_rnn/details/loss_linear", 480),
    "surname_loss": ("surname_rnn/details/loss_linear", 480),
    "surname_confusion": ("surname_rnn/confusion", 700),
    "windowed_series": ("windowed_lstm/details/published_series", 700),
    "windowed_split": ("windowed_lstm/details/published_split", 700),
    "windowed_test": ("windowed_lstm/details/published_test", 700),
    "small_init_norm": ("small_init_rnn/details/gradient_norm", 480),
    "small_init_test": ("small_init_rnn/details/walkthrough", 900),
    "unrolled": ("layers/unrolled", 700),
    "gradients": ("layers/gradients", 900),
    "closed_loop": ("long_memory_rnn/forecast", 1000),
    "sunspots": ("sunspots_rnn/forecast", 1000),
    "shop_sales": ("shop_sales_gru/forecast", 1000),
}
_COLORS = 128  # of a picture; with 48 light grids vanish, and light blues turn grey


def shrink_picture(source: Path, target: Path, width: int) -> None:
    """Write a picture again, so many pixels wide."""
    with Image.open(source) as picture:
        height = round(picture.height * width / picture.width)
        small = picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    # by the range of colors, not by how many pixels have them: lines are thin
    few = small.quantize(_COLORS, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
    few.save(target, optimize=True)


def make_notebook(script: str) -> str:
    """A notebook without outputs of a script in percent format, whose docstring is its first cell.

    Cells begin with `# %%`, those of text with `# %% [markdown]`.
    """
    docstring, _, rest = script.partition('"""\n\n# %%')
    cells = [_make_cell("markdown", docstring.removeprefix('"""').strip())]
    for part in re.split(r"^# %%", "# %%" + rest, flags=re.MULTILINE)[1:]:
        kind, _, text = part.partition("\n")
        if kind.strip() == "[markdown]":
            text = re.sub(r"^# ?", "", text.strip(), flags=re.MULTILINE)
            cells.append(_make_cell("markdown", text))
        else:
            cells.append(_make_cell("code", text.strip()))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    notebook = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"


def _make_cell(kind: str, text: str) -> dict[str, Any]:
    outputs: dict[str, Any] = {"execution_count": None, "outputs": []} if kind == "code" else {}
    lines = text.splitlines(keepends=True)
    return {"cell_type": kind, "metadata": {}, "source": lines, **outputs}


def main() -> None:
    """Renew the notebook, and each picture whose source is there."""
    script = (DOCS / "walkthroughs.py").read_text(encoding="utf-8")
    (DOCS / "walkthroughs.ipynb").write_text(make_notebook(script), encoding="utf-8")
    for name, (source, width) in PICTURES.items():
        path = Path("data/plotted", f"{source}.png")
        if path.exists():
            shrink_picture(path, DOCS / "pictures" / f"{name}.png", width)
        else:
            print(f"{path} is missing: `make repro` draws it", file=sys.stderr)


if __name__ == "__main__":
    main()
