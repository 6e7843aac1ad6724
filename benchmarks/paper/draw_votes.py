"""Figures of what the embedded model did, from figures.json: disks, rounds, collisions, answers, chains."""

from collections import Counter
from typing import Any

from findings import Section
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from style import BLACK, VOTERS

from unerring.cli.figures.svg import BLUE, GREY, HEIGHT, ORANGE, PURPLE, SKY, VERMILION, WIDTH

THOUSAND = 1000
NONE = 1e-12  # stands for 0 on a logarithmic axis


def bars(share: Section, scale: float = 1.0) -> tuple[float, list[list[float]]]:
    """A share and its interval, as `Axes.errorbar` wants them."""
    rate = share["rate"] * scale
    return rate, [[rate - share["low"] * scale], [share["high"] * scale - rate]]


def disks(section: Section) -> Figure:
    """Errors in a thousand against the number of disks: the members apart, then all answers by kind of error."""
    figure, (top, bottom) = plt.subplots(2, 1, sharex=True, figsize=(WIDTH, 5.2), height_ratios=(3, 2))
    members = [name for name in VOTERS if name in section["members"]]
    for place, name in enumerate(members):
        look = VOTERS[name] | {"linestyle": "none", "markersize": 4, "elinewidth": 1}
        for number, row in enumerate(section["members"][name]):
            rate, interval = bars(row["errors"], THOUSAND)
            label = name if number == 0 else None
            top.errorbar(row["disks"] + 0.24 * (place - 1), rate, yerr=interval, label=label, **look)
    top.set_ylim(-0.15, None)  # markers at 0 whole
    top.set_ylabel("errors in 1,000 answers")
    top.legend(loc="upper left")
    rows = section["members"]["all"]
    places = [row["disks"] for row in rows]
    malformed = [THOUSAND * row["malformed"] / row["errors"]["trials"] for row in rows]
    wrong = [THOUSAND * row["wrong_in_form"]["hits"] / row["errors"]["trials"] for row in rows]
    bottom.bar(places, malformed, color=SKY, edgecolor="white", label="malformed: red-flagged")
    bottom.bar(places, wrong, bottom=malformed, color=BLACK, hatch="//", edgecolor="white", label="well-formed, wrong")
    bottom.set_xticks(places)
    bottom.set_xlabel("disks")
    bottom.set_ylabel("all members,\nby kind")
    bottom.legend(loc="upper left")
    return figure


def rounds(section: Section) -> Figure:
    """Share of steps still open after so many votes."""
    figure, axes = plt.subplots(figsize=(WIDTH, 4.4))
    for row in section["rows"]:
        label = "all three, in rotation" if row["voter"] == "embedded" else row["voter"]
        curve(axes, row["open"], row["steps"], label=label, **VOTERS[row["voter"]])
    record, noise = section["record"], section["noise"]
    label = f"all three, record run of {record['steps']:,} steps"
    curve(axes, record["open"], record["steps"], color=PURPLE, marker="*", linestyle="-", label=label)
    curve(axes, noise["open"], noise["steps"], color=ORANGE, marker="v", linestyle="none", label=noise["voter"])
    theory = [(votes, share) for votes, share in enumerate(noise["theory"]) if share > 5e-7]
    axes.plot(*zip(*theory, strict=True), color=ORANGE, linewidth=1, drawstyle="steps-post", label="the same, theory")
    axes.set_yscale("log")
    axes.set_xlim(0, 24)
    axes.set_ylim(5e-7, 1.5)
    axes.set_xticks(range(0, 25, 3))
    axes.set_xlabel("votes of a step")
    axes.set_ylabel("share of steps still undecided")
    hardest = record["hardest"]
    axes.annotate(
        f"one step: {hardest['votes']} votes",
        (13.3, 1 / record["steps"]),
        (0, 4),
        textcoords="offset points",
        fontsize=9,
    )
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def curve(axes: Axes, still_open: list[int], steps: int, **look: Any) -> None:
    """One line of open steps, down to below the axis where none is open any more."""
    points = [(votes, count / steps) for votes, count in enumerate(still_open) if count]
    if points[-1][0] + 1 < len(still_open):
        points.append((points[-1][0] + 1, NONE))
    axes.plot(*zip(*points, strict=True), drawstyle="steps-post", markersize=4, linewidth=1.2, **look_of(look))


def look_of(look: dict[str, Any]) -> dict[str, Any]:
    return {"markevery": 2, **look}


