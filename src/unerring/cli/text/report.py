"""A run's report as plain text; control characters of a model or a journal are shown, not obeyed by the terminal."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unerring.adapters.sqlite.reader import latest_entries
from unerring.cli.hints import OPTIONS, command_on, continuing, in_options, quoted
from unerring.core.journal.entries import Committed
from unerring.core.journal.function_entries import ActBegun, ActEnded, ActErred
from unerring.core.journal.spend import dollars_text
from unerring.core.reporting.summary import (
    acts_text,
    cost_text,
    counted,
    forked_from,
    measured_p,
    printable,
    probability,
    row,
    some_steps,
    speed_up,
    steps_text,
    undecided_text,
    zero_errors_text,
)
from unerring.core.short_text import MAX_LINE_CHARS, shortened
from unerring.core.voting.redflag import FlagKind
from unerring.errors import BEYOND_LENGTH

MIN_STEPS_OF_FORECAST = 30  # with fewer the cost of a step says little about that of the whole run
MAX_STEPS_IN_LINE = 5
CLEAR_FLAGS = {FlagKind.TOO_LONG.value, FlagKind.TRUNCATED.value, FlagKind.IMPROBABLE.value, FlagKind.COPY.value}
"""Kinds of flags whose name says enough: the reason is left out."""

__all__ = ["amount", "by_people", "chance", "printable", "probability", "report_text"]


def _asked(request: dict[str, Any]) -> list[tuple[str, str]]:
    """The request settings of a run: the system message, further fields, nonces and echoes."""
    fields = {name: request[name] for name in ("system",) if name in request} | request.get("extra", {})
    lines = [printable(f"{name} {json.dumps(value, ensure_ascii=False)}") for name, value in fields.items()]
    if request.get("nonce"):
        lines.append("each ends with a unique line, so that no cache can answer it (nonce)")
    if request.get("echo"):
        lines.append("each answer must end with a word of its own request (echo)")
    return [("request", line) for line in lines]


def _rule(policy: dict[str, Any]) -> str:
    """The rule by which steps are decided, and the temperatures of their samples."""
    first, later = policy["temperatures"]
    text = f"{policy['rule']}; temperature {first:g}"
    if later != first:
        text += f" for the first sample of a step, {later:g} for the others"
    replies = policy.get("min_replies", 1)
    return text if replies < 2 else f"{text}; a winner's votes come from at least {replies:,} replies"


def report_text(report: dict[str, Any], path: str) -> str:
    """A run's report for people."""
    rows = [
        ("process", _call(report["process"], report["parameters"])),
        ("model", f"{report['model']}, seed {report['seed']}"),
        ("rule", _rule(report["policy"])),
        *_asked(report["request"]),
        *([("forked", forked_from(report["origin"], report["inherited"]))] if report["origin"] else []),
        ("status", _status(report, path)),
        ("steps", steps_text(report)),
        ("samples", _samples(report["samples"], report["set_aside"], report["failure_reasons"])),
        ("red flags", _flags(report)),
        ("tokens", f"{report['tokens']['input']:,} in, {report['tokens']['output']:,} out"),
        *_spend(report),
        *(("served model", f"{name} was {', then '.join(models)}") for name, models in report["served"].items()),
        *(("endpoint", finding) for finding in report["findings"]),
    ]
    if report["votes_per_step"] is not None:
        rows += [
            ("votes a step", f"{report['votes_per_step']:.4f}"),
            (
                "dissent",
                f"votes against the winner on {counted(report['disagreements'], 'step')}; on "
                f"{report['collisions']:,} of them the first two votes both lost"
                if report["disagreements"]
                else "none: no vote went against a winner",
            ),
            ("tallies", _by_steps(report["tallies"])),
            ("rounds", _by_steps(report["rounds_histogram"])),
            ("most samples", _hardest(report["hardest"])),
            ("speculation", _speculation(report["speculation"])),
        ]
    if (undecided := undecided_text(report["undecided"])) is not None:
        rows.append(("undecided", undecided))
    if (acts := acts_text(report["acts"])) is not None:
        rows.append(("side effects", acts))
    rows += [("by people", done) for done in by_people(report)]
    certified = {voter["name"]: voter for voter in report["certificate"]["voters"]}
    rows += [("voter", _voter(voter, certified.get(voter["name"]))) for voter in report["voters"]]
    rows += _certificate(report["certificate"]) if report["steps"] else []
    return "\n".join(row(*one) for one in rows)


def _call(process: str, parameters: dict[str, Any]) -> str:
    return f"{process} " + " ".join(f"{name}={value}" for name, value in parameters.items())


def _status(report: dict[str, Any], path: str) -> str:
    if report["status"] == "paused":
        return f"paused ({in_options(report['stopped']['reason'])}); {_next_step(report, path)}"
    if report["status"] == "unfinished":
        return f"running or killed; if killed, {_unknown_act(report, path) or continuing(path)}"
    return f"finished, in {counted(report['sessions'], 'session')}"


