"""The summary at the end of a run as text: six lines, on a terminal and by `print(result)`; and figures in words."""

import json
from collections.abc import Mapping
from typing import Any

from unerring.core.journal.digests import FUNCTION_PREFIX
from unerring.core.journal.spend import dollars_text
from unerring.core.numbers import MAX_SECONDS
from unerring.core.short_text import shortened
from unerring.core.voting.canonical import Json

LABEL_CHARS = 13  # width of the labels' column
MIN_VOTES_FOR_P = 100  # of a voter; fewer do not show its share of right ones
MIN_VOTES_FOR_CERTIFICATE = 1000  # with fewer, a low probability may be due to their number
MIN_SPEED_UP = 1.05  # that is worth a line
MAX_NAMED_STEPS = 10  # step numbers that are listed in one line; more are cut with "..."


def printable(text: str) -> str:
    """The text with control and formatting characters escaped, so that a terminal does not obey them."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def row(name: str, value: str) -> str:
    """One line: a label and its value."""
    return f"{printable(name):<{LABEL_CHARS}}{printable(value)}".rstrip()


def summary(report: Mapping[str, Any], answer: tuple[str, str], kept: str) -> str:
    """The end of a run: its answer, steps, votes a step, cost, certificate, and where its journal is.

    `answer` is a line's label and text, and `kept` names the journal and what to do next.
    """
    return "\n".join(row(*one) for one in (answer, *main_figures(report), ("journal", kept)))


def main_figures(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Steps, votes, cost and certificate, each with its name: in the summary, and in the tables of notebooks."""
    return [
        ("steps", steps_text(report)),
        ("votes", votes_text(report)),
        ("cost", cost_text(report["spend"], report["tokens"], report["model"])),
        ("certificate", certificate_text(report)),
    ]


def answer_line(answer: Json, state: Json, chars: int | None = None) -> tuple[str, str]:
    """The first line of a summary: the answer, or the end state of a chain without one, which is shortened."""
    if answer is None:
        return "end state", shortened(json.dumps(state, ensure_ascii=False))
    text = json.dumps(answer, ensure_ascii=False)
    return "answer", shortened(text, chars)


def steps_text(report: Mapping[str, Any]) -> str:
    """The number of decided steps, how many of them people decided, and whether changes were accepted."""
    steps, length = report["steps"], report["length"]
    text = f"{steps:,}" if length is None else f"{steps:,} of {length:,}"
    if length is not None and steps > length:
        text = f"{steps:,}, beyond the {length:,} that its process says"
    by_people, inherited = report["ruled"]["count"], report["inherited"]
    text += f", {inherited:,} of them taken over from another run" if inherited else ""
    text += f", {by_people:,} of them decided by people" if by_people else ""
    undecided = report["undecided"]["count"]
    text += f", {undecided:,} of them undecided" if undecided else ""
    return f"{text}; changes of the process were accepted" if report["changes"] else text


def votes_text(report: Mapping[str, Any]) -> str:
    """Votes a step, and red-flagged samples."""
    a_step, samples = report["votes_per_step"], report["samples"]
    if a_step is None:
        return "none"
    return f"{a_step:.2f} a step; {counted(samples['flagged'], 'sample')} red-flagged"


def cost_text(spend: Mapping[str, Any], tokens: Mapping[str, int], model: str = "") -> str:
    """The cost of paid calls; in tokens where a price is not known, and the number of calls of a function."""
    if not spend["calls"]:
        return "nothing: no paid calls"
    calls, dollars, limit = counted(spend["calls"], "call"), spend["dollars"], spend["limits"]["dollars"]
    if dollars is not None:
        text = dollars_text(dollars) + ("" if limit is None else f" of {dollars_text(limit)}") + f" for {calls}"
    elif model.startswith(FUNCTION_PREFIX) and not any(tokens.values()) and not spend.get("priced"):
        text = f"{calls} of a function"
    else:
        text = f"{calls}, {tokens['input']:,} tokens in, {tokens['output']:,} out; "
        known = spend.get("priced")
        text += f"at least {dollars_text(known)}, and not every price is known" if known else "the price is not known"
    unknown, given_up = spend["unknown"], spend["unknown"].get("given_up", 0)
    lost, of_guesses = unknown["calls"] - given_up, "given up after a wrong guess"
    what = "of unknown outcome" if lost else of_guesses
    if lost and given_up:
        what += f" and {given_up:,} {of_guesses}"
    text += _uncertain(lost or given_up, unknown, what, dollars is not None)
    return text + _uncertain(None, spend.get("under_way", {}), "for calls in flight", dollars is not None)


