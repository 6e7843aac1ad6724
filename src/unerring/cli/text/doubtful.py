"""Doubtful steps as plain text: the question, the rival answers, and the reasons of red flags."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from unerring.core.reporting.summary import counted, printable, row
from unerring.core.short_text import shortened

MAX_TEXT_LINES = 16  # of a text that is shortened
MAX_DETAIL_CHARS = 400  # of one line of it, or of a choice
SIMILAR = " (and similar ones, with other numbers or quoted text)"
MAX_REASONS = 10  # of red flags

_DECIDED_BY = {
    "votes": "decided by votes",
    "people": "decided by a person",
    "shortlist": "no choice won; its answers were passed to judges as a shortlist",
    "undecided": "undecided: no answer won",
    "open": "open: votes are still missing",
}


def doubtful_text(report: Mapping[str, Any], full: bool = False) -> str:
    """The doubtful steps of a run, and why samples were flagged; empty if there is neither."""
    steps = shown_steps(report)
    lines = [row("flagged", _reason(one)) for one in report["flag_reasons"][: None if full else MAX_REASONS]]
    kept = sum(one["samples"] for one in report["flag_reasons"][: None if full else MAX_REASONS])
    if lines and (left := report["samples"]["flagged"] - kept) > 0:
        lines.append(row("", f"{counted(left, 'sample')} more, for other reasons"))
    if (missing := not_kept(report)) is not None:
        lines.append(row("not kept", missing))
    for step in steps:
        lines += ["", *_step(step, full)]
    return "\n".join(lines)


def shown_steps(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The doubtful steps of a report, the open one first."""
    return [*([] if report["open_step"] is None else [report["open_step"]]), *report["doubtful"]]


def not_kept(report: Mapping[str, Any]) -> str | None:
    """What the journal of an earlier version lacks, in whole or in part; None if nothing is missing."""
    steps = [step for step in shown_steps(report) if step["answers"] or step["flagged"]]
    texts = any(step["question"] is None for step in steps)
    reasons = any(one["reason"] is None for one in report["flag_reasons"])
    missing = [*(["the text of questions"] if texts else []), *(["the reasons of flags"] if reasons else [])]
    return f"{' and '.join(missing)}, all or some: an earlier version of unerring kept none" if missing else None


def _reason(one: Mapping[str, Any]) -> str:
    return f"{counted(one['samples'], 'sample')}, {one['flag']}: {reason_text(one, MAX_DETAIL_CHARS)}"


def reason_text(one: Mapping[str, Any], chars: int | None = None) -> str:
    """The reason of a red flag, cut to `chars` characters; earlier versions kept none."""
    if one["reason"] is None:
        return "the reason was not kept"
    return shortened(one["reason"], chars) + (SIMILAR if one["varies"] else "")


def _step(step: Mapping[str, Any], full: bool) -> Iterator[str]:
    """One step, line by line, each printable."""
    yield row(f"step {step['step']}", headline(step))
    yield from asked_lines(step["messages"] or (), {}, full)
    if step["more_messages"]:
        yield row("", f"{counted(step['more_messages'], 'message')} more before the question: --full shows them")
    yield from asked_lines((), dict(enumerate(step["question"] or (), 1)), full)
    for number, answer in enumerate(step["answers"], 1):
        chosen = shortened(answer["choice"], None if full else MAX_DETAIL_CHARS)
        voters = ", ".join(f"{name} ({votes:,})" for name, votes in answer["voters"].items())
        yield row(f"candidate {number}", f"{counted(answer['votes'], 'vote')}: {chosen}")
        yield row("", f"by {voters}")
    if step["more_answers"]:
        yield row("", f"{counted(step['more_answers'], 'candidate')} more with fewer votes: --full shows them")
    for group in step["flagged"]:
        yield row("flagged", _reason(group))
        yield from indented(group["example"], full)


def headline(step: Mapping[str, Any]) -> str:
    """A step in one line: its votes, flags and rounds, and who decided it."""
    how = _DECIDED_BY.get(step["decided_by"], step["decided_by"])
    tally = "-".join(map(str, step["tally"])) or "no votes"
    text = f"{tally}, {step['flags']:,} flagged, {counted(step['rounds'], 'round')}; {how}"
    if step["decided_by"] in {"people", "shortlist"} and step["choice"] is not None:
        text += f": {shortened(step['choice'], MAX_DETAIL_CHARS)}"
    return text


def asked_lines(
    messages: Iterable[Mapping[str, str]],
    prompts: Mapping[int, str],
    full: bool,
    names: tuple[str, str, str] = ("message", "asked", "wording"),
) -> Iterator[str]:
    """Messages before a question, and its wordings by their numbers; `names` are the labels of these lines."""
    for message in messages:
        yield row(names[0], f"from {message['role']}, before the question")
        yield from indented(message["content"], full)
    for number, prompt in prompts.items():
        yield row(names[1] if number == 1 else f"{names[2]} {number}", "")
        yield from indented(prompt, full)


def indented(text: str, full: bool) -> Iterator[str]:
    """The lines of a text, indented so that none can be taken for a line of the report."""
    lines = text.split("\n")
    left_out = len(lines) - MAX_TEXT_LINES
    if not full and left_out > 1:
        half = MAX_TEXT_LINES // 2
        lines = [*lines[:half], f"[... {left_out:,} lines: --full shows them]", *lines[-half:]]
    for line in lines:
        yield f"  | {printable(shortened(line, None if full else MAX_DETAIL_CHARS))}".rstrip()
