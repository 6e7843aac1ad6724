"""Export the steps, samples or side effects of a journal as JSON lines or CSV, one at a time, in constant memory."""

import csv
import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from unerring.adapters.files.jsonl import json_line
from unerring.adapters.files.output_file import OutputFile
from unerring.adapters.sqlite.reader import JournalReader
from unerring.api.journals.history import History
from unerring.core.arguments import require_methods
from unerring.core.journal.entries import Reply
from unerring.core.journal.function_entries import ActBegun, ActEnded, ActErred, Conceded
from unerring.core.journal.review_entries import Ruled
from unerring.core.reporting.summary import printable
from unerring.core.voting.canonical import parsed
from unerring.core.voting.race import Undecided
from unerring.errors import InputError

FORMULA_STARTS = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # and the wide forms, which some take for the same
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
RECORD_FIELDS = frozenset({"index", "tally", "votes", "flags", "ruled", "undecided", "inherited"})

Exported = Literal["steps", "votes", "acts"]
ExportForm = Literal["jsonl", "csv"]


class TextOutput(Protocol):
    """What records are written to, such as `sys.stdout`."""

    def write(self, text: str, /) -> object: ...


def export(
    journal: str | Path, out: str | Path | TextOutput, what: Exported = "steps", form: ExportForm = "jsonl"
) -> None:
    """Write the committed steps, all samples or the side effects of a journal to a file or a text stream, one a line.

    what: `steps` with their choices and tallies, or `votes`: all samples, also flagged ones and those of an open step;
        or `acts`: the side effects of a function process, with their results.
    form: `jsonl` keeps texts exactly; `csv` is for spreadsheets.

    A file is complete or not written at all. Raises `JournalDamaged` at the first entry that is bad or missing, and
    `InputError` for steps that do not fit into one table.
    """
    if what not in get_args(Exported) or form not in get_args(ExportForm):
        raise InputError(f"export writes steps, votes or acts, as jsonl or csv; got {what!r:.40} as {form!r:.40}")
    if not isinstance(out, str | Path):
        require_methods("out", out, ("write",))
    history = History(journal)
    if what == "steps":  # a table has the same columns in all its rows
        records = step_records(history, _marks(journal) if form == "csv" else ())
    else:
        records = vote_records(history) if what == "votes" else act_records(journal)
    if not isinstance(out, str | Path):
        write_records(records, form, out)
        return
    with OutputFile(out, "the export") as file:
        write_records(records, form, file)
        file.keep()


def step_records(history: History, marks: Collection[str] = ()) -> Iterator[dict[str, Any]]:
    """Yield one record for each committed step: index, choice, tally, votes, flags.

    A step that a person decided has `ruled`, one that stayed undecided `undecided`; every record has those of them in
    `marks`, true or false. Records of a fork have `inherited`, true or false. The fields of a choice that is an object
    are fields of the record, unless one of them has the name of another field of the record.
    """
    names: Collection[str] = ("choice",)
    for decided in history.steps():
        choice = decided.value
        plain = isinstance(choice, dict) and not RECORD_FIELDS & choice.keys()
        fields = choice if plain and isinstance(choice, dict) else {"choice": choice}
        if decided.undecided is not None:
            fields = dict.fromkeys(names)
        names = fields.keys()
        yield (
            {"index": decided.step}
            | fields
            | {
                "tally": list(decided.tally),
                "votes": decided.votes,
                "flags": decided.flags,
            }
            | ({"ruled": decided.ruled} if "ruled" in marks or decided.ruled else {})
            | ({"undecided": decided.undecided is not None} if "undecided" in marks or decided.undecided else {})
            | ({"inherited": decided.inherited} if history.opened.origin is not None else {})
        )


def vote_records(history: History) -> Iterator[dict[str, Any]]:
    """Yield one record for each sample, also flagged ones: first of committed steps, then of the step that is open.

    `status` is that of the sample's step: `committed`, `undecided` at its caps, also where a function continued, or
    `open`; it is `set aside` for samples that a person had drawn again.
    """
    for decided in history.steps():
        yield from _samples(decided.replies, "committed" if decided.undecided is None else "undecided", history)
    step = None if history.state.finished is not None else history.state.frontier
    if step is not None:
        status = "undecided" if step.ruled is None and isinstance(step.verdict, Undecided) else "open"
        replies = [step.replies[slot] for slot in sorted(step.replies)]
        yield from _samples(replies, status, history, step.first)


def act_records(journal: str | Path) -> Iterator[dict[str, Any]]:
    """Yield one record for each side effect of a function process, in order.

    `step` is the number of the step after it, and `status` is `ended`; `failed`, where the function continued; or
    `open`, where it has not ended. `error` is that of the last attempt that raised one. Times are seconds since 1970.
    """
    history, record = History(journal), dict[str, Any]()
    for entry in history.entries():
        match entry:
            case ActBegun():
                if not record:
                    record = {"step": entry.step, "name": entry.name, "key": entry.key, "once": entry.once}
                    record |= {"status": "open", "attempts": 0, "result": None, "error": None, "by_person": False}
                    record |= {"begun": entry.time, "ended": None}
                record["attempts"] += 1
            case ActErred(reason=reason, state=None):
                record["error"] = reason
            case ActErred():
                yield record | {"status": "failed", "error": entry.reason, "ended": entry.time}
                record = {}
            case ActEnded():
                ended = {"status": "ended", "ended": entry.time, "by_person": entry.by_person}
                yield record | ended | {"result": parsed(entry.result)}
                record = {}
    if record:
        yield record


def _samples(replies: Sequence[Reply], status: str, history: History, first: int = 0) -> Iterator[dict[str, Any]]:
    """The records of one step's samples; those before number `first` were set aside."""
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


def write_records(records: Iterable[dict[str, Any]], form: str, out: TextOutput) -> None:
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
            raise InputError(
                f"step {index} has fields that the first step does not have ({names}); export it as jsonl"
            )
        table.writerow({name: _cell(value) for name, value in record.items()})


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict | bool):
        return json.dumps(value)
    return _text(value) if isinstance(value, str) else value


def _text(text: str) -> str:
    """The text with control characters escaped, and marked as text if a spreadsheet would compute it."""
    shown = "\n".join(printable(line) for line in text.split("\n"))
    formula = text.lstrip()[:1] in FORMULA_STARTS or text[:1] in FORMULA_STARTS
    return f"'{shown}" if formula and not NUMBER.fullmatch(text) else shown


def _marks(journal: str | Path) -> set[str]:
    """The marks that steps of a journal can have: people decided steps, committed or not, or some stayed undecided."""
    kinds = {type(entry) for entry in JournalReader(Path(journal)).entries()}
    return {name for kind, name in ((Ruled, "ruled"), (Conceded, "undecided")) if kind in kinds}
