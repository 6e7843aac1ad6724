"""Figures of the scaling laws, from figures.json: success, subtasks, lengths."""

from typing import Any

from findings import Section
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from style import BLACK

from unerring.cli.figures.svg import BLUE, GREEN, GREY, HEIGHT, ORANGE, PURPLE, SKY, VERMILION, WIDTH

MARGINS = {
    1: (BLACK, "-"),
    2: (VERMILION, (0, (5, 1))),
    3: (BLUE, (0, (4, 1, 1, 1))),
    4: (GREEN, (0, (1, 1))),
    6: (PURPLE, (0, (3, 1, 1, 1, 1, 1))),
    8: (ORANGE, (0, (7, 2))),
}


def success_length(section: Section) -> Figure:
    """Success against the length of the chain, one panel for each p, one line for each k."""
    curves = section["against_length"]
    chances = sorted({curve["p"] for curve in curves})
    figure, panels = plt.subplots(1, len(chances), sharey=True, figsize=(WIDTH, 3.6))
    for axes, p in zip(panels, chances, strict=True):
        for curve in (one for one in curves if one["p"] == p):
            color, dashes = MARGINS[curve["k"]]
            label = f"k = {curve['k']}"
            axes.plot(curve["steps"], curve["probability"], color=color, linestyle=dashes, label=label)
        axes.axvline(section["steps"], color=GREY, linewidth=1, label=f"s = {section['steps']:,}")
        axes.set_xscale("log")
        axes.set_xlim(1, 1e9)
        axes.set_xticks([1, 1e3, 1e6])
        axes.set_title(f"p = {p}")
        axes.set_xlabel("steps of the chain, s")
    panels[0].set_ylabel("probability that all steps are right")
    panels[0].yaxis.set_major_formatter(PercentFormatter(1.0))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


def success_k(section: Section) -> Figure:
    """Success of the paper's million steps against k, for the models of its table."""
    figure, axes = plt.subplots(figsize=(WIDTH, HEIGHT))
    looks = [(BLACK, "o", "-"), (VERMILION, "s", "--"), (BLUE, "^", "-"), (GREEN, "D", ":"), (PURPLE, "v", "-.")]
    for curve, (color, marker, dashes) in zip(section["against_k"], looks, strict=True):
        look = {"color": color, "marker": marker, "markersize": 4, "linestyle": dashes}
        label = f"{curve['model']}: p = {curve['p']:.4f}, k = {curve['k_min']}"
        points = list(zip(curve["k"], curve["probability"], strict=True))
        # a line that has reached the top shows nothing further
        still = [at for at, (_, before) in zip(points, [(0, 0.0), *points], strict=False) if before < 0.9999]
        axes.plot(*zip(*still, strict=True), label=label, **look)
    axes.axhline(section["target"], color=GREY, linewidth=1, linestyle="--")
    axes.text(1.02, section["target"] - 0.02, f"target {section['target']:.0%}", color=GREY, va="top", fontsize=9)
    axes.set_xscale("log")
    axes.set_xlim(1, 40)
    axes.set_xticks([1, 2, 3, 4, 6, 10, 20, 29, 40], labels=["1", "2", "3", "4", "6", "10", "20", "29", "40"])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("margin that wins a race, k (votes)")
    axes.set_ylabel(f"probability that all {section['steps']:,}\nsteps are right")
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def subtasks(section: Section) -> Figure:
    """Cost of a step against the steps of a subtask: laws as lines, races as dots."""
    figure, axes = plt.subplots(figsize=(WIDTH, HEIGHT))
    looks: dict[tuple[float, str], dict[str, Any]] = {
        (0.95, "agree"): {"color": VERMILION, "marker": "s", "linestyle": "--", "at": (13.5, 1100)},
        (0.99, "agree"): {"color": BLUE, "marker": "D", "linestyle": "-.", "at": (31, 350)},
        (0.95, "scatter"): {"color": ORANGE, "marker": "o", "linestyle": "-", "at": (77, 140)},
        (0.99, "scatter"): {"color": SKY, "marker": "^", "linestyle": ":", "at": (77, 4.2)},
    }
    for curve in section["curves"]:
        look = looks[curve["p"], curve["case"]]
        color, at = look["color"], look["at"]
        law, dots = curve["law"], curve["raced"]
        axes.plot([r["m"] for r in law], [r["votes"] for r in law], color=color, linestyle=look["linestyle"])
        places = [r["m"] for r in dots], [r["votes"] for r in dots]
        errors = [2 * r["standard_error"] for r in dots]
        axes.errorbar(*places, yerr=errors, color=color, marker=look["marker"], linestyle="none", elinewidth=1)
        axes.text(*at, f"p = {curve['p']},\nwrong answers {curve['case']}", fontsize=9, va="center")
    axes.set_yscale("log")
    axes.set_xlim(0, 102)
    axes.set_xlabel("steps decided by one subtask, m")
    axes.set_ylabel("steps written for each step decided")
    return figure


def lengths(section: Section) -> Figure:
    """Samples a step against the length of the chain: the law as it is and unrounded, and games as dots."""
    figure, axes = plt.subplots(figsize=(WIDTH, HEIGHT))
    looks = [(BLUE, "o", "embedded model, p = {p:.4f}"), (VERMILION, "s", "noise sampler, p = {p:.4f}")]
    for curve, (color, marker, label) in zip(section["curves"], looks, strict=True):
        law, games = curve["law"], curve["played"]
        steps = [r["steps"] for r in law]
        expected = [r["samples_per_step"] for r in law]
        axes.step(steps, expected, where="mid", color=color, linewidth=1.2)
        # a margin of less than one vote is no margin
        unrounded = [(r["steps"], r["unrounded"]) for r in law if r["unrounded"] > 1]
        axes.plot(*zip(*unrounded, strict=True), color=color, linestyle="--", linewidth=1)
        axes.plot(
            [r["steps"] for r in games],
            [r["samples_per_step"] for r in games],
            linestyle="none",
            color=color,
            marker=marker,
            label=label.format(p=curve["p"]),
        )
    axes.plot([], [], color=GREY, linewidth=1.2, label="law, k rounded up")
    axes.plot([], [], color=GREY, linewidth=1, linestyle="--", label="law, k not rounded: ln s")
    axes.set_xscale("log", base=2)
    axes.set_ylim(0, None)
    disks = range(4, 21, 2)
    axes.set_xticks([2**n - 1 for n in disks], labels=[f"$2^{{{n}}}-1$" for n in disks])
    axes.minorticks_off()
    axes.set_xlabel("steps of the chain, s")
    axes.set_ylabel("samples a step")
    axes.legend(loc="center right")
    return figure