def _uncertain(calls: int | None, part: Mapping[str, Any], what: str, priced: bool) -> str:
    """The part of the cost that is a worst case, as text; empty where there is none."""
    named = what if calls is None else f"for {counted(calls, 'call')} {what}"
    if not (part.get("tokens") or calls):
        return ""
    if not part.get("tokens"):
        if not priced and not part["dollars"] and "unknown" not in what:  # nothing says that a call costs anything
            return f"; {named.removeprefix('for ')}"
        return f"; not counted: {named.removeprefix('for ')}, which can have cost something"
    if not priced or part["dollars"] is None:
        return "" if calls is None else f"; {named.removeprefix('for ')}"
    return f", {dollars_text(part['dollars'])} of it{' at most' if calls is None else ''} {named}"


def certificate_text(report: Mapping[str, Any]) -> str:
    """The probability of zero errors as far as the votes show; where they show nothing or little, why."""
    certificate, votes = report["certificate"], report["samples"]["voted"]
    warnings = certificate["warnings"]
    if not certificate["certifiable"]:
        return f"none: {warnings[0]}"
    more = f"; {counted(len(warnings), 'warning')}" if warnings else ""
    few = f", from only {votes:,} votes" if votes < MIN_VOTES_FOR_CERTIFICATE else ""
    return f"{zero_errors_text(certificate)}{few}{more}"


def zero_errors_text(certificate: Mapping[str, Any]) -> str:
    """The probability of zero errors, and its lower bound."""
    found, low = probability(certificate["zero_probability"]), probability(certificate["zero_probability_low"])
    return f"zero errors with probability {found} (at least {low})"


def measured_p(certified: Mapping[str, Any] | None) -> float | None:
    """A voter's share of right votes; None where there are too few votes to estimate it."""
    if certified is None or certified["p"] is None or certified["votes"] < MIN_VOTES_FOR_P:
        return None
    p: float = certified["p"]
    return p


def speed_up(speculation: Mapping[str, Any]) -> float | None:
    """The speed-up by speculation; None where it was not measured or is negligible."""
    gain: float | None = speculation["speed_up"]
    return None if gain is None or gain < MIN_SPEED_UP else gain


def counted(number: int, noun: str) -> str:
    """A number with its noun, in the plural unless it is one."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def duration(seconds: float) -> str:
    """A duration in its two largest units, without a second one that is 0; below a minute in three digits."""
    if seconds > MAX_SECONDS:
        return f"more than {MAX_SECONDS / 86400 / 365:.0f} years"
    if seconds < 60.0:
        return f"{seconds:.3g} s"
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    first, second = (f"{hours:,} h", f" {minutes} min") if hours else (f"{minutes} min", f" {left} s")
    return first if second.startswith(" 0 ") else first + second


def probability(p: float) -> str:
    """A probability, with the digits that show how far it is from 1."""
    if p < 0.001:
        return "below 0.001" if p > 0.0 else "0"
    if p > 1.0 - 1e-12:
        return "1"
    exponent = int(f"{1.0 - p:.1e}".partition("e")[2])
    return f"{p:.{max(3, 1 - exponent)}f}"


def forked_from(origin: Mapping[str, Json], inherited: int) -> str:
    """The words for the run that one was forked from."""
    taken = "1 step is" if inherited == 1 else f"{inherited:,} steps are"
    where = f"at step {origin.get('step')} of {origin.get('journal')}"
    return f"{where}, whose model was {origin.get('model')}; {taken} taken over from there"


def undecided_text(undecided: Mapping[str, Any]) -> str | None:
    """The words for steps that stayed undecided, and after which a function continued; None where there are none."""
    if not undecided["count"]:
        return None
    return f"{some_steps(undecided['steps'], undecided['count'])} (no answer won, and the function continued)"


def acts_text(acts: Mapping[str, Any]) -> str | None:
    """The words for the side effects of a run; None where there are none."""
    unknown, parts = acts["unknown"], [f"{acts['ended']:,} run"]
    if acts["failed"]:
        parts.append(f"{acts['failed']:,} failed, after which the function continued")
    if acts["inherited"]:
        parts[-1] += f"; {acts['inherited']:,} of them taken over from another run"
    if acts["again"]:
        parts.append(f"begun again {counted(acts['again'], 'time')}")
    if unknown is not None:
        parts.append(f"1 begun, of unknown outcome: {unknown['name']} before step {unknown['step']}")
    return "; ".join(parts) if unknown is not None or acts["ended"] or acts["failed"] else None


def some_steps(steps: list[int], count: int) -> str:
    """The words for some steps: their numbers, or the first of them and how many there are."""
    numbers = ", ".join(map(str, steps[:MAX_NAMED_STEPS])) + (", ..." if count > MAX_NAMED_STEPS else "")
    return f"step {numbers}" if count == 1 else f"{count:,} steps: {numbers}"
