"""The part of a report's page on doubtful steps: their questions, rival answers, and reasons of red flags."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from unerring.cli.text.doubtful import headline, not_kept, reason_text, shown_steps
from unerring.core.reporting.summary import counted, printable


def doubtful_part(report: Mapping[str, Any]) -> str:
    """The doubtful steps as HTML, the open one first; empty if there is none."""
    steps, reasons = shown_steps(report), report["flag_reasons"]
    if not steps and not reasons:
        return ""
    parts = ["<h2>Doubtful steps</h2>"]
    if reasons:
        rows = (_pair(f"{one['samples']:,} {one['flag']}", escaped(reason_text(one))) for one in reasons)
        parts.append(f"<h3>Why samples were flagged</h3><dl>{''.join(rows)}</dl>")
    if (missing := not_kept(report)) is not None:
        parts.append(f"<p>Not kept: {escaped(missing)}.</p>")
    return "\n".join([*parts, *(_step(step) for step in steps)])


def _step(step: Mapping[str, Any]) -> str:
    parts = [f'<section class="doubt"><h3>Step {step["step"]:,}: {escaped(headline(step))}</h3>']
    for one in step["messages"] or ():
        parts.append(f"<p>Message from {escaped(one['role'])}, before the question:</p>{_block(one['content'])}")
    if step["more_messages"]:
        parts.append(f"<p>{counted(step['more_messages'], 'message')} more before the question</p>")
    for number, text in enumerate(step["question"] or (), 1):
        parts.append(f"<p>Asked{f', in wording {number}' if number > 1 else ''}:</p>{_block(text)}")
    return "".join([*parts, "<dl>", *_answers(step), *_flagged(step), "</dl></section>"])


def _answers(step: Mapping[str, Any]) -> Iterator[str]:
    for answer in step["answers"]:
        voters = ", ".join(f"{name} ({votes:,})" for name, votes in answer["voters"].items())
        yield _pair(counted(answer["votes"], "vote"), f"{_block(answer['choice'])}by {escaped(voters)}")
    if step["more_answers"]:
        yield _pair("", f"{counted(step['more_answers'], 'candidate')} more with fewer votes")


def _flagged(step: Mapping[str, Any]) -> Iterator[str]:
    for one in step["flagged"]:
        yield _pair(
            f"{counted(one['samples'], 'sample')} {one['flag']}", escaped(reason_text(one)) + _block(one["example"])
        )


def _pair(name: str, value: str) -> str:
    """A name with its value, which is HTML."""
    return f"<dt>{escaped(name)}</dt><dd>{value}</dd>"


def _block(text: str) -> str:
    """A text of a model or a journal as a block."""
    return f'<pre class="said">{chr(10).join(map(escaped, text.split(chr(10))))}</pre>'


def escaped(value: object) -> str:
    """Any text for the page: control characters shown, and HTML escaped."""
    return escape(printable(str(value)), quote=True)
