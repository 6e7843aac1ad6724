"""Figures of a calibration, one SVG file each. The numbers are computed by functions of their own, before drawing.

matplotlib is an extra (`pip install 'unerring[plots]'`), and is imported when a figure is drawn.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unerring.adapters.files.output_file import write_whole
from unerring.cli.figures.svg import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PAPER,
    PURPLE,
    SKY,
    VERMILION,
    WIDTH,
    blank,
    draw_share,
    drawing,
    extent,
    legend,
    logarithmic,
    name_rows,
    require_matplotlib,
    shown,
    svg_file,
)
from unerring.cli.text.report import printable
from unerring.core.planning.calibration import LOGPROB_EDGES, Calibration
from unerring.core.planning.estimates import IntervalEstimate, binomial_tail, ensemble_estimate, voter_estimate
from unerring.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHARE_BINS = 12  # of the share of wrong votes on a step
MAX_PANELS_ACROSS = 3
WRONG_VOTES = {"color": BLUE, "marker": "o"}
FLAGGED_SAMPLES = {"color": VERMILION, "marker": "s", "fill": PAPER}
NONE_SEEN = {"color": GREY, "marker": "v", "linestyle": "none"}
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
MARKERS = "os^Dph"
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++++")


@dataclass(frozen=True, slots=True)
class ErrorRates:
    """How often a voter errs.

    name: the voter.
    wrong: the share of its votes that are wrong (1 - p).
    flagged: the share of its samples that are flagged (1 - v).
    """

    name: str
    wrong: IntervalEstimate
    flagged: IntervalEstimate


@dataclass(frozen=True, slots=True)
class RepeatErrorRates:
    """How often a voter was wrong in the further samples of steps on which some voter had erred.

    name: the voter.
    counted: steps by their share of wrong votes, in `SHARE_BINS` equal bins from 0 to 1.
    scattered: the steps expected in each bin if votes were wrong with the same probability on every step.
    """

    name: str
    counted: tuple[int, ...]
    scattered: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class LogprobErrorRates:
    """A voter's share of wrong votes by the mean log-probability of their tokens.

    name: the voter.
    wrong: the share in each bin of `LOGPROB_EDGES` that has votes.
    """

    name: str
    wrong: dict[int, IntervalEstimate]


@dataclass(frozen=True, slots=True)
class FlagShares:
    """The share of a voter's first samples that were flagged.

    name: the voter.
    shares: the share for each cause.
    """

    name: str
    shares: dict[str, float]


def rates_of(calibration: Calibration) -> list[ErrorRates]:
    """How often each voter errs, and all of them taking turns."""
    each = [voter_estimate(calibration, number) for number in range(len(calibration.voters))]
    rates = [ErrorRates(one.name, one.p.rest, one.v.rest) for one in each]
    if len(each) > 1:
        together = ensemble_estimate(calibration)
        rates.append(ErrorRates("taking turns", together.p.rest, together.v.rest))
    return rates


def repeats_of(calibration: Calibration) -> list[RepeatErrorRates]:
    """How often each voter erred in further samples of steps, if it had any."""
    rates = []
    for number, voter in enumerate(calibration.voters):
        further = [step.voters[number] for step in calibration.error_steps if step.voters[number].later]
        counted = Counter(_bin(one.later_wrong, one.later) for one in further)
        scattered = [0.0] * SHARE_BINS
        chance = voter.wrong / max(1, voter.votes)
        for later, steps in Counter(one.later for one in further).items():
            for wrong in range(later + 1):
                exactly = binomial_tail(wrong, later, chance) - binomial_tail(wrong + 1, later, chance)
                scattered[_bin(wrong, later)] += steps * exactly
        if further:
            rates.append(
                RepeatErrorRates(voter.name, tuple(counted[part] for part in range(SHARE_BINS)), tuple(scattered))
            )
    return rates


def _bin(count: int, trials: int) -> int:
    return min(SHARE_BINS - 1, count * SHARE_BINS // trials)


def by_logprob(calibration: Calibration) -> list[LogprobErrorRates]:
    """Error rates by log-probability, for each voter whose samples have one."""
    rates = []
    for voter in calibration.voters:
        known = enumerate(voter.bins[: len(LOGPROB_EDGES) + 1])
        wrong = {number: IntervalEstimate.of(lost, won + lost) for number, (won, lost) in known if won + lost}
        if wrong:
            rates.append(LogprobErrorRates(voter.name, wrong))
    return rates


def flags_of(calibration: Calibration) -> list[FlagShares]:
    """Red flags by cause, for all voters; empty if there was none."""
    if not any(voter.flags.total() for voter in calibration.voters):
        return []
    return [
        FlagShares(voter.name, {cause: count / max(1, voter.steps) for cause, count in sorted(voter.flags.items())})
        for voter in calibration.voters
    ]


def draw_calibration(calibration: Calibration, folder: Path) -> list[Path]:
    """Draw the figures of a calibration into a folder, which is made; returns the files that were written.

    A figure with nothing to show is left out, and a line on stderr says why. Raises `InputError` if matplotlib is not
    installed or the folder cannot be written to.
    """
    prepare(folder)
    with drawing():
        figures = {
            "error_rates": (draw_rates(rates_of(calibration)), ""),
            "further_looks": (
                draw_repeats(repeats_of(calibration)),
                "no voter erred, so no step was asked again",
            ),
            "log_probability": (draw_by_logprob(by_logprob(calibration)), "no vote came with a log-probability"),
            "flags": (draw_flags(flags_of(calibration)), "no sample was flagged"),
        }
        drawn = {name: svg_file(figure) for name, (figure, _) in figures.items() if figure is not None}
    written = []
    for name, (_, reason) in figures.items():
        path = folder / f"{name}.svg"
        if name not in drawn:
            click.echo(printable(f"not drawn: {path}, since {reason}"), err=True)
            continue
        write_whole(path, drawn[name].decode(), "the figure")
        written.append(path)
    return written


def prepare(folder: Path) -> None:
    """Make the folder for the figures; raises `InputError` if that fails, or if matplotlib is not installed."""
    require_matplotlib()
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder} for the figures: {error.strerror}") from None


def draw_rates(rates: Sequence[ErrorRates]) -> "Figure":
    """Error rates of the voters, two lines for each."""
    figure = blank(WIDTH, 1.3 + 0.55 * len(rates))
    axes = figure.subplots()
    logarithmic(axes, "x", *extent(chain.from_iterable((one.wrong, one.flagged) for one in rates)))
    for row, one in enumerate(rates):
        draw_share(axes, row - 0.15, one.wrong, WRONG_VOTES)
        draw_share(axes, row + 0.15, one.flagged, FLAGGED_SAMPLES)
    name_rows(axes, [one.name for one in rates], "share, with its exact 99% interval")
    styles = {"1 − p: votes that were wrong": WRONG_VOTES, "1 − v: samples that were flagged": FLAGGED_SAMPLES}
    if any(0.0 in (one.wrong.estimate, one.flagged.estimate) for one in rates):
        styles["none seen"] = NONE_SEEN | {"marker": "<"}
    legend(figure, styles)
    return figure


def draw_repeats(voters: Sequence[RepeatErrorRates]) -> "Figure | None":
    """How often voters were wrong again on steps where one had erred, a panel for each voter."""
    if not voters:
        return None
    down = -(-len(voters) // MAX_PANELS_ACROSS)
    figure = blank(WIDTH, 0.9 + 2.3 * down)
    panels = figure.subplots(
        down, min(MAX_PANELS_ACROSS, len(voters)), sharex=True, sharey=True, squeeze=False
    ).ravel()
    starts = [part / SHARE_BINS for part in range(SHARE_BINS)]
    most = max(max(*one.counted, *one.scattered) for one in voters)
    for axes, one in zip(panels, voters, strict=False):
        axes.bar(starts, one.counted, 1 / SHARE_BINS, align="edge", color=BLUE, edgecolor=PAPER, linewidth=0.6)
        axes.stairs(one.scattered, [*starts, 1.0], baseline=None, color=VERMILION, linestyle="--", linewidth=1.6)
        axes.set_title(shown(one.name))
        logarithmic(axes, "y", 0.1, 2.0 * most)
        axes.set(xlim=(0, 1), xticks=(0, 0.5, 1))
        axes.set_xticklabels(["0", "0.5", "1"])
        axes.tick_params(labelbottom=True)
    for axes in panels[len(voters) :]:
        axes.set_visible(False)
    figure.supxlabel("share of wrong votes in the further samples of a step", fontsize=10)
    figure.supylabel("steps", fontsize=10)
    expected = {"color": VERMILION, "linestyle": "--"}
    counted = {"color": BLUE, "marker": "s", "linestyle": "none"}
    legend(figure, {"counted": counted, "expected if all steps were equally hard": expected})
    return figure


def draw_by_logprob(voters: Sequence[LogprobErrorRates]) -> "Figure | None":
    """Error rates by log-probability, for all voters side by side."""
    if not voters:
        return None
    figure = blank()
    axes = figure.subplots()
    parts = sorted({part for one in voters for part in one.wrong})
    logarithmic(axes, "y", *extent(share for one in voters for share in one.wrong.values()))
    for number, one in enumerate(voters):
        offset = 0.7 * ((number + 0.5) / len(voters) - 0.5)
        for part, share in one.wrong.items():
            draw_share(axes, parts.index(part) + offset, share, _style(number), upright=True)
    axes.set(xticks=range(len(parts)), xlim=(-0.5, len(parts) - 0.5))
    axes.set_xticklabels([edges_of(part) for part in parts], rotation=30, ha="right", rotation_mode="anchor")
    axes.grid(False, axis="x")
    axes.set_xlabel("mean log-probability of a vote's tokens (nats)")
    axes.set_ylabel("share of votes that were wrong")
    styles = {shown(one.name): _style(number) for number, one in enumerate(voters)}
    if any(share.estimate == 0.0 for one in voters for share in one.wrong.values()):
        styles["none seen"] = NONE_SEEN
    legend(figure, styles | {"exact 95% interval": {"color": GREY}})
    return figure


def draw_flags(voters: Sequence[FlagShares]) -> "Figure | None":
    """Red flags by cause, a bar for each voter."""
    if not voters:
        return None
    figure = blank(WIDTH, 1.3 + 0.4 * len(voters))
    axes = figure.subplots()
    lefts = [0.0] * len(voters)
    causes = sorted({cause for one in voters for cause in one.shares})
    for number, cause in enumerate(causes):
        widths = [100.0 * one.shares.get(cause, 0.0) for one in voters]
        color, hatch = COLOURS[number % len(COLOURS)], HATCHES[number % len(HATCHES)]
        bars = axes.barh(range(len(voters)), widths, 0.6, lefts, color=color, edgecolor=PAPER, hatch=hatch)
        bars.set_label(shown(cause))
        lefts = [left + width for left, width in zip(lefts, widths, strict=True)]
    name_rows(axes, [one.name for one in voters], "first samples that were flagged (%)")
    figure.legend(loc="outside upper left", ncols=4)
    return figure


def edges_of(part: int) -> str:
    """A bin of log-probabilities in words."""
    if part == 0:
        return f"below {_minus(LOGPROB_EDGES[0])}"
    if part == len(LOGPROB_EDGES):
        return f"from {_minus(LOGPROB_EDGES[-1])}"
    return f"{_minus(LOGPROB_EDGES[part - 1])} to {_minus(LOGPROB_EDGES[part])}"


def _minus(number: float) -> str:
    return f"{number:.4f}".rstrip("0").rstrip(".").replace("-", "−")


def _style(number: int) -> dict[str, Any]:
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}
