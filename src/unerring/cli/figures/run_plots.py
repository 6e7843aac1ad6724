"""Figures of a run for an HTML page. The numbers are computed by functions of their own, before drawing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

from unerring.cli.figures.svg import (
    BLUE,
    GREY,
    PAPER,
    SKY,
    VERMILION,
    blank,
    draw_share,
    drawing,
    extent,
    legend,
    logarithmic,
    name_rows,
    svg_part,
)
from unerring.core.certificate.expectations import expectations_from
from unerring.core.planning.estimates import IntervalEstimate
from unerring.core.planning.intervals import interval
from unerring.core.reporting.timeline import Timeline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 4.7, 3.0  # inches: two fit side by side on a page, and one on a phone
MAX_BARS = 60
MAX_DRAWN_VOTERS = 12
# A window of the figure of dissent has so many steps and so many with dissent, unless that makes too few windows.
MIN_WINDOW_STEPS, MIN_WINDOW_DISSENTS, MIN_WINDOWS = 50, 20, 10
MEASURED = {"color": BLUE, "marker": "o"}
PLANNED = {"color": VERMILION, "marker": "s", "fill": PAPER}


class RunFigure(NamedTuple):
    """A figure of the page.

    title: its heading.
    svg: the drawing; None if there is nothing to draw.
    caption: the text below it.
    """

    title: str
    svg: str | None
    caption: str


class VoteCountBar(NamedTuple):
    """One bar of the figure of votes.

    low, high: the least and the most votes of its steps.
    steps: the number of steps.
    """

    low: int
    high: int
    steps: int


class DissentRate(NamedTuple):
    """The share of steps with dissent in one window of the run.

    first: the first step of the window.
    steps: the number of its steps.
    share: the share with dissent, with its interval.
    """

    first: int
    steps: int
    share: IntervalEstimate


@dataclass(frozen=True, slots=True)
class WrongVoteRates:
    """How often a voter votes wrongly (1 - p).

    name: the voter.
    measured: by the votes of this run; None if they show nothing.
    planned: by the plan of the run; None without one.
    """

    name: str
    measured: IntervalEstimate | None
    planned: IntervalEstimate | None


def votes_of(report: Mapping[str, Any]) -> list[VoteCountBar]:
    """How many steps took how many votes, in at most `MAX_BARS` bars of equal width."""
    counts = {int(votes): steps for votes, steps in report["votes_histogram"].items()}
    if not counts:
        return []
    least, most = min(counts), max(counts)
    wide = ceil((most - least + 1) / MAX_BARS)
    bars: dict[int, int] = {}
    for votes, steps in counts.items():
        low = least + (votes - least) // wide * wide
        bars[low] = bars.get(low, 0) + steps
    return [VoteCountBar(low, low + wide - 1, bars[low]) for low in sorted(bars)]


def undecided_of(report: Mapping[str, Any]) -> list[float]:
    """The share of steps still undecided after round 0, 1, 2, ...; without the last, after which none is."""
    counts = {int(rounds): steps for rounds, steps in report["rounds_histogram"].items()}
    left = total = sum(counts.values())
    shares = [1.0] if total else []
    for number in range(1, max(counts, default=0)):
        left -= counts.get(number, 0)
        shares.append(left / total)
    return shares


def dissent_of(timeline: Timeline) -> list[DissentRate]:
    """The share of steps with dissent along the run, in windows with enough steps to be more than chance."""
    if not timeline.steps:
        return []
    telling = MIN_WINDOW_DISSENTS * timeline.steps / timeline.dissents if timeline.dissents else timeline.steps
    least = min(max(MIN_WINDOW_STEPS, ceil(telling)), ceil(timeline.steps / MIN_WINDOWS))
    return [
        DissentRate(one.first, one.steps, IntervalEstimate.of(one.dissents, one.steps))
        for one in timeline.windows(least)
    ]


def wrongs_of(report: Mapping[str, Any]) -> list[WrongVoteRates]:
    """How often each voter votes wrongly, with intervals of 95 %.

    The interval of a voter's p is that of a count on its effective number of votes: votes on the same step are
    correlated, so n votes, m on each step, count as n / (1 + (m - 1) r) independent ones (Kish 1965). The correlation
    r of errors on a step follows from the probability R that an error is repeated: r = (R - q) / (1 - q), q = 1 - p.
    With less than one wrong vote there is no lower bound.
    """
    certificate = report.get("certificate") or {}
    repeat = certificate.get("repeat") or 0.0
    steps = max(1, report["steps"])
    rates = []
    for voter in certificate.get("voters", []):
        p, votes, planned = voter.get("p"), voter.get("votes", 0), voter.get("planned")
        measured = None
        if p is not None and votes:
            wrong = 1.0 - p
            together = max(0.0, (repeat - wrong) / p) if p else 0.0
            worth = votes / (1.0 + max(0.0, votes / steps - 1.0) * together)
            low, high = interval(wrong * worth, worth)
            measured = IntervalEstimate(wrong, low if wrong * worth >= 1.0 else 0.0, high)
        if measured is not None or planned is not None:
            known = None if planned is None else IntervalEstimate(1.0 - planned[1], 1.0 - planned[2], 1.0 - planned[0])
            rates.append(WrongVoteRates(voter["name"], measured, known))
    return rates


def flags_of(report: Mapping[str, Any]) -> dict[str, int]:
    """Red flags by cause, most frequent first."""
    return dict(sorted(report["flags"].items(), key=lambda item: (-item[1], item[0])))


def run_panels(report: Mapping[str, Any], timeline: Timeline) -> dict[str, RunFigure]:
    """The figures of a run by name. Raises `InputError` if matplotlib is not installed."""
    with drawing():
        return {
            "p": _p_panel(wrongs_of(report)),
            "votes": _votes_panel(votes_of(report)),
            "undecided": _undecided_panel(undecided_of(report)),
            "dissent": _dissent_panel(timeline, expectations_from(report.get("plan")).dissent),
            "flags": _flags_panel(flags_of(report), report["samples"]["received"]),
        }


def _p_panel(wrongs: list[WrongVoteRates]) -> RunFigure:
    title = "How often voters vote wrongly (1 − p)"
    if not wrongs:
        return RunFigure(title, None, "Neither the votes nor a plan show how often voters are wrong.")
    drawn = wrongs[:MAX_DRAWN_VOTERS]
    kinds = {"this run's votes": MEASURED} if any(one.measured for one in drawn) else {}
    if any(one.planned for one in drawn):
        kinds["the plan"] = PLANNED
    shares = [share for one in drawn for share in (one.measured, one.planned) if share is not None]

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        logarithmic(axes, "x", *extent(shares))
        for row, one in enumerate(drawn):
            for offset, share, style in ((-0.12, one.measured, MEASURED), (0.12, one.planned, PLANNED)):
                if share is not None:
                    draw_share(axes, row + offset, share, style)
        name_rows(axes, [one.name for one in drawn], "share of votes that are wrong")
        legend(figure, kinds)

    left_out = f" {len(wrongs) - len(drawn)} further voters are only in the table." if drawn != wrongs else ""
    caption = f"Lines are 95% intervals. Where errors repeat on a step, its votes count for less.{left_out}"
    return RunFigure(title, _svg(draw, "p", title, 1.3 + 0.45 * len(drawn)), caption)


def _votes_panel(bars: list[VoteCountBar]) -> RunFigure:
    title = "Votes a step"
    if not bars:
        return RunFigure(title, None, "No step is decided yet.")

    def draw(figure: "Figure") -> None:
        from matplotlib.ticker import MaxNLocator

        axes = figure.subplots()
        wide = bars[0].high - bars[0].low + 1
        axes.bar([(bar.low + bar.high) / 2 for bar in bars], [bar.steps for bar in bars], 0.8 * wide, color=BLUE)
        logarithmic(axes, "y", 0.5, max(2.0, *(1.5 * bar.steps for bar in bars)))
        axes.set_ylim(bottom=0.5)
        spare = max(wide, 2)
        axes.set_xlim(max(0, bars[0].low - spare), bars[-1].high + spare)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(False, axis="x")
        axes.set(xlabel="votes on a step", ylabel="steps")

    wide = bars[0].high - bars[0].low + 1
    grouped = f" Each bar is {wide} votes wide." if wide > 1 else ""
    return RunFigure(title, _svg(draw, "votes", title), f"The axis of steps is logarithmic.{grouped}")


def _undecided_panel(shares: list[float]) -> RunFigure:
    title = "Steps still undecided"
    if len(shares) < 2:
        caption = "Every step was decided in its first round." if shares else "No step is decided yet."
        return RunFigure(title, None, caption)

    def draw(figure: "Figure") -> None:
        from matplotlib.ticker import MaxNLocator

        axes = figure.subplots()
        logarithmic(axes, "y", shares[-1], 1.0)
        axes.plot(range(len(shares)), shares, color=BLUE, marker="o", clip_on=False)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="rounds of samples", ylabel="share of steps")

    straight = "A straight line means that no step is much harder than the others."
    caption = f"{straight} After {len(shares)} rounds every step was decided."
    return RunFigure(title, _svg(draw, "undecided", title), caption)


def _dissent_panel(timeline: Timeline, planned: tuple[float, float] | None) -> RunFigure:
    title = "Dissent along the run"
    rates = dissent_of(timeline)
    band = None if planned is None else tuple(100.0 * end for end in planned)
    words = "" if band is None else f" The plan expects {band[0]:.2g} % to {band[1]:.2g} % of the steps."
    if not rates or not timeline.dissents:
        return RunFigure(
            title, None, f"{'No step had' if rates else 'No step is decided yet: none has'} dissent.{words}"
        )

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        middles = [one.first + one.steps / 2 for one in rates]
        lows, highs = [100.0 * one.share.low for one in rates], [100.0 * one.share.high for one in rates]
        if band is not None:
            axes.axhspan(*band, color=SKY, alpha=0.5, linewidth=0)
        axes.vlines(middles, lows, highs, color=GREY, linewidth=0.8)
        shares, size = [100.0 * one.share.estimate for one in rates], 3.5 if len(rates) <= 60 else 2
        axes.plot(middles, shares, "o", color=BLUE, markersize=size, clip_on=False, zorder=3)
        axes.set(xlim=(0, timeline.steps), xlabel="step", ylabel="steps with dissent (%)")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.locator_params(axis="x", nbins=5)
        kinds: dict[str, dict[str, Any]] = {"counted, with its 95% interval": MEASURED}
        if band is not None:
            kinds["planned"] = {"color": SKY, "marker": "s", "linestyle": "none"}
        legend(figure, kinds)

    caption = f"Steps with a vote against their winner, in windows of {rates[0].steps:,} steps.{words}"
    return RunFigure(title, _svg(draw, "dissent", title), caption)


def _flags_panel(flags: dict[str, int], samples: int) -> RunFigure:
    title = "Red flags by cause"
    if not flags:
        return RunFigure(title, None, "No sample was flagged.")

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        shares = [100.0 * count / max(1, samples) for count in flags.values()]
        bars = axes.barh(range(len(flags)), shares, 0.6, color=VERMILION)
        axes.bar_label(bars, [f"{count:,}" for count in flags.values()], padding=4)
        name_rows(axes, [*flags], "samples that were flagged (%)")
        axes.margins(x=0.15)

    caption = "A flagged sample does not vote; another one is drawn in its place. The numbers at the bars are samples."
    return RunFigure(title, _svg(draw, "flags", title, 1.1 + 0.4 * len(flags)), caption)


def _svg(draw: Callable[["Figure"], None], name: str, label: str, height: float = HEIGHT) -> str:
    figure = blank(WIDTH, height)
    draw(figure)
    return svg_part(figure, name, label)
