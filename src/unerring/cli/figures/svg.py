"""The style of figures, and their conversion to SVG; matplotlib, an extra, is imported here only.

The colours are those of Okabe and Ito, which are distinct under the common kinds of colour blindness. Marks also
differ in shape, dash or hatching. The same figure is the same bytes each time, with the same release of matplotlib.
"""

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from math import ceil, floor, log10
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from unerring.cli.text.report import printable
from unerring.core.planning.estimates import IntervalEstimate
from unerring.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"
INK, GREY, GRID, PAPER = "#1a1a1a", "#767676", "#dddddd", "#fefefe"
# On a page, colours are names of its style sheet, which has others for dark screens.
COLOUR_NAMES = {
    **{BLUE: "blue", VERMILION: "vermilion", GREEN: "green", PURPLE: "purple", ORANGE: "orange", SKY: "sky"},
    **{INK: "ink", GREY: "grey", GRID: "grid", PAPER: "paper"},
}
WIDTH, HEIGHT = 7.0, 4.0  # inches, of a figure in a file of its own
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "hatch.linewidth": 0.8,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "text.parse_math": False,  # a voter may be named $x
    "svg.hashsalt": "unerring",  # else names inside the file are random
}
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MAX_NAME_CHARS = 26


def require_matplotlib() -> None:
    """Raise `InputError` if matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise InputError(
            "figures need matplotlib, which is not installed; get it with: pip install 'unerring[plots]'"
        ) from None


@contextmanager
def drawing() -> Iterator[None]:
    """Draw in this style, and restore the user's own afterwards."""
    require_matplotlib()
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        warnings.filterwarnings("ignore", r"Glyph \d+", UserWarning)  # a name in letters that the font does not have
        yield


def blank(width: float = WIDTH, height: float = HEIGHT) -> "Figure":
    """An empty figure, its size in inches; it belongs to no window and no global list of figures."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def svg_file(figure: "Figure") -> bytes:
    """The figure as an SVG file on white; letters are outlines, so that it styles the same everywhere."""
    return _svg(figure, facecolor="white", fonts="path")


def svg_part(figure: "Figure", name: str, label: str) -> str:
    """The figure as a part of an HTML page: transparent, in the page's colours, with `name` before every id.

    `label` is read out by screen readers.
    """
    # the text comes from matplotlib, not from outside
    root = ElementTree.fromstring(_svg(figure, facecolor="none", fonts="none"))  # noqa: S314
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        attributes = {key.rpartition("}")[2]: _on_page(value, name) for key, value in element.attrib.items()}
        if "id" in attributes:
            attributes["id"] = f"{name}-{attributes['id']}"
        element.attrib.clear()
        element.attrib.update(attributes)
    for fixed in ("width", "height", "version"):
        root.attrib.pop(fixed, None)
    root.attrib.update({"role": "img", "aria-label": printable(label)})
    return ElementTree.tostring(root, encoding="unicode")


def _svg(figure: "Figure", facecolor: str, fonts: str) -> bytes:
    import matplotlib as mpl

    for axes in figure.axes:
        axes.set_facecolor("none")
    out = BytesIO()
    with mpl.rc_context({"svg.fonttype": fonts}):
        figure.savefig(out, format="svg", facecolor=facecolor, metadata={"Date": None, "Creator": None})
    return out.getvalue()


def _on_page(value: str, name: str) -> str:
    """The value of an attribute, with `name` before its references, and with the page's colours."""
    if value.startswith("#") and value.lower() not in COLOUR_NAMES:
        return f"#{name}-{value[1:]}"
    value = re.sub(r"url\(#", f"url(#{name}-", value)
    return re.sub(r"#[0-9a-fA-F]{6}\b", lambda found: _colour(found[0]), value)


def _colour(value: str) -> str:
    known = COLOUR_NAMES.get(value.lower())
    return value if known is None else f"var(--{known})"


def shown(name: str) -> str:
    """A name, shortened to the room in a figure, with control characters shown."""
    text = printable(name)
    return text if len(text) <= MAX_NAME_CHARS else text[: MAX_NAME_CHARS - 1] + "…"


def logarithmic(axes: "Axes", along: str, low: float, high: float) -> None:
    """Make the axis `along`, x or y, logarithmic, over whole decades from `low` to `high`."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    first, last = floor(log10(low) + 1e-9), ceil(log10(high) - 1e-9)
    ends = (10.0**first, 10.0 ** max(last, first + 1))
    axes.set(**{f"{along}scale": "log", f"{along}lim": ends})
    axis = axes.xaxis if along == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(numticks=7))
    axis.set_major_formatter(FuncFormatter(decade))
    axis.set_minor_formatter(NullFormatter())


def decade(value: float, _position: Any = None) -> str:
    """A power of ten, written out where that is short."""
    exponent = round(log10(value))
    if -3 <= exponent <= 6:
        return f"{value:,.{max(0, -exponent)}f}"
    return "10" + str(exponent).translate(_SUPERSCRIPT)


def extent(shares: Iterable[IntervalEstimate]) -> tuple[float, float]:
    """The smallest and the largest number above 0 in these shares and their intervals."""
    positive = [x for one in shares for x in (one.low, one.estimate, one.high) if x > 1e-12]
    return min(positive, default=0.1), max(positive, default=1.0)


def draw_share(axes: "Axes", at: float, share: IntervalEstimate, style: dict[str, Any], upright: bool = False) -> None:
    """Draw a share with its interval on a logarithmic axis, as a marker on a line.

    A share of 0 has an arrow at the axis instead of the marker: only its upper bound is known.
    """
    start = axes.get_ylim()[0] if upright else axes.get_xlim()[0]
    seen = share.estimate > start
    line = [max(share.low, start), max(share.high, start)]
    position = [share.estimate if seen else start]
    marker = style["marker"] if seen else ("v" if upright else "<")
    color = style["color"]
    fill = style.get("fill", color)
    dot = {"color": color, "marker": marker, "markerfacecolor": fill, "linestyle": "none", "clip_on": False}
    if upright:
        axes.plot([at, at], line, color=color)
        axes.plot([at], position, **dot)
    else:
        axes.plot(line, [at, at], color=color)
        axes.plot(position, [at], **dot)


def name_rows(axes: "Axes", names: Sequence[str], label: str) -> None:
    """Give the rows of a figure these names, from the top down; `label` is that of the other axis."""
    axes.set(yticks=range(len(names)), ylim=(len(names) - 0.5, -0.5), xlabel=label)
    axes.set_yticklabels([shown(name) for name in names])
    axes.grid(False, axis="y")


def legend(figure: "Figure", styles: dict[str, dict[str, Any]]) -> None:
    """Add a legend above the axes."""
    from matplotlib.lines import Line2D

    keys = [
        Line2D(
            [],
            [],
            color=style["color"],
            marker=style.get("marker", ""),
            linestyle=style.get("linestyle", "-"),
            markerfacecolor=style.get("fill", style["color"]),
            label=name,
        )
        for name, style in styles.items()
    ]
    figure.legend(handles=keys, loc="outside upper left", ncols=3)
