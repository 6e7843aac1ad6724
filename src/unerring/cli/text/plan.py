"""Calibrations and plans as plain text."""

from collections.abc import Sequence
from typing import Any

from unerring.cli.text.report import printable, probability
from unerring.core.journal.spend import dollars_text
from unerring.core.planning.calibration import Calibration, PilotSpend
from unerring.core.planning.estimates import IntervalEstimate, VoterEstimate, ensemble_estimate, voter_estimate
from unerring.core.reporting.summary import counted, row


def calibration_text(calibration: Calibration) -> str:
    """A calibration as text: a block for each voter, and one for all of them taking turns."""
    each = [voter_estimate(calibration, number) for number in range(len(calibration.voters))]
    together = [ensemble_estimate(calibration)] if len(each) > 1 else []
    called = " ".join(f"{name}={value}" for name, value in calibration.parameters.items())
    steps = "from the start of the chain" if calibration.walked else "drawn at random"
    judge = {
        "truth": "the right answers, which the process knows",
        "votes": "the winner by a wide margin, as right answers are unknown: errors that all votes share are not seen",
    }[calibration.judged_by]
    drawn = f"{counted(calibration.samples, 'sample')} of {counted(calibration.steps, 'step')} {steps}"
    rows = [
        ("process", f"{calibration.process} {called}"),
        ("model", calibration.model),
        ("pilot", f"{drawn}; temperature {calibration.temperature:g}, seed {calibration.seed}"),
        ("judged by", judge),
    ]
    if calibration.latency is not None:
        rows.append(("latency", f"{calibration.latency:.3g} s a sample, with {calibration.at_once} in flight at most"))
    if calibration.spent is not None:
        rows.append(("spent", _spent(calibration.spent)))
    blocks = [rows] + [_estimate_rows(one) for one in each + together]
    return "\n\n".join("\n".join(row(*one) for one in block) for block in blocks)


def _spent(spent: PilotSpend) -> str:
    """The cost of a pilot's calls, and how much of it is the worst case of calls with unknown outcome."""
    price = "; the price is not known" if spent.dollars is None else f", {dollars_text(spent.dollars)}"
    text = f"{spent.calls:,} calls, {spent.tokens:,} tokens{price}"
    if spent.unknown_calls:
        text += f"; {spent.unknown_calls:,} calls of unknown outcome are counted at their worst case"
        text += "" if spent.unknown_dollars is None else f", {dollars_text(spent.unknown_dollars)}"
    return text


def _estimate_rows(estimate: VoterEstimate) -> list[tuple[str, str]]:
    flags = ", ".join(f"{cause}: {count:,}" for cause, count in sorted(estimate.flags.items())) or "none"
    bad = estimate.pathological
    right = round(estimate.votes * estimate.p.estimate)
    if right < estimate.votes:
        spread = f"standard deviation {estimate.deviation:.2g} over steps; after a wrong vote on a step the next one "
        spread += f"there is wrong with probability {estimate.repeat:.2g}"
    else:
        spread = "not known: no vote was wrong, so that nothing shows whether errors repeat on a step"
    independent = f"{estimate.expected_collisions:.2g} expected if errors were independent"
    both = f"the first two votes were both wrong on {counted(estimate.collisions, 'step')} ({independent}), "
    both += f"with the same answer on {estimate.same_wrong:,}"
    leader = f"on a share of {bad.estimate:.2g} of the steps the most likely answer is wrong"
    tokens = f"{estimate.input_tokens:,.1f} in, {estimate.output_tokens:,.1f} out a sample"
    rows = [
        ("voter" if " + " not in estimate.name else "together", estimate.name),
        ("p", f"{right:,} of {estimate.votes:,} first votes were right: a share of {_share(estimate.p)}"),
        ("v", f"first samples without a red flag: a share of {_share(estimate.v)}"),
        ("red flags", flags),
        ("spread of p", spread),
        ("both wrong", both),
        ("wrong leader", f"{leader} (99% interval {bad.low:.2g} to {bad.high:.2g})"),
        ("tokens", tokens if estimate.input_tokens or estimate.output_tokens else "not reported by the model"),
    ]
    if estimate.silent:
        rows.append(("all flagged", f"every sample was flagged on {counted(estimate.silent, 'step')}"))
    return rows


def plan_text(data: dict[str, Any]) -> str:
    """A plan for people, from the JSON data that `unerring plan --json` prints."""
    first = data["models"][0]
    blocks = [_head(data, first), _rules(first, f"votes {_a_race(data)}")]
    if any(way["dollars"] for way in first["ways"]):
        blocks.append(_ways(first))
    if len(data["models"]) > 1:
        blocks.append(_models(data["models"], f"votes {_a_race(data)}"))
    blocks += [f"refused: {printable(reason)}" for reason in data["refused"]]
    return "\n\n".join(blocks)


