"""How the figures look: one palette, one size, and files that come out the same each time.

The colours are those of Okabe and Ito, which stay apart under the common kinds of colour blindness; lines differ in
marker or dash as well, so that nothing depends on colour alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from unerring.cli.figures.svg import BLUE, GREEN, HEIGHT, VERMILION, WIDTH, svg_file
from unerring.cli.figures.svg import drawing as look

BLACK = "#000000"
VOTERS: dict[str, dict[str, Any]] = {
    "embedded": {"color": BLACK, "marker": "D", "linestyle": "-"},
    "embedded/a": {"color": VERMILION, "marker": "o", "linestyle": "--"},
    "embedded/b": {"color": BLUE, "marker": "s", "linestyle": "-."},
    "embedded/c": {"color": GREEN, "marker": "^", "linestyle": ":"},
}


@contextmanager
def drawing() -> Iterator[None]:
    """Draw in the package's own style, without a screen."""
    mpl.use("Agg")
    size = {"figure.figsize": (WIDTH, HEIGHT), "figure.constrained_layout.use": True}
    with look(), mpl.rc_context({**size, "text.parse_math": True}):
        yield


def save(figure: Figure, folder: Path, name: str, png: bool = False) -> None:
    """Write a figure as SVG, without a date, or as PNG to look at; and let go of it."""
    folder.mkdir(parents=True, exist_ok=True)
    if png:
        figure.savefig(folder / f"{name}.png", dpi=100)
    else:
        (folder / f"{name}.svg").write_bytes(svg_file(figure))
    plt.close(figure)
