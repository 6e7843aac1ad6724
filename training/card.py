"""Write the tables of the model card from the measurements of evaluate.py."""

from collections.abc import Mapping, Sequence
from math import exp, lgamma, log, log1p
from pathlib import Path
from typing import Any

BEGIN = "<!-- figures: written by {}.py --card -->"
END = "<!-- end of figures -->"


def interval(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval for a share (Clopper and Pearson, 1934), by bisection on the binomial tails."""
    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else _solve(lambda q: 1 - _at_most(hits - 1, trials, q) - tail)
    high = 1.0 if hits == trials else _solve(lambda q: tail - _at_most(hits, trials, q))
    return low, high


def _at_most(most: int, trials: int, share: float) -> float:
    """Chance of at most `most` hits; the sum has few terms, as hits are counted on the rarer side."""
    total = 0.0
    for hits in range(most + 1):
        ways = lgamma(trials + 1) - lgamma(hits + 1) - lgamma(trials - hits + 1)
        total += exp(ways + hits * log(share) + (trials - hits) * log1p(-share))
    return total


def _solve(rising: Any) -> float:
    """The root in (0, 1) of a function that rises through zero, bisected on a logarithmic scale."""
    low, high = 1e-12, 1 - 1e-12
    while high / low > 1 + 1e-9:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return high


def chance(right: int, trials: int) -> str:
    """A share of right answers with its exact 95 % interval, written by its distance from 1."""
    low, high = interval(trials - right, trials)
    return f"{right / trials:.6f} ({1 - high:.6f} to {1 - low:.6f})"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def figures(results: Mapping[str, Any]) -> str:
    """All tables, as Markdown."""
    large, small = results["large"], results["small"]
    steps = results["steps"]
    parts = [
        f"Measured with {results['engine']}, seed {results['seed']}: {steps:,} random steps of the run of 20 disks.",
        "#### Members, sampled",
        "`v` and `p` are those of the paper: the probability that a sample is not flagged, and that an unflagged one "
        "is right. Intervals are exact, at 95 %, as if samples were independent; three were drawn of each step.",
        sampled(large["members"]),
        "#### Members, step by step",
        stepwise(large["members"]),
        "A greedy answer is the likeliest continuation, token by token. A step is pathological if the right answer "
        "does not lead among the member's unflagged samples at temperature 1 (200 of each step in doubt), and silent "
        "if all of them are flagged: no number of the member's votes decides such a step correctly.",
        shared(large["shared_pathological"]),
        "#### Log-probability as a red flag",
        "Valid answers at temperature 1.0 whose mean token log-probability reaches the threshold, of all members:",
        separation(large["members"]),
        "#### Voting",
        f"`{results['policy']['rule']}`, temperature {results['policy']['temperatures'][1]}, flagged below a mean "
        f"log-probability of {results['policy']['min_logprob']}; every step is raced once for each line:",
        raced(large["races"], steps),
        f"#### Smaller games: all {small['steps']:,} steps of 1 to 12 disks",
        stepwise(small["members"]),
        raced(small["races"], small["steps"]),
        "#### The drafter",
        "Drafts that are not the right answer: " + drafted(results["drafter"]),
    ]
    return "\n\n".join(parts)


def drafted(found: Mapping[str, Any]) -> str:
    large, small = found["large"], found["small"]
    return (
        f"{len(large['wrong'])} on {large['steps']:,} random steps of 20 disks, {len(small['wrong'])} on all "
        f"{small['steps']:,} steps of 1 to 12 disks."
    )


def sampled(members: Mapping[str, Any]) -> str:
    head = ["member", "temperature", "samples", "right of all", "v, parser alone", "p, parser alone", "v", "p"]
    head += ["both first votes wrong", "and the same"]
    rows: list[Sequence[object]] = []
    for name, found in members.items():
        for temperature, tally in sorted(found["temperatures"].items(), reverse=True):
            kept, right = tally["kept"], tally["kept_right"]
            shares: list[str] = []
            for rules in ("parser", "default"):
                shares += [f"{kept[rules] / tally['samples']:.6f}", chance(right[rules], kept[rules])]
            row = [name, temperature, f"{tally['samples']:,}", f"{tally['right'] / tally['samples']:.6f}", *shares]
            rows.append([*row, tally["collisions"], tally["agreeing"]])
    return table(head, rows)


def stepwise(members: Mapping[str, Any]) -> str:
    head = ["member", "greedy answer wrong", "greedy answer flagged", "in doubt"]
    head += ["pathological, parser alone", "silent, parser alone", "pathological", "silent"]
    rows = []
    for name, found in members.items():
        odd = [len(found[kind][rules]) for rules in ("parser", "default") for kind in ("pathological", "silent")]
        rows.append([name, len(found["greedy_wrong"]), len(found["greedy_flagged"]), found["doubtful"], *odd])
    return table(head, rows)


def shared(pathological: Mapping[str, Sequence[str]]) -> str:
    counts = "; ".join(f"{group.replace(' ', ' and ')}: {len(steps)}" for group, steps in pathological.items())
    return f"Pathological steps (parser alone) that members share: {counts}."


def separation(members: Mapping[str, Any]) -> str:
    tallies = [found["temperatures"]["1.0"] for found in members.values()]
    wrong, right = (sum(tally["valid"][side] for tally in tallies) for side in (0, 1))
    rows: list[Sequence[object]] = [["none", f"{right:,}", "100 %", wrong]]
    for limit in tallies[0]["above"]:
        bad, good = (sum(tally["above"][limit][side] for tally in tallies) for side in (0, 1))
        rows.append([limit, f"{good:,}", f"{100 * good / right:.3f} %", bad])
    return table(["threshold", "right answers kept", "share", "wrong answers kept"], rows)


def raced(races: Mapping[str, Any], steps: int) -> str:
    head = ["voters", "steps", "wrong", "undecided", "votes a step", "flagged a vote", "races with a wrong vote"]
    rows = [
        [
            f"`{name}`",
            f"{steps:,}",
            len(race["wrong"]),
            len(race["undecided"]),
            f"{race['votes'] / steps:.4f}",
            f"{race['flagged'] / max(1, race['votes']):.5f}",
            race["split"],
        ]
        for name, race in races.items()
    ]
    return table(head, rows)


def digit_figures(results: Mapping[str, Any]) -> str:
    """The tables of the ensemble of digits: one part for each kind of question."""
    parts = [f"Measured with {results['engine']}, seed {results['seed']}."]
    for kind in ("sums", "products", "cuts", "comparisons"):
        found = results[kind]
        races = {name.replace("embedded", "embedded/digits"): race for name, race in found["races"].items()}
        parts += [
            f"#### {kind.capitalize()}: {found['steps']:,} steps",
            sampled(found["members"]),
            stepwise(found["members"]),
            shared(found["shared_pathological"]),
            raced(races, found["steps"]),
        ]
    return "\n\n".join(parts)


def write_card(script: str, text: str, path: Path) -> None:
    """Put a script's tables between its markers in the card; the words around them are written by hand."""
    begin = BEGIN.format(script)
    before, found, rest = path.read_text(encoding="utf-8").partition(begin)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise ValueError(f"{path} has no place for the figures: {begin} and {END}")
    path.write_text(f"{before}{begin}\n\n{text}\n\n{END}{after}", encoding="utf-8")
