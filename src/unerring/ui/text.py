"""Reports as plain text. Whatever came from a model or a journal is made inert before it meets a terminal."""

import shlex
from collections.abc import Mapping
from typing import Any

from unerring.core.account import dollars_text
from unerring.reading import some_steps


def inert(text: str) -> str:
    """The text with every control and formatting character shown instead of obeyed."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def report_text(report: dict[str, Any], path: str) -> str:
    """A run's report for people."""
    samples, policy = report["samples"], report["policy"]
    rows = [
        ("process", _call(report["process"], report["parameters"])),
        ("model", f"{report['model']}, seed {report['seed']}"),
        ("rule", f"{policy['rule']}; temperatures {policy['temperatures'][0]:g}, then {policy['temperatures'][1]:g}"),
        ("status", _status(report, path)),
        ("steps", _of(report["steps"], report["length"])),
        ("samples", _samples(samples)),
        ("flags", _counts(report["flags"])),
        ("tokens", f"{report['tokens']['input']:,} in, {report['tokens']['output']:,} out"),
        *_spend(report["spend"]),
        *(("answered by", f"{name}: {', then '.join(models)}") for name, models in report["served"].items()),
        *(("found out", finding) for finding in report["findings"]),
    ]
    if report["steps"]:
        rows += [
            ("votes a step", f"{report['votes_per_step']:.4f}"),
            (
                "dissent",
                f"on {report['disagreements']:,} steps; first two votes both lost on {report['collisions']:,}",
            ),
            ("tallies", _counts(report["tallies"], most=8)),
            ("rounds", _counts(report["rounds_histogram"], most=8)),
            ("hardest", _hardest(report["hardest"])),
            ("ahead", _ahead(report["speculation"])),
        ]
    rows += [("by people", done) for done in by_people(report)]
    certified = {voter["name"]: voter for voter in report["certificate"]["voters"]}
    rows += [("voter", _voter(voter, certified.get(voter["name"]))) for voter in report["voters"]]
    rows += _certificate(report["certificate"]) if report["steps"] else []
    return "\n".join(f"{name:<13}{inert(value)}".rstrip() for name, value in rows)


def _call(process: str, parameters: dict[str, Any]) -> str:
    return f"{process} " + " ".join(f"{name}={value}" for name, value in parameters.items())


def _status(report: dict[str, Any], path: str) -> str:
    if report["status"] == "paused":
        return f"paused ({report['stopped']['reason']}); go on with: unerring resume {shlex.quote(path)}"
    if report["status"] == "unfinished":
        return f"running or killed; if killed, go on with: unerring resume {shlex.quote(path)}"
    return f"finished, in {report['sessions']} session{'s' if report['sessions'] > 1 else ''}"


def _of(steps: int, length: int | None) -> str:
    return f"{steps:,}" if length is None else f"{steps:,} of {length:,}"


def _samples(samples: dict[str, int]) -> str:
    told = f"{samples['received']:,} received: {samples['voted']:,} votes, {samples['flagged']:,} flagged"
    if samples["unknown"]:
        told += f"; {samples['unknown']:,} sent with unknown outcome"
    if samples["failed_calls"]:
        told += f"; {samples['failed_calls']:,} calls failed"
    return told


def _spend(spend: dict[str, Any]) -> list[tuple[str, str]]:
    """What paid calls came to; nothing where none was made."""
    if not spend["calls"]:
        return []
    told = f"{spend['calls']:,} calls, {_dollars(spend['dollars'])}"
    if spend["unknown"]["calls"]:
        told += f", {_dollars(spend['unknown']['dollars'])} of it for {spend['unknown']['calls']:,} of unknown outcome"
    if spend["forecast"] is not None:
        told += f"; the whole chain at this rate: {_dollars(spend['forecast'])}"
    limits = [
        limit
        for limit, given in (
            (_dollars(spend["limits"]["dollars"]), spend["limits"]["dollars"]),
            (f"{spend['limits']['tokens'] or 0:,} tokens", spend["limits"]["tokens"]),
            (f"{spend['limits']['calls'] or 0:,} calls", spend["limits"]["calls"]),
            (f"{spend['limits']['hours'] or 0:g} hours", spend["limits"]["hours"]),
        )
        if given is not None
    ]
    return [("spent", told), *([("budget", ", ".join(limits))] if limits else [])]


def _dollars(dollars: float | None) -> str:
    return "at unknown prices" if dollars is None else dollars_text(dollars)