def _head(data: dict[str, Any], model: dict[str, Any]) -> str:
    plan, a_race = model["plan"], _a_race(data)
    zero_errors = f"zero errors with probability {probability(plan['success'])}"
    each = f" in subtasks of {data['m']}" if data["m"] > 1 else ""
    rows = [
        ("job", f"{data['steps']:,} steps{each}, all of them right with probability {data['target']:g}"),
        ("model", model["model"]),
        ("plan", f"{plan['rule']}, at most {plan['vote_cap']} votes {a_race}; {zero_errors}"),
        ("votes", f"{plan['expected_votes']:.4g} {a_race}; samples in all: {_range(plan['samples'])}"),
        ("tokens", _tokens(plan)),
        ("dollars", _dollars(plan["dollars"], plan["dollars_most"])),
        ("price", _price(model["price"])),
        ("time", _hours(plan["hours"], model["concurrency"])),
    ]
    if model["pathological"] is not None:
        rows.append(("not excluded", _unseen(model["pathological"])))
    rows += [("note", note) for note in model["notes"]]
    return "\n".join(row(*one) for one in rows)


def _a_race(data: dict[str, Any]) -> str:
    """What one race decides, in words: one step, or (m > 1) a subtask of m steps."""
    return "a subtask" if data["m"] > 1 else "a step"


def _rules(model: dict[str, Any], votes: str) -> str:
    """The plan, the other rule, and the paper's formula, side by side."""
    rows = [("", votes, "zero errors", "dollars")]
    for one in model["rules"]:
        rows.append(
            (one["rule"], f"{one['expected_votes']:.4g}", probability(one["success"]), _dollars(one["dollars"]))
        )
    paper = model["paper"]
    if paper["k"] is None:
        rows.append(("paper's formula: no k", "-", "-", "-"))
    else:
        dollars = _dollars(paper["dollars"])
        rows.append(
            (
                f"paper's formula: k = {paper['k']}",
                f"{paper['expected_votes']:.4g}",
                probability(paper["success"]),
                dollars,
            )
        )
    return _table(rows)


def _ways(model: dict[str, Any]) -> str:
    """What the same votes cost with several samples a call, and with a batch API."""
    heads = ("dollars", "one sample a call", "several a call", "batch API", "both")
    rows = [heads]
    for rule in dict.fromkeys(way["rule"] for way in model["ways"]):
        mine = [_dollars(way["dollars"]) for way in model["ways"] if way["rule"] == rule]
        rows.append((rule, *mine))
    return _table(rows)


def _models(models: list[dict[str, Any]], votes: str) -> str:
    """The models, the chosen one first: it costs least."""
    rows = [("", "model", "rule", votes, "samples", "dollars")]
    for number, one in enumerate(models):
        plan = one["plan"]
        mark = "->" if number == 0 else ""
        samples = f"{plan['samples']['expected']:,.0f}"
        rows.append(
            (mark, one["model"], plan["rule"], f"{plan['expected_votes']:.4g}", samples, _dollars(plan["dollars"]))
        )
    return _table(rows)


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(printable(line.rstrip()) for line in lines)


def _share(share: IntervalEstimate) -> str:
    return f"{share.estimate:.6g} (99% interval {share.low:.6g} to {share.high:.6g})"


def _range(amount: dict[str, float]) -> str:
    return f"{amount['expected']:,.0f} (at most {amount['most']:,.0f} with 99% probability)"


def _tokens(plan: dict[str, Any]) -> str:
    read, written = plan["input_tokens"], plan["output_tokens"]
    if read is None or written is None:
        return "unknown"
    return f"{_range(read)} in, {_range(written)} out"


def _dollars(expected: float | None, most: float | None = None) -> str:
    if expected is None:
        return "unknown"
    if expected == 0.0:
        return "$0"
    return f"${expected:,.2f}" + ("" if most is None else f" (at most ${most:,.2f} with 99% probability)")


def _price(price: dict[str, Any] | None) -> str:
    if price is None:
        return "unknown; give --price-in and --price-out, --prices FILE, or install the [prices] extra"
    return f"${price['input']:g} in, ${price['output']:g} out for a million tokens ({price['source']})"


def _hours(hours: float | None, concurrency: int | None) -> str:
    if hours is None:
        return "unknown"
    seconds = hours * 3600.0
    long = f"{hours:,.1f} hours" if hours >= 2.0 else f"{seconds / 60.0:,.1f} minutes"
    return f"{long if seconds >= 60.0 else f'{seconds:.2g} seconds'} with {concurrency} samples in flight"


def _unseen(bad: dict[str, float]) -> str:
    """How many steps there may be whose most likely answer is wrong: a pilot does not ask all steps."""
    met = f"on a share of {bad['share']:.2g}" if bad["share"] else "on none"
    return (
        f"the most likely answer may be wrong on a share of up to {bad['at_most']:.2g} of the steps "
        f"({bad['steps_at_most']:,.0f} of this run), which the pilot is too small to exclude; it was {met} of the "
        "pilot's own steps. More samples lower this bound"
    )
