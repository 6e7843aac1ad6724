"""A journal's steps or votes as JSON lines or CSV, one record at a time, in constant memory."""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

from unerring.adapters.tables.jsonl import json_line
from unerring.api.journals.history import History
from unerring.cli.text.report import inert
from unerring.core.journal.entries import Reply
from unerring.core.voting.canonical import parsed
from unerring.core.voting.race import Undecided
from unerring.errors import InputError

_FORMULA = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # and the wide forms, which some take for the same
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
OWN = frozenset({"index", "tally", "votes", "flags", "ruled", "inherited"})


def step_records(history: History, marked: bool = False) -> Iterator[dict[str, Any]]:
    """One record a committed step: index, the choice, tally, votes, flags; and `ruled` where a person decided it.

    With `marked` each has that, true or false. Those of a fork have `inherited`, true or false. A choice that is an
    object stands there by its fields, unless one of them has the name of a field of the record.
    """
    for decided in history.steps():
        choice = decided.value
        plain = isinstance(choice, dict) and not OWN & choice.keys()
        fields = choice if plain and isinstance(choice, dict) else {"choice": choice}
        yield (
            {"index": decided.step}
            | fields
            | {
                "tally": list(decided.tally),
                "votes": decided.votes,
                "flags": decided.flags,
            }
            | ({"ruled": decided.ruled} if marked or decided.ruled else {})
            | ({"inherited": decided.inherited} if history.opened.origin is not None else {})
        )


def vote_records(history: History) -> Iterator[dict[str, Any]]:
    """One record a sample, flagged ones included: those of committed steps, then those of the step that is open.

    `status` says how the sample's step stands: `committed`, `undecided` at its caps, or `open`. Samples that a person
    had set aside are `set aside`.
    """
    for decided in history.steps():
        yield from _samples(decided.replies, "committed", history)
    step = None if history.state.finished is not None else history.state.frontier
    if step is not None:
        status = "undecided" if step.ruled is None and isinstance(step.verdict, Undecided) else "open"
        replies = [step.replies[slot] for slot in sorted(step.replies)]
        yield from _samples(replies, status, history, step.first)


def _samples(replies: Sequence[Reply], status: str, history: History, first: int = 0) -> Iterator[dict[str, Any]]:
    """The samples of one step; those before number `first` were set aside."""
    by_slot = {reply.slot: reply for reply in replies}
    for reply in replies:
        text = by_slot[reply.text].text if isinstance(reply.text, int) else reply.text
        choice = by_slot[reply.choice].choice if isinstance(reply.choice, int) else reply.choice
        yield {
            "index": reply.step,
            "sample": reply.slot,
            "voter": history.state.voters[reply.voter].name,
            "flag": None if reply.flag is None else reply.flag.value,
            "choice": parsed(choice) if isinstance(choice, str) else None,
            "text": text,
            "input_tokens": reply.usage.input_tokens,
            "output_tokens": reply.usage.output_tokens,
            "logprob": reply.logprob,
            "status": status if reply.slot >= first else "set aside",
            "reason": reply.reason,
        }


def write(records: Iterable[dict[str, Any]], form: str, out: TextIO) -> None:
    """Write records as `jsonl` or `csv`.

    CSV is for people and their spreadsheets: lists and objects are written as JSON, control characters as escapes, and
    a text that a spreadsheet would take for a formula has a ' before it (owasp.org, "CSV injection").
    """
    if form == "jsonl":
        for record in records:
            out.write(json_line(record) + "\n")
        return
    table = None
    for record in records:
        if table is None:
            table = csv.DictWriter(out, list(record), extrasaction="ignore", lineterminator="\n")
            table.writerow({name: _text(name) for name in record})
        if record.keys() - set(table.fieldnames):
            index, names = record["index"], ", ".join(sorted(record.keys() - set(table.fieldnames)))
            raise InputError(f"step {index} has fields that the first had not ({names}); export it as jsonl")
        table.writerow({name: _cell(value) for name, value in record.items()})


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict | bool):
        return json.dumps(value)
    return _text(value) if isinstance(value, str) else value


def _text(text: str) -> str:
    """A text that no terminal obeys and no spreadsheet computes."""
    shown = "\n".join(inert(line) for line in text.split("\n"))
    formula = text.lstrip()[:1] in _FORMULA or text[:1] in _FORMULA
    return f"'{shown}" if formula and not _NUMBER.fullmatch(text) else shown