def _ahead(speculation: dict[str, Any]) -> str:
    """How asking ahead got on."""
    if not speculation["steps_ahead"]:
        return "no step was asked ahead"
    gain = speculation["speed_up"]
    faster = "" if gain is None else f"; {gain:.3g} times as fast as the same calls one after the other"
    return (
        f"{speculation['steps_ahead']:,} steps asked ahead, in runs of {speculation['mean_run']:,.1f} on average and "
        f"{speculation['longest_run']:,} at most; {speculation['wasted']:,} samples for nothing "
        f"({speculation['waste']:.2%}){faster}"
    )


def by_people(report: Mapping[str, Any]) -> list[str]:
    """What people did about undecided steps."""
    ruled, redrawn, told = report["ruled"], report["redrawn"], []
    if ruled["count"]:
        told.append(f"decided {some_steps(ruled['steps'], ruled['count'])}")
    if redrawn:
        told.append(f"samples of an undecided step set aside and drawn anew {redrawn:,} time{'s' * (redrawn > 1)}")
    return told


def _voter(voter: dict[str, Any], certified: dict[str, Any] | None) -> str:
    """A voter's votes, how many went against what was committed, and how often it is right as far as they tell."""
    told = f"{voter['name']}: {voter['votes']:,} votes, {voter['flags']:,} flags"
    if voter["dissent"] is not None:
        told += f", {voter['dissents']:,} dissents ({voter['dissent']:.2%})"
    if certified is None:
        return told
    if certified["p"] is not None:
        told += f"; p {probability(certified['p'])}"
    if certified["planned"] is not None:
        low, _, high = certified["planned"]
        told += f" (planned {probability(low)} to {probability(high)})"
    return told


def _certificate(certificate: dict[str, Any]) -> list[tuple[str, str]]:
    """What the votes say of wrong steps, and what that rests on."""
    rows = [("wrong steps", _wrong(certificate))]
    if certificate["certifiable"]:
        rows.append(("nearest", "; ".join(map(_near, certificate["nearest"][:5])) or "none: every step was unanimous"))
    rows += [("warning", warning) for warning in certificate["warnings"]]
    return rows + [("assuming", assumption) for assumption in certificate["assumptions"]]


def _wrong(certificate: dict[str, Any]) -> str:
    low, high = certificate["wrong_interval"]
    bounds = f"{low:,} to {high:,}" if low else f"at most {high:,}" if high else "none"
    if certificate["expected_wrong"] is None:
        return f"{bounds}: no more is known"
    return (
        f"{amount(certificate['expected_wrong'])} expected ({bounds} with 95%); "
        f"none with probability {probability(certificate['zero_probability'])}"
    )


def _near(step: dict[str, Any]) -> str:
    return f"step {step['step']} ({'-'.join(map(str, step['tally']))}, wrong with {chance(step['wrong_probability'])})"


def probability(p: float) -> str:
    """A probability, with the digits that tell how far it is from 1."""
    if p < 0.001:
        return "below 0.001" if p > 0.0 else "0"
    if p > 1.0 - 1e-12:
        return "1"
    exponent = int(f"{1.0 - p:.1e}".partition("e")[2])
    return f"{p:.{max(3, 1 - exponent)}f}"


def chance(p: float) -> str:
    """A chance as a share where it is large, and else as one in so many."""
    if p >= 0.01:
        return f"{p:.1%}"
    return f"1 in {float(f'{1.0 / p:.2g}'):,.0f}" if p > 1e-12 else "less than 1 in a trillion"


def amount(number: float) -> str:
    """An expected number, two or three digits of it."""
    if number >= 100.0:
        return f"{number:,.0f}"
    return f"{number:.2g}" if number >= 1e-4 or number == 0.0 else "less than 0.0001"


def _counts(counts: dict[str, int], most: int = 20) -> str:
    told = ", ".join(f"{name}: {count:,}" for name, count in list(counts.items())[:most])
    return (told or "none") + (", ..." if len(counts) > most else "")


def _hardest(steps: list[dict[str, Any]]) -> str:
    """The steps that were not plainly unanimous, at most five of them."""
    contested = [step for step in steps if len(step["tally"]) > 1 or step["flags"]]
    return "; ".join(_hard(step) for step in contested[:5]) or "none: every step was unanimous"


def _hard(step: dict[str, Any]) -> str:
    tally = "-".join(map(str, step["tally"]))
    return f"step {step['step']} ({tally}, {step['flags']} flagged)"
