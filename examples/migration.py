"""A migration: rows of an old cash book, one by one, into records of a strict form.

The rows were written by people: names this way and that, dates without a year, "do." for ditto. So each builds on the
record before. Reading them takes judgement, and no code knows the right answer: rows may carry it (`known`, worked out
by hand) for measuring a model, and the referee checks all that can be checked without.

    unerring run migration:Migration --set rows=rows.jsonl --model noise/p=0.95,v=0.95,c=0 --k 6 --journal m.db
"""

import json
import re
from collections.abc import Iterable
from typing import Any

from forms import amount_of, date_of, name_of
from jsonl import read
from unerring import InputError, RedFlag, Rehearsal, Subtask, json_answer

FIELDS = ("name", "date", "amount")


class Migration:
    """The chain: one step for each `{"row": text}` of a file of JSON lines; `total` is the old book's own sum.

    A state is `{"row": number, "before": record}`; a choice is a record, `{"name": ..., "date": ..., "amount": ...}`.
    """

    def __init__(self, rows: str = "rows.jsonl", total: str | float | None = None, sha256: str | None = None) -> None:
        self.path, self.total = rows, None if total is None else _total(total)
        found, self.sha256 = read(rows, sha256)
        self.rows: list[str] = []
        self.known: list[Any] = []
        for number, row in found:
            if not isinstance(row.get("row"), str) or not row["row"].strip():
                raise InputError(f'{rows}, line {number}: {{"row": "..."}} is wanted')
            self.rows.append(" ".join(row["row"].split()))
            try:
                self.known.append(record_of(row["known"]) if "known" in row else None)
            except RedFlag as flag:
                raise InputError(f"{rows}, line {number}: known: {flag.reason}") from None
        if None not in self.known:  # where they are not, `unerring calibrate` is to judge by votes
            self.truth = self._labelled
            self.state_at = self._state_at

    def parameters(self) -> dict[str, Any]:
        return {"rows": self.path, "total": self.total, "sha256": self.sha256}

    def length(self) -> int:
        return len(self.rows)

    def start(self) -> Any:
        return {"row": 0, "before": None}

    def subtask(self, state: Any) -> Subtask | None:
        if state["row"] == len(self.rows):
            return None
        before = "none, this is the first row" if state["before"] is None else _written(state["before"])
        facts = f"The record before: {before}\nRow {state['row']}: {self.rows[state['row']]}"
        first, second = (wording.replace("FACTS", facts) for wording in WORDINGS)
        return Subtask(first, parse, paraphrases=(second,))

    def check(self, state: Any, choice: Any) -> RedFlag | None:
        """Flag a record that has something which stands neither in its row nor in the record before."""
        doubt = self._doubt(state, choice)
        return None if doubt is None else RedFlag(doubt)

    def advance(self, state: Any, choice: Any) -> Any:
        return {"row": state["row"] + 1, "before": choice}

    def verify(self, choices: Iterable[Any], finished: bool) -> str | None:
        """Check the form and source of each record, the answers known by hand, and the total in the end."""
        state, cents = self.start(), 0
        for step, choice in enumerate(choices):
            if step == len(self.rows):
                return f"step {step}: the rows end before it"
            try:
                doubt = self._doubt(state, choice) if record_of(choice) == choice else "the record is not in its form"
            except RedFlag as flag:
                doubt = flag.reason
            known = self.known[step]
            if doubt is None and known is not None and choice != known:
                doubt = f"known by hand is {_written(known)}"
            if doubt is not None:
                return f"step {step}: {self.rows[step]!r} became {choice}: {doubt}"
            state, cents = self.advance(state, choice), cents + int(choice["amount"].replace(".", ""))
        if finished and state["row"] < len(self.rows):
            return f"the run ends before row {state['row']} of {len(self.rows)}"
        if finished and self.total is not None and cents != int(self.total.replace(".", "")):
            return f"the records total {cents // 100}.{cents % 100:02}, and the old book to {self.total}"
        return None

    def rehearse(self, prompt: str) -> Rehearsal:
        """For the noise sampler: the answer known by hand; and it with the names swapped, or in another month."""
        asked = re.search(r"^Row ([0-9]+): ", prompt, re.MULTILINE)
        known = None if asked is None else self.known[int(asked[1])]
        if known is None:
            raise InputError("the noise sampler needs a row whose right answer is known")
        year, month, day = known["date"].split("-")
        other = known | {"date": f"{year}-{int(month) % 12 + 1:02}-{day}"}
        swapped = known | {"name": " ".join(reversed(known["name"].split()))}
        return Rehearsal(_written(known), (_written(swapped), _written(other)))

    def _labelled(self, state: Any) -> Any:
        return self.known[state["row"]]

    def _state_at(self, step: int) -> Any:
        return {"row": step, "before": self.known[step - 1] if step else None}

    def _doubt(self, state: Any, choice: Any) -> str | None:
        before, row = state["before"] or dict.fromkeys(FIELDS, ""), self.rows[state["row"]]
        if set(_words(choice["name"])) - {*_words(row), *_words(before["name"])}:
            return "the name is not from here"
        year, _, day = choice["date"].split("-")
        numbers = set(re.findall(r"[0-9]+", row))
        if choice["date"] != before["date"] and not (
            {day, day.lstrip("0")} & numbers and year in {*numbers, before["date"][:4]}
        ):
            return "the date is not from here"
        amounts = re.findall(r"[0-9]+(?:\.[0-9]{1,2})?", row.replace(",", ""))
        if choice["amount"] not in {before["amount"], *map(amount_of, amounts)}:
            return "the amount is not from here"
        return None


def _total(total: str | float) -> str:
    try:
        return amount_of(str(total))
    except RedFlag:
        raise InputError(f"total must be an amount such as 1234.50, not {total!r}") from None


def _written(record: Any) -> str:
    return json.dumps(record, ensure_ascii=False)


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", name_of(text or "-").casefold())


def record_of(value: Any) -> dict[str, str]:
    """The canonical form of a record; flags anything that has not exactly its three fields, all of them text."""
    if not isinstance(value, dict) or set(value) != set(FIELDS) or not all(isinstance(v, str) for v in value.values()):
        raise RedFlag("the record does not have the three fields")
    return {"name": name_of(value["name"]), "date": date_of(value["date"]), "amount": amount_of(value["amount"])}


def parse(text: str) -> Any:
    """The last line of an answer, which is to be the record as JSON."""
    return record_of(json_answer(text.strip().rpartition("\n")[2]))


WORDINGS = (
    """You bring one row of an old cash book into a new form.

FACTS

The row says who paid, when, and how much, in US dollars. "do." (ditto) stands for the same as in the record before. A
date without a year is in the year of the record before. The name has the given name first, no title, and capitals only
where a name has them. You may think first; end your answer with one line of JSON like this, and nothing after it:
{"name": "Jane Doe", "date": "1999-12-31", "amount": "1234.50"}""",
    """Fill in a form from a handwritten line: payer, day and dollars.

FACTS

Where the line says "do.", copy that part from the record before; where its date lacks the year, take the year from
there. Payer: given name, then family name, without Mr. or Mrs., not in block letters. Day: YYYY-MM-DD. Dollars: two
decimals, no commas. Your last line is to be the form, as JSON in this shape:
{"name": "Jane Doe", "date": "1999-12-31", "amount": "1234.50"}""",
)