def collisions(section: Section) -> Figure:
    """Steps whose first two votes are both wrong, by member and parser, and what independent votes would give."""
    figure, axes = plt.subplots(figsize=(WIDTH, 3.6))
    members = list(section["members"])
    looks = {"strict": (BLUE, "o", -0.12), "repairing": (VERMILION, "s", 0.12)}
    for parser, (color, marker, shift) in looks.items():
        for place, name in enumerate(members):
            found = section["members"][name][parser]
            first = place == 0
            rate, interval = bars(found["collisions"])
            at = place + shift
            axes.errorbar(
                at,
                rate,
                yerr=interval,
                color=color,
                marker=marker,
                capsize=3,
                label=f"{parser} parser" if first else None,
            )
            label = "were votes independent" if first and parser == "strict" else None
            axes.plot(at, found["independent"], color=color, marker="_", markersize=16, mew=2.5, linestyle="none")
            axes.plot([], [], color=GREY, marker="_", markersize=12, mew=2.5, linestyle="none", label=label)
    axes.set_yscale("log")
    axes.set_ylim(3e-8, 2e-3)
    axes.set_xlim(-0.5, len(members) - 0.5)
    axes.set_xticks(range(len(members)), labels=members)
    axes.grid(visible=False, axis="x")
    axes.set_ylabel("share of steps whose first\ntwo votes are both wrong")
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def answers(section: Section) -> Figure:
    """Errors against the length of an answer, and against its mean log-probability."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, HEIGHT), sharey=True)
    rows = [row for row in section["by_length"] if -4 <= row["at"] <= 4]
    for row in rows:
        point(left, row["at"], row)
    left.set_xticks(range(-4, 5))
    left.set_xlim(-4.6, 4.6)
    left.set_xlabel("tokens more than the right answer")
    left.set_ylabel("share of answers that are\nwrong or malformed")
    for row in section["by_half_decade_of_logprob"]:
        point(right, 10 ** ((row["at"] + 0.5) / 2), row)
    right.set_xscale("log")
    right.invert_xaxis()
    right.minorticks_off()
    right.set_xlabel("minus the mean log-probability (nats)")
    left.set_yscale("log")
    left.set_ylim(5e-6, 2)
    return figure


def point(axes: Axes, at: float, row: Section) -> None:
    """A share of errors with its interval; an arrow down where none was seen."""
    errors = row["errors"]
    if errors["hits"]:
        rate, interval = bars(errors)
        axes.errorbar(at, rate, yerr=interval, color=BLUE, marker="o", capsize=2, elinewidth=1)
    else:
        axes.errorbar(at, errors["high"], yerr=errors["high"] / 2, uplims=True, color=BLUE, marker="_", elinewidth=1)


def chains(section: Section) -> Figure:
    """The first wrong step of every chain, by way of deciding; those still right at the cap at the right edge."""
    ways = list(dict.fromkeys(row["way"] for row in section["rows"]))
    figure, axes = plt.subplots(figsize=(WIDTH, 3.8))
    cap = section["cap"]
    members = [name for name in VOTERS if name != "embedded"]
    for row in section["rows"]:
        shift = 0.0 if row["voter"] == "embedded" else 0.22 * (members.index(row["voter"]) - 1)
        height = len(ways) - 1 - ways.index(row["way"]) - shift
        look = VOTERS[row["voter"]] | {"linestyle": "none", "alpha": 0.75}
        ends = Counter(row["derailed_at"])
        right = ends.pop(None, 0)
        for step, chains in ends.items():
            axes.plot(step, height, **(look | {"markersize": 3 + 2 * chains**0.5}), clip_on=False)
        if right:
            axes.plot(cap, height, **(look | {"marker": ">", "markersize": 9}), clip_on=False)
            shown = f"{right} of {len(row['derailed_at'])} still right"
            axes.text(cap * 0.82, height, shown, ha="right", va="center", fontsize=9)
    for name in (*members, "embedded"):
        label = "all three" if name == "embedded" else name
        axes.plot([], [], **(VOTERS[name] | {"linestyle": "none"}), label=label)
    axes.set_xscale("log")
    axes.set_xticks([5, 10, 30, 100, 300, 1000, 3000], labels=["5", "10", "30", "100", "300", "1,000", "3,000"])
    axes.set_xlim(4, cap)
    axes.minorticks_off()
    axes.set_yticks(range(len(ways)), labels=list(reversed(ways)))
    axes.set_ylim(-0.5, len(ways) - 0.5)
    axes.set_xlabel(f"first wrong step of {section['disks']} disks (followed to step {cap:,}; larger: more chains)")
    figure.legend(loc="outside upper center", ncols=4)
    return figure


def hardest(section: Section) -> Figure:
    """How often each rule decides each of the hardest steps correctly."""
    figure, axes = plt.subplots(figsize=(WIDTH, 3.4))
    looks = [(VERMILION, "s", -0.25), (BLUE, "^", 0.0), (BLACK, "D", 0.25)]
    for row, (color, marker, shift) in zip(section["rows"], looks, strict=True):
        shares = [100 * right / section["races"] for right in row["right"]]
        places = [place + shift for place in range(len(shares))]
        axes.bar(places, shares, width=0.22, color=color, alpha=0.35)
        axes.plot(places, shares, color=color, marker=marker, linestyle="none", label=row["rule"], clip_on=False)
    axes.set_ylim(0, 100)
    axes.set_xticks(range(len(section["steps"])), labels=[f"{step:,}" for step in section["steps"]], rotation=30)
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("step of the 20-disk run")
    axes.set_ylabel("races decided correctly (%)")
    figure.legend(loc="outside upper center", ncols=3)
    return figure
