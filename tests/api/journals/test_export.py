"""Exports have these fields for a step and a sample, as JSON lines and as CSV, and nothing in them is executable."""

import csv
import io
import json
from collections import Counter

import pytest

import unerring
from parked_runs import Rehearsed
from unerring import Hanoi, Options
from unerring.errors import StepUndecided

NOISE = "noise/p=0.9,v=0.9,c=0"
HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202egnp.exe\r"


def text_of(path, what="steps", form="jsonl"):
    """The text of an export."""
    stream = io.StringIO()
    unerring.open(path).export(stream, what, form)
    return stream.getvalue()


def records_of(path, what="steps"):
    return [json.loads(line) for line in text_of(path, what).splitlines()]


def rows_of(path, what="steps"):
    return list(csv.DictReader(io.StringIO(text_of(path, what, "csv"))))


def journal_of_choices(path, *words, keys=False):
    """Write a finished journal whose choices are these words, or the objects that they are as JSON."""

    class Spoken:
        def start(self):
            return 0

        def subtask(self, state):
            return None if state == len(words) else unerring.Subtask("say", json.loads if keys else str)

        def advance(self, state, choice):
            return state + 1

    unerring.run(Spoken(), lambda _, settings: words[settings.step], path, k=1)
    return path


@pytest.fixture
def journal(tmp_path):
    """A finished run of 15 steps, with dissent and flags."""
    unerring.run(Hanoi(disks=4), NOISE, tmp_path / "run.db", k=3)
    return tmp_path / "run.db"


# --- fields


def test_a_step_has_exactly_these_fields(journal):
    """A step has the fields index (from 0), move, next_state, tally, votes and flags, in this order."""
    records = records_of(journal)
    chain = Hanoi(disks=4)
    assert [record["index"] for record in records] == list(range(15))
    for record in records:
        assert list(record) == ["index", "move", "next_state", "tally", "votes", "flags"]
        assert {name: record[name] for name in ("move", "next_state")} == chain.truth(chain.state_at(record["index"]))
        assert sum(record["tally"]) == record["votes"] >= 3
        assert record["tally"][0] - sum(record["tally"][1:2]) >= 3
    assert sum(record["flags"] for record in records) > 0


def test_every_sample_of_a_step_is_listed(journal):
    """Votes and flagged samples are listed by step and number, with their voter, choice, text and tokens."""
    samples = records_of(journal, "votes")
    names = "index sample voter flag choice text input_tokens output_tokens logprob status reason"
    assert all(list(sample) == names.split() for sample in samples)
    for step in records_of(journal):
        own = [sample for sample in samples if sample["index"] == step["index"]]
        assert [sample["sample"] for sample in own] == list(range(len(own)))
        assert sum(sample["flag"] is None for sample in own) == step["votes"]
        assert sum(sample["flag"] == "malformed" for sample in own) == step["flags"]
        won = {"move": step["move"], "next_state": step["next_state"]}
        assert sum(sample["choice"] == won for sample in own) == step["tally"][0]
        assert all((sample["choice"] is None) == (sample["flag"] is not None) for sample in own)
        assert {sample["status"] for sample in own} == {"committed"}
        assert all((sample["reason"] is None) == (sample["flag"] is None) for sample in own)


def test_samples_of_the_open_step_have_its_status(tmp_path):
    """Samples of a step that is undecided, open or being redrawn are listed with that status, also in CSV."""
    path, plain = tmp_path / "run.db", Options(speculate="off")
    with pytest.raises(StepUndecided):
        unerring.run(Rehearsed(), "noise/p=0.4,v=0.9", path, 25, options=plain)
    journal = unerring.open(path)

    def counted():
        listed = records_of(path, "votes")
        assert [row["status"] for row in rows_of(path, "votes")] == [sample["status"] for sample in listed]
        return Counter((sample["index"], sample["status"]) for sample in listed)

    def received():
        return journal.report()["samples"]["received"]

    drawn = received()
    assert counted() == {(0, "undecided"): drawn}
    journal.decide(resample=True, chain=Rehearsed())
    assert counted() == {(0, "set aside"): drawn}
    with pytest.raises(StepUndecided):
        journal.resume(Rehearsed(), options=plain)
    again = received() - drawn
    assert counted() == {(0, "set aside"): drawn, (0, "undecided"): again}
    journal.decide(1, chain=Rehearsed())
    assert counted() == {(0, "set aside"): drawn, (0, "open"): again}


def test_a_choice_may_have_fields_named_as_the_exports(tmp_path):
    """A choice with its own `index` or `votes` keeps them, and the step's are kept too."""
    (record,) = records_of(journal_of_choices(tmp_path / "run.db", '{"index": 7, "votes": "mine"}', keys=True))
    assert (record["index"], record["votes"], record["choice"]) == (0, 1, {"index": 7, "votes": "mine"})


# --- CSV


@pytest.mark.parametrize("what", ["steps", "votes"])
def test_csv_and_jsonl_have_the_same_records(journal, what):
    """A CSV export has a header and the records of the JSON lines; lists and objects are written as JSON."""
    records, rows = records_of(journal, what), rows_of(journal, what)
    assert list(rows[0]) == list(records[0])
    for row, record in zip(rows, records, strict=True):
        for name, value in record.items():
            assert (row[name] if isinstance(value, str) else json.loads(row[name] or "null")) == value


def test_csv_does_not_drop_fields_that_only_later_choices_have(tmp_path):
    """If choices have different fields, CSV has them all, or the export fails with a message."""
    path = journal_of_choices(tmp_path / "run.db", '{"a": 1}', '{"b": 22222}', keys=True)
    with pytest.raises(unerring.InputError, match=r"step 1 has fields that the first step does not have \(b\)"):
        text_of(path, form="csv")


def test_csv_has_no_formula_and_no_control_character(tmp_path):
    """Texts and column names that a spreadsheet would compute get a ' before them; numbers do not."""
    live = ("=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1")
    inert = ("-5", "+1.5e3", "a\x1b[31mb", "a\x9b31mb\u202e", "two\nlines")
    cells = [row["choice"] for row in rows_of(journal_of_choices(tmp_path / "live.db", *live, *inert))]
    assert all(cell.startswith("'") for cell in cells[: len(live)]), cells
    assert cells[len(live) :] == ["-5", "+1.5e3", r"a\x1b[31mb", r"a\x9b31mb\u202e", "two\nlines"]
    named = journal_of_choices(tmp_path / "names.db", '{"=1+1": -5, "\\u001b[31m": "-5", "tab\\t": "-x"}', keys=True)
    assert not set(map(chr, [*range(10), *range(11, 32), 127])) & set(text_of(named, form="csv"))
    (row,) = rows_of(named)
    assert (row["'=1+1"], row[r"\x1b[31m"], row[r"tab\t"]) == ("-5", "-5", "'-x")


def test_json_lines_are_inert(tmp_path):
    """JSON lines escape every control character."""
    text = text_of(journal_of_choices(tmp_path / "run.db", HOSTILE), "votes")
    assert json.loads(text)["text"] == HOSTILE
    assert text.rstrip("\n").isprintable()