def _next_step(report: Mapping[str, Any], path: str) -> str:
    """What to do about the stop of a run."""
    kind, step, policy = report["stopped"]["kind"], report["open_step"] or {}, report["policy"]
    review = command_on("review", path)
    if (unknown := _unknown_act(report, path)) is not None:
        return unknown
    if kind == BEYOND_LENGTH:
        return f"continue with: {beyond_length(path)}"
    if kind == "undecided" and step.get("decided_by") == kind:
        votes = sum(step["tally"])
        cap = "vote_cap" if votes >= policy["vote_cap"] else "flag_cap"
        more = command_on("resume", path, OPTIONS[cap], str(2 * policy[cap]))
        return f"to see it and decide: {review}" + (f"; to allow it more: {more}" if votes else "")
    if kind == "refused" and step.get("decided_by") != "people":
        return f"to see it, and give the answer or ask another model: {review}; then {continuing(path)}"
    return continuing(path)


def _unknown_act(report: Mapping[str, Any], path: str) -> str | None:
    """What to do about a side effect of unknown outcome that must not be run twice; None where there is none."""
    act = report["acts"]["unknown"]
    return None if act is None or not act["once"] else settling_act(path)


def waits_for_person(path: str | Path) -> bool:
    """Whether a run that just ended waits for a person to say whether a side effect happened: its latest entries say.

    No step is committed, and no other side effect begun, before one that was begun has ended.
    """
    for entry in latest_entries(Path(path)):
        if isinstance(entry, ActBegun | ActEnded | ActErred | Committed):
            return isinstance(entry, ActBegun) and entry.once
    return False


def reviewing_act(path: str | Path) -> str:
    """The command that shows a side effect of unknown outcome, and settles it: it needs no code of the process."""
    return f"unerring review {quoted(path)}"


def settling_act(path: str | Path) -> str:
    """How to say whether a side effect happened, and continue."""
    review = reviewing_act(path)
    return f"to say whether it happened: {review} --happened, or {review} --did-not-happen; then {continuing(path)}"


def beyond_length(path: str | Path) -> str:
    """What to do about a run that has taken as many steps as its process says it has, and is not at its end."""
    verify, resume, further = (
        command_on(*words) for words in (("verify", path), ("resume", path), ("resume", path, "--max-steps", "100"))
    )
    return (
        f"{verify}, which names a wrong step if the process can tell; to decide again from there: "
        f"unerring fork --help; if length() is wrong, fix it, then: {resume}; to go beyond it: {further}"
    )


def _samples(samples: Mapping[str, int], set_aside: int, failures: Sequence[Mapping[str, Any]]) -> str:
    text = f"{samples['received']:,} received: {samples['voted']:,} votes, {samples['flagged']:,} flagged"
    if set_aside:
        text += f"; {set_aside:,} of them set aside, which did not count"
    if samples["unknown"] > samples["given_up"]:
        text += f"; {samples['unknown'] - samples['given_up']:,} sent with unknown outcome"
    if samples["given_up"]:
        text += f"; {samples['given_up']:,} given up after a wrong guess"
    if samples["failed_calls"]:
        text += f"; {counted(samples['failed_calls'], 'call')} failed"
        if failures:
            most = failures[0]
            named = shortened(most["reason"] or most["kind"], MAX_LINE_CHARS)
            of_them = "" if most["calls"] == samples["failed_calls"] else f", {most['calls']:,} of them"
            text += f"{of_them}: {named}"
    return text


