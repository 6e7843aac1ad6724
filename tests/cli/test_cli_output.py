"""What the command line writes: exports, JSON, and text of a model, which is inert wherever it is shown."""

import csv
import io
import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from command_runs import LEDGER, NOISE, SCRIPT, Done, process, ran, spoken

import unerring
from unerring import Sample
from unerring.processes.hanoi import Hanoi

# --- exports


def test_export_lists_exactly_these_fields_of_a_step(cli):
    """A step's record is index (from 0), move, next_state, tally, votes and flags, in this order."""
    ran(cli, disks=4)
    records = [json.loads(line) for line in cli("export", "run.db").out.splitlines()]
    chain = Hanoi(disks=4)
    assert [record["index"] for record in records] == list(range(15))
    for record in records:
        assert list(record) == ["index", "move", "next_state", "tally", "votes", "flags"]
        assert {name: record[name] for name in ("move", "next_state")} == chain.truth(chain.state_at(record["index"]))
        assert sum(record["tally"]) == record["votes"] >= 3
        assert record["tally"][0] - sum(record["tally"][1:2]) >= 3
    assert sum(record["flags"] for record in records) > 0


def test_export_lists_every_sample_of_a_step(cli):
    """Votes and flagged samples are listed with their voter, choice, text and tokens, by step and number."""
    ran(cli, disks=4)
    steps = [json.loads(line) for line in cli("export", "run.db").out.splitlines()]
    samples = [json.loads(line) for line in cli("export", "run.db", "--what", "votes").out.splitlines()]
    names = "index sample voter flag choice text input_tokens output_tokens logprob status reason"
    assert all(list(sample) == names.split() for sample in samples)
    for step in steps:
        own = [sample for sample in samples if sample["index"] == step["index"]]
        assert [sample["sample"] for sample in own] == list(range(len(own)))
        assert sum(sample["flag"] is None for sample in own) == step["votes"]
        assert sum(sample["flag"] == "malformed" for sample in own) == step["flags"]
        won = {"move": step["move"], "next_state": step["next_state"]}
        assert sum(sample["choice"] == won for sample in own) == step["tally"][0]
        assert all((sample["choice"] is None) == (sample["flag"] is not None) for sample in own)
        assert {sample["status"] for sample in own} == {"committed"}
        assert all((sample["reason"] is None) == (sample["flag"] is None) for sample in own)


def test_export_lists_the_samples_of_the_step_that_is_open(cli, ledger):
    """Samples of a step that is undecided, still voted on, or drawn again are listed with that status, also in CSV."""

    def samples():
        listed = [json.loads(line) for line in cli("export", "run.db", "--what", "votes").out.splitlines()]
        rows = list(csv.DictReader(io.StringIO(cli("export", "run.db", "--what", "votes", "--format", "csv").out)))
        assert [row["status"] for row in rows] == [sample["status"] for sample in listed]
        return Counter((sample["index"], sample["status"]) for sample in listed)

    unsure = ("--model", "noise/p=0.6,v=0.9", "--k", "25", "--speculate", "off")
    assert cli("run", "ledger:Ledger", "--journal", "run.db", *unsure).code == 3
    drawn = json.loads(cli("report", "run.db", "--json").out)["samples"]["received"]
    assert samples() == {(0, "undecided"): drawn}
    assert cli("review", "run.db", "--resample").code == 0
    assert samples() == {(0, "set aside"): drawn}
    assert cli("resume", "run.db", "--speculate", "off").code == 3
    again = json.loads(cli("report", "run.db", "--json").out)["samples"]["received"] - drawn
    assert samples() == {(0, "set aside"): drawn, (0, "undecided"): again}
    assert cli("review", "run.db", "--choose", "1").code == 0
    assert samples() == {(0, "set aside"): drawn, (0, "open"): again}


@pytest.mark.parametrize("what", ["steps", "votes"])
def test_csv_and_jsonl_say_the_same(cli, what):
    """A CSV export has a header and the records of the JSON lines; lists and objects in it are JSON."""
    ran(cli)
    records = [json.loads(line) for line in cli("export", "run.db", "--what", what).out.splitlines()]
    rows = list(csv.DictReader(io.StringIO(cli("export", "run.db", "--what", what, "--format", "csv").out)))
    assert list(rows[0]) == list(records[0])
    for row, record in zip(rows, records, strict=True):
        for name, value in record.items():
            told = row[name] if isinstance(value, str) else json.loads(row[name] or "null")
            assert told == value