def _spend(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The lines on paid calls and their budget; none if no call was made."""
    spend = report["spend"]
    if not spend["calls"]:
        return []
    text = cost_text({**spend, "limits": {"dollars": None}}, report["tokens"], report["model"])
    if spend["forecast"] is not None and report["status"] != "finished" and report["steps"] >= MIN_STEPS_OF_FORECAST:
        text += f"; the whole run at this rate: {dollars_text(spend['forecast'])}"
    given = spend["limits"]
    limits = [
        *([dollars_text(given["dollars"])] if given["dollars"] is not None else []),
        *([f"{given['tokens']:,} tokens"] if given["tokens"] is not None else []),
        *([counted(given["calls"], "call")] if given["calls"] is not None else []),
        *([f"{given['hours']:g} hours"] if given["hours"] is not None else []),
        *(["strict: a call billed above its worst case stops the run"] if given["strict"] else []),
    ]
    return [("spent", text), *([("budget", ", ".join(limits))] if limits else [])]


def _speculation(speculation: Mapping[str, Any]) -> str:
    """How many steps were asked ahead of their turn, and what that wasted and saved."""
    if not speculation["steps_ahead"]:
        return "no step was asked ahead of its turn"
    gain = speed_up(speculation)
    faster = "" if gain is None else f"; {gain:.3g} times as fast as one call after the other"
    return (
        f"{counted(speculation['steps_ahead'], 'step')} asked ahead of their turn, at most "
        f"{speculation['longest_run']:,} in a row; {counted(speculation['wasted'], 'sample')} wasted by wrong guesses "
        f"({speculation['waste']:.2%}){faster}"
    )


def by_people(report: Mapping[str, Any]) -> list[str]:
    """What people decided about the run, a line each."""
    ruled, redrawn, lines = report["ruled"], report["redrawn"], []
    if ruled["count"]:
        lines.append(f"decided {some_steps(ruled['steps'], ruled['count'])}")
    for change in report["changes"]:
        lines.append(f"the process changed, which a person accepted: {'; '.join(change['changes'])}")
    if redrawn:
        lines.append(f"samples of an undecided step set aside and drawn again {counted(redrawn, 'time')}")
    if report["rejudged"]:
        lines.append(f"{counted(report['rejudged'], 'stored sample')} read differently by a later parser or check")
    return lines


def _voter(voter: dict[str, Any], certified: dict[str, Any] | None) -> str:
    """A voter's votes, how many went against the winner, and its p where enough votes tell."""
    text = f"{voter['name']}: {counted(voter['votes'], 'vote')}, {voter['flags']:,} flagged"
    if voter["dissent"] is not None:
        against = f" ({voter['dissent']:.2%})" if voter["dissents"] else ""
        text += f", {voter['dissents']:,} against the winner{against}"
    p = measured_p(certified)
    if p is not None:
        text += f"; right with probability {probability(p)}"
    if certified is not None and certified["planned"] is not None:
        low, _, high = certified["planned"]
        text += f" (planned {probability(low)} to {probability(high)})"
    return text


def _certificate(certificate: dict[str, Any]) -> list[tuple[str, str]]:
    """The lines of the certificate: wrong steps, the steps most at risk, warnings and assumptions."""
    rows = [("wrong steps", _wrong(certificate))]
    if certificate["certifiable"]:
        risky = "; ".join(map(_risk, certificate["nearest"][:MAX_STEPS_IN_LINE]))
        rows.append(("most at risk", risky or "none: every step was unanimous"))
    rows += [("warning", warning) for warning in certificate["warnings"]]
    return rows + [("assumption", assumption) for assumption in certificate["assumptions"]]


def _wrong(certificate: dict[str, Any]) -> str:
    low, high = certificate["wrong_interval"]
    bounds = f"{low:,} to {high:,}" if low else f"at most {high:,}" if high else "none"
    if certificate["expected_wrong"] is None:
        return f"{bounds}; the votes show no more"
    expected = f"{amount(certificate['expected_wrong'])} expected ({bounds}, at 95% confidence)"
    return f"{expected}; {zero_errors_text(certificate)}"


def _risk(step: Mapping[str, Any]) -> str:
    tally = "-".join(map(str, step["tally"]))
    return f"step {step['step']} ({tally}, wrong with probability {chance(step['wrong_probability'])})"


def chance(p: float) -> str:
    """A probability as a percentage, or as one in so many if it is small."""
    if p >= 0.01:
        return f"{p:.1%}"
    return f"1 in {float(f'{1.0 / p:.2g}'):,.0f}" if p > 1e-12 else "less than 1 in a trillion"


def amount(number: float) -> str:
    """An expected number with two or three digits."""
    if number >= 100.0:
        return f"{number:,.0f}"
    return f"{number:.2g}" if number >= 1e-4 or number == 0.0 else "less than 0.0001"


def _flags(report: Mapping[str, Any]) -> str:
    """Flagged samples by cause, with the most frequent reason where the cause alone does not explain it."""
    often: dict[str, Any] = {}
    for one in report["flag_reasons"]:
        if one["reason"] is not None and one["flag"] not in CLEAR_FLAGS:
            often.setdefault(one["flag"], one)
    return ", ".join(_flag(cause, count, often.get(cause)) for cause, count in report["flags"].items()) or "none"


def _flag(cause: str, count: int, often: Mapping[str, Any] | None) -> str:
    if often is None:
        return f"{cause}: {count:,}"
    some = "" if often["samples"] == count else f"{often['samples']:,} times "
    return f"{cause}: {count:,} ({some}{shortened(often['reason'])}{', and similar' if often['varies'] else ''})"


def _by_steps(counts: dict[str, int], most: int = 8) -> str:
    """The number of steps for each name, the most frequent ones first."""
    text = ", ".join(f"{name} on {counted(count, 'step')}" for name, count in list(counts.items())[:most])
    return text + (", ..." if len(counts) > most else "")


def _hardest(steps: list[dict[str, Any]]) -> str:
    """The steps that took most samples, without those that were unanimous and had no flag."""
    contested = [step for step in steps if len(step["tally"]) > 1 or step["flags"]]
    return "; ".join(_hard(step) for step in contested[:MAX_STEPS_IN_LINE]) or "none: every step was unanimous"


def _hard(step: dict[str, Any]) -> str:
    tally = "-".join(map(str, step["tally"]))
    return f"step {step['step']} ({tally}, {step['flags']} flagged)"