def test_a_choice_with_fields_of_the_exports_own_names_is_kept(cli):
    """A choice that has an index or votes of its own hides neither those of the step nor is hidden by them."""
    spoken("run.db", '{"index": 7, "votes": "mine"}', keys=True)
    (record,) = map(json.loads, cli("export", "run.db").out.splitlines())
    assert (record["index"], record["votes"]) == (0, 1)
    assert '"mine"' in json.dumps(record)
    assert "7" in json.dumps(record)


def test_csv_does_not_drop_fields_that_only_later_choices_have(cli):
    """Choices that differ in their fields lose none of them in CSV, or the export says that it cannot."""
    spoken("run.db", '{"a": 1}', '{"b": 22222}', keys=True)
    done = cli("export", "run.db", "--format", "csv")
    assert done.code == 2 or "22222" in done.out


@pytest.mark.parametrize("form", ["jsonl", "csv"])
@pytest.mark.parametrize("what", ["steps", "votes"])
def test_any_text_of_a_model_can_be_exported(tmp_path, what, form):
    """Lone surrogates, NUL, quotes and line ends in a model's answer do not stop an export."""

    def parse(text):
        if text.startswith("!"):
            raise unerring.RedFlag("odd")
        return text

    class Odd:
        def start(self):
            return 0

        def subtask(self, state):
            return None if state == 1 else unerring.Subtask("say", parse)

        def advance(self, state, choice):
            return 1

    texts = ["!\ud800", '!"a,b"\r\n', 'é,"x\ny"']
    unerring.run(Odd(), lambda _, settings: texts[settings.slot], tmp_path / "run.db", k=1)
    done = process("export", "run.db", "--what", what, "--format", form, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\ufffd" not in done.stdout


def test_a_reader_that_has_had_enough_ends_the_export(tmp_path):
    """`export | head` ends quietly when head does: no traceback, exit code 0."""
    unerring.run(Hanoi(disks=11), "noise/p=1", tmp_path / "run.db", k=1)
    with subprocess.Popen(
        [SCRIPT, "export", "run.db"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as export:
        first = export.stdout.readline()
        export.stdout.close()
        assert export.stderr.read() == ""
        assert export.wait(60) == 0
    assert json.loads(first)["index"] == 0


def test_a_full_disk_is_one_line(tmp_path):
    """Where the output cannot be written, the export says so in one line instead of a traceback."""
    unerring.run(Hanoi(disks=8), "noise/p=1", tmp_path / "run.db", k=1)
    words = [SCRIPT, "export", "run.db"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            words, check=False, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode in (2, 3)
    assert "No space left" in Done(done.returncode, "", done.stderr).line


# --- JSON


@pytest.mark.parametrize("command", ["run", "resume", "verify", "report"])
def test_with_json_stdout_is_one_document_and_nothing_else(cli, command):
    """Every command's --json output parses as a whole, with all prose kept off stdout."""
    if command == "run":
        done = ran(cli, "--json")
    else:
        cli("run", "hanoi", "--set", "disks=3", *NOISE, "--journal", "run.db", "--max-steps", "3")
        done = cli(command, "run.db", "--json")
    figures = json.loads(done.out)
    assert figures["process"] == "hanoi"
    assert figures["parameters"] == {"disks": 3, "parser": "strict"}
    assert figures["steps"] == (7 if command in ("run", "resume") else 3)


def test_with_json_too_a_run_says_where_it_is_kept(cli, tmp_path):
    """Without --journal, the name of the new file is on stderr or in the JSON, and a stop names it as well."""
    done = cli("run", "hanoi", "--set", "disks=2", *NOISE, "--json")
    (journal,) = tmp_path.glob("*.db")
    assert journal.name in done.err + done.out
    json.loads(done.out)


def test_a_stopped_run_is_told_in_json(cli):
    """Where a run with --json stops, stdout has the reason as one object, and stderr the line for people."""
    done = cli("run", "hanoi", "--set", "disks=3", *NOISE, "--journal", "run.db", "--max-steps", "3", "--json")
    assert (done.code, json.loads(done.out)["reason"]) == (3, "did the 3 steps it was asked to")
    assert "unerring resume run.db" in done.line


def test_verify_says_in_json_whether_all_is_well(cli):
    """The field `ok` is true where nothing is wrong, and `finished` tells the rest."""
    ran(cli)
    found = json.loads(cli("verify", "run.db", "--json").out)
    assert (found["ok"], found["finished"], found["judged"], found["steps"]) == (True, True, True, 7)


# --- what comes from a model is inert


HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202egnp.exe\r"


def test_a_models_text_cannot_reach_the_terminal_through_an_error(cli, tmp_path):
    """An error that quotes a model's answer is shown with its control characters written out; so is the report."""
    hostile = LEDGER.replace("return int(text", f"raise ValueError('cannot read ' + {HOSTILE!r}) #")
    (tmp_path / "ledger.py").write_text(hostile)
    done = cli("run", "ledger:Ledger", *NOISE, "--journal", "run.db")
    assert "\\x1b[2J" in done.line
    for told in (done.err, cli("report", "run.db").out, cli("verify", "run.db").err):
        assert "cannot read" in told or "finished" in told
        assert all(char.isprintable() or char == "\n" for char in told)


def test_a_models_text_cannot_reach_the_terminal_through_a_verdict(cli, tmp_path):
    """A verifier that quotes a wrong choice shows it inert."""
    hostile = LEDGER.replace("return int(text", f"return {HOSTILE!r} #").replace(
        "int(prompt.split()[1])", "len(prompt)"
    )
    (tmp_path / "ledger.py").write_text(hostile)
    cli("run", "ledger:Ledger", *NOISE, "--journal", "run.db")
    done = cli("verify", "run.db")
    assert done.code == 1
    assert "\\x1b[2J" in done.line
    assert done.err.rstrip("\n").isprintable()


def test_an_export_as_json_lines_is_inert(cli):
    """JSON lines write every control character as an escape."""
    spoken("run.db", HOSTILE)
    told = cli("export", "run.db", "--what", "votes").out
    assert json.loads(told)["text"] == HOSTILE
    assert told.rstrip("\n").isprintable()


def test_who_voted_is_shown_inert(cli, tmp_path):
    """The name that a provider gives its model is untrusted text too."""

    class One:
        def start(self):
            return 0

        def subtask(self, state):
            return None if state else unerring.Subtask("say", str)

        def advance(self, state, choice):
            return 1

    unerring.run(One(), lambda p, s: Sample("a", voter=HOSTILE), tmp_path / "run.db", k=1)
    told = cli("report", "run.db").out
    assert "\\x1b[2J" in told
    assert all(char.isprintable() or char == "\n" for char in told)


def test_csv_has_no_formula_and_no_control_character(cli):
    """Texts and column names that a spreadsheet would compute have a ' before them; numbers stay as they are."""
    live = ("=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1")
    spoken("live.db", *live, "-5", "+1.5e3", "a\x1b[31mb", "a\x9b31mb\u202e", "two\nlines")
    cells = [row["choice"] for row in csv.DictReader(io.StringIO(cli("export", "live.db", "--format", "csv").out))]
    assert all(cell.startswith("'") for cell in cells[: len(live)]), cells
    assert cells[len(live) :] == ["-5", "+1.5e3", r"a\x1b[31mb", r"a\x9b31mb\u202e", "two\nlines"]
    spoken("names.db", '{"=1+1": -5, "\\u001b[31m": "-5", "tab\\t": "-x"}', keys=True)
    out = cli("export", "names.db", "--format", "csv").out
    assert out.isprintable() or not set(map(chr, [*range(10), *range(11, 32), 127])) & set(out)
    (row,) = csv.DictReader(io.StringIO(out))
    assert (row["'=1+1"], row[r"\x1b[31m"], row[r"tab\t"]) == ("-5", "-5", "'-x")
