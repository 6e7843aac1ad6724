"""`unerring review` shows an undecided step and records a person's decision, which the other commands then report."""

import csv
import io
import json

import pytest
from command_runs import HOSTILE, NOISE, Word, ran

import unerring
from unerring import Options, Policy, Request, Sample
from unerring.adapters.sqlite.head import HeadFile
from unerring.core.voting.race import AheadBy
from unerring.errors import Stopped

HOPELESS = ("--model", "noise/p=0.6", "--k", "25")


@pytest.fixture
def stopped(cli, ledger):
    """A command line in a folder with a journal, run.db, that stopped at its undecided first step."""
    assert cli("run", "ledger:Ledger", *HOPELESS, "--journal", "run.db").code == 3
    return cli


def journal_of_samples(path, *texts, prompt="say", voter="me", **options):
    """Write a journal that stopped at an undecided step with samples of these texts, in order."""
    policy = Policy(AheadBy(len(texts)), vote_cap=len(texts), flag_cap=1)

    def model(prompt, settings):
        return Sample(texts[settings.slot % len(texts)], voter=voter)

    with pytest.raises(Stopped):
        unerring.run(Word(prompt), model, path, options=Options(policy=policy, speculate="off", **options))


def row(text, name):
    """The value of the row with this name."""
    return next(line[13:] for line in text.splitlines() if line.startswith(f"{name:<13}"))


# --- looking


def test_review_shows_the_question_and_the_samples(stopped):
    """It shows step, rule, question, candidates with their voters, every sample, and how to decide."""
    done = stopped("review", "run.db")
    assert (done.code, done.err) == (0, "")
    assert row(done.out, "step") == "0 of run.db, undecided by the rule ahead-by 25"
    assert row(done.out, "process") == "ledger:Ledger steps=4"
    assert row(done.out, "votes").startswith("60 votes, 0 flagged, ")
    assert "\nasked\n  | double 1\n" in done.out
    first = row(done.out, "candidate 1")
    votes = int(first.split()[0])
    assert first == f"{votes} votes: 2"
    assert f"\n             by noise/p=0.6,v=1.0,c=0.0 ({votes})\n" in done.out
    assert " tokens in, 3 out; ended by stop; 35 more like it: 1, 3, 4, " in row(done.out, "sample 0")
    assert "\n  | it is 2.\n" in done.out
    assert row(done.out, "decide with").startswith("unerring review run.db --choose 1")


def test_review_as_json_has_all_of_it(stopped):
    """`-v --json` is one object with all of that, choices as JSON values, and every sample."""
    found = json.loads(stopped("review", "run.db", "--json", "-v").out)
    assert found.keys() == {"journal", "process", "parameters", "status", "steps", "undecided", "note", "act"}
    step = found["undecided"]
    assert (step["step"], step["votes"], step["prompts"], step["ruled"]) == (0, 60, {"1": "double 1"}, None)
    assert [one["number"] for one in step["candidates"]] == [1, 2, 3]
    assert step["candidates"][0]["choice"] == 2
    assert sum(one["votes"] for one in step["candidates"]) == 60
    assert len(step["samples"]) == 60
    assert step["samples"][0].keys() >= {"number", "voter", "text", "candidate", "flag", "finish", "output_tokens"}
    assert stopped("review", "run.db", "--json", "--full").out == stopped("review", "run.db", "--json", "-v").out


def test_review_as_json_has_what_a_script_decides_by(stopped):
    """Without -v the object has the question, candidates and counts, but no samples and no messages before it."""
    out = stopped("review", "run.db", "--json").out
    step, whole = (json.loads(text)["undecided"] for text in (out, stopped("review", "run.db", "--json", "-v").out))
    left_out = {"samples", "messages", "messages_now", "prompts_now"}
    assert step == {name: value for name, value in whole.items() if name not in left_out}
    assert step.keys() >= {"step", "rule", "votes", "flags", "candidates", "prompts", "changed", "refused", "ruled"}
    assert step["changed"] is False
    assert len(out) < 1500


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((), "no step of run.db is undecided: the run is finished\n"),
        (("--max-steps", "2"), "stopped for another reason, at step 2; continue with: unerring resume run.db\n"),
    ],
)
def test_review_of_a_run_without_an_undecided_step_is_one_line(cli, more, message):
    """If there is nothing to decide, one line says so, with exit code 0."""
    cli("run", "hanoi", "--set", "disks=3", *NOISE, "--journal", "run.db", *more)
    done = cli("review", "run.db")
    assert (done.code, done.err, done.out.count("\n")) == (0, "", 1)
    assert done.out.endswith(message)
    assert json.loads(cli("review", "run.db", "--json").out)["undecided"] is None


def test_review_without_the_process_shows_what_the_journal_has(stopped, tmp_path):
    """If the process cannot be imported, stderr has a note, and the question comes from the journal."""
    (tmp_path / "ledger.py").unlink()
    import sys

    sys.modules.pop("ledger", None)
    done = stopped("review", "run.db")
    assert done.code == 0
    assert done.err.startswith("note: the question is shown as the journal has it: cannot import ledger:Ledger")
    assert "\nasked\n  | double 1\n" in done.out
    assert row(done.out, "candidate 1").endswith("votes: 2")


def test_a_review_is_inert_on_a_terminal(cli):
    """Escapes and line ends in texts, choices, voters and prompts are shown, and cannot forge lines of the review."""
    journal_of_samples("run.db", HOSTILE, "!" + HOSTILE, "b", prompt=HOSTILE, voter=HOSTILE)
    for more in ((), ("--full",)):
        done = cli("review", "run.db", *more)
        assert done.code == 0
        assert all(char.isprintable() or char == "\n" for char in done.out + done.err)
        assert done.out.count("\ncandidate 1") == 1
        assert "  | candidate 1  99 votes: mine" in done.out
        assert "\\x1b[2J" in done.out
    assert json.loads(cli("review", "run.db", "--json", "-v").out)["undecided"]["samples"][0]["text"] == HOSTILE


def test_flag_reasons_and_messages_are_shown(cli):
    """Reasons are shown under their samples and the system message before the question, also in JSON, and inertly."""
    journal_of_samples("run.db", "!" + HOSTILE, "a", "b", prompt=HOSTILE, request=Request(system=HOSTILE))
    done = cli("review", "run.db")
    assert "\n             reason: no word\n" in done.out
    assert row(done.out, "message") == "from system, before the question"
    assert all(char.isprintable() or char == "\n" for char in done.out)
    step = json.loads(cli("review", "run.db", "--json", "-v").out)["undecided"]
    assert step["messages"] == [{"role": "system", "content": HOSTILE}]
    assert step["samples"][0]["reason"] == "no word"


def test_a_changed_question_is_shown_twice(cli, monkeypatch):
    """The question that the samples answer is shown first, then the process's present one, with a line between."""
    journal_of_samples("run.db", "a", "b", prompt="say")
    monkeypatch.setattr(Word, "subtask", lambda self, state: unerring.Subtask("shout", str) if state == 0 else None)
    out = cli("review", "run.db").out
    assert "asked\n  | say\nchanged      the process now asks this step something else" in out
    assert "\nasked now\n  | shout\n" in out


def test_long_texts_are_shortened_unless_all_is_asked_for(cli):
    """Prompts, texts and choices show their beginning and end; --full prints all of them."""
    long = "\n".join(f"line {number} {'x' * 900}" for number in range(50))
    journal_of_samples("run.db", long, "b", prompt=long)
    short, full = cli("review", "run.db").out, cli("review", "run.db", "--full").out
    assert "line 3 " in short
    assert "line 49 " in short
    assert "  | line 20 " not in short
    assert "34 lines: --full shows them" in short
    assert len(short) < 40_000
    assert full.count("  | line 20 ") == 2
    assert "x" * 900 in full


def test_many_samples_are_not_all_listed_unless_all_are_asked_for(stopped):
    """Equal samples are one entry, of the others forty are shown and the rest counted; --full shows each.

    A text that came before is named by the number of its sample.
    """
    journal_of_samples("many.db", *(f"word {number}" for number in range(60)))
    assert "20 more samples: --full shows them" in (many := stopped("review", "many.db").out)
    assert sum(line.startswith("sample ") for line in many.splitlines()) == 40
    short, full = stopped("review", "run.db").out, stopped("review", "run.db", "--full").out
    assert sum(line.startswith("sample ") for line in short.splitlines()) == 3
    assert sum(line.startswith("sample ") for line in full.splitlines()) == 60
    assert full.count("  | it is ") == 3
    assert "; same text as sample " in full


# --- deciding


def test_a_choice_is_recorded_and_resume_uses_it(stopped):
    """One line says what was recorded and how to continue; the resumed run has that choice and is at its next step."""
    done = stopped("review", "run.db", "--choose", "1")
    assert (done.code, done.err) == (0, "")
    assert done.out == "recorded: step 0 is decided: 2; continue with: unerring resume run.db\n"
    assert "decided      by a person: 2" in stopped("review", "run.db").out
    stopped = stopped("resume", "run.db")
    assert stopped.code == 3
    assert "step 1 is undecided" in stopped.line
    assert "unerring review run.db" in stopped.line


def test_decisions_as_json(stopped):
    """With --json what was recorded is an object."""
    done = json.loads(stopped("review", "run.db", "--choose", "1", "--json").out)
    assert (done["step"], done["recorded"], done["choice"]) == (0, "ruled", 2)
    done = json.loads(stopped("review", "run.db", "--resample", "--json").out)
    assert (done["recorded"], done["choice"], done["model"]) == ("redrawn", None, None)
    assert done["resume"] == "unerring resume run.db"


def test_samples_are_drawn_again_from_another_model(stopped):
    """With --model, with or without --resample, the resumed run asks that model for the step."""
    done = stopped("review", "run.db", "--resample", "--model", "noise/p=0.99")
    assert done.out == (
        "recorded: step 0 gets new samples from noise/p=0.99; those it had are set aside; "
        "continue with: unerring resume run.db\n"
    )
    assert "step 0 is to be answered again by noise/p=0.99; continue with" in stopped("review", "run.db").out
    assert "step 1 is undecided" in stopped("resume", "run.db").line
    report = json.loads(stopped("report", "run.db", "--json").out)
    assert [voter["name"] for voter in report["voters"]] == ["noise/p=0.6,v=1.0,c=0.0", "noise/p=0.99,v=1.0,c=0.0"]
    assert report["redrawn"] == 1


@pytest.mark.parametrize(
    ("decision", "message"),
    [
        (("--choose", "4"), "has the candidates 1 to 3; 4 is none of them"),
        (("--choose", "0"), "0 is none of them"),
        (("--choose", "first"), "choose"),
        (("--choose", "1", "--resample"), "give one of: a candidate"),
        (("--choose", "1", "--model", "noise/p=1"), "give one of: a candidate"),
        (("--model", "gpt-5"), "no model is called 'gpt-5'"),
        (("--choose", "1", "--prices", "prices.toml"), "--prices"),
    ],
)
def test_an_impossible_decision_is_one_line(stopped, decision, message):
    """Bad numbers, two decisions at once and unknown models give one line and exit code 2, and nothing is written."""
    before = stopped("review", "run.db", "--json").out
    done = stopped("review", "run.db", *decision)
    assert done.code == 2
    assert message in done.line
    assert stopped("review", "run.db", "--json").out == before


def test_a_decision_on_a_finished_run_is_refused(cli):
    """A finished run has nothing to decide: exit code 2."""
    ran(cli)
    for decision in (("--choose", "1"), ("--resample",)):
        done = cli("review", "run.db", *decision)
        assert done.code == 2
        assert "the run is finished" in done.line


def test_a_decision_on_a_busy_journal_is_refused(stopped, tmp_path):
    """A journal that a runner is writing to is refused in one line, with exit code 2."""
    head = HeadFile(tmp_path / "run.db")
    try:
        done = stopped("review", "run.db", "--choose", "1")
    finally:
        head.close()
    assert done.code == 2
    assert "another runner" in done.line


@pytest.mark.parametrize("name", ["missing.db", "ledger.py"])
def test_review_of_no_journal_is_one_line(cli, ledger, name):
    """A missing file or a file that is no journal gives exit code 2."""
    assert cli("review", name).code == 2
    assert name in cli("review", name).line


def test_a_step_that_the_reserve_cannot_decide_is_undecided(cli, ledger):
    """With --escalate too, a step at its cap ends with exit code 3, and the review shows which model said what."""
    model = ("--model", "noise/p=0.5", "--escalate", "noise/p=0.55", "--escalate-after", "2", "--k", "25")
    done = cli("run", "ledger:Ledger", *model, "--journal", "run.db")
    assert done.code == 3
    assert "step 0 is undecided after 60 votes" in done.line
    assert "unerring review run.db" in done.line
    voters = {
        name
        for candidate in json.loads(cli("review", "run.db", "--json").out)["undecided"]["candidates"]
        for name in candidate["voters"]
    }
    assert voters == {"noise/p=0.5,v=1.0,c=0.0", "noise/p=0.55,v=1.0,c=0.0"}
    assert cli("review", "run.db", "--choose", "1").code == 0
    assert "step 1 is undecided" in cli("resume", "run.db").line


# --- what the other commands tell


@pytest.fixture
def decided(stopped):
    """The same folder with the run finished by a person who decided every step."""
    for _ in range(4):
        assert stopped("review", "run.db", "--choose", "1").code == 0
        last = stopped("resume", "run.db")
    assert last.code == 0, last.err
    return stopped


def test_verify_says_which_steps_people_decided(decided):
    """The verdict is the verifier's; a note and the JSON list the steps that people decided."""
    done = decided("verify", "run.db")
    assert done.code == 0
    assert "note: people decided 4 steps: 0, 1, 2, 3" in done.err
    assert json.loads(decided("verify", "run.db", "--json").out)["ruled"] == 4


def test_report_says_what_people_decided(decided):
    """The report has a row for decisions by people and the assumption it adds; JSON lists the steps."""
    out = decided("report", "run.db").out
    assert row(out, "by people") == "decided 4 steps: 0, 1, 2, 3"
    assert row(out, "assumption") == "4 steps were decided by people and assumed right; votes on them are no evidence"
    report = json.loads(decided("report", "run.db", "--json").out)
    assert report["ruled"] == {"count": 4, "steps": [0, 1, 2, 3]}
    assert report["certificate"]["certifiable"] is False


def test_export_marks_steps_that_people_decided(stopped):
    """JSON lines mark such steps; a table has the column in every row as soon as one step is decided by a person."""
    stopped("review", "run.db", "--model", "noise/p=1")
    stopped("resume", "run.db")
    assert "ruled" not in stopped("export", "run.db", "--format", "csv").out
    stopped("review", "run.db", "--choose", "1")
    stopped("resume", "run.db")
    steps = [json.loads(line) for line in stopped("export", "run.db").out.splitlines()]
    assert [step.get("ruled") for step in steps] == [None, True]
    table = list(csv.DictReader(io.StringIO(stopped("export", "run.db", "--format", "csv").out)))
    assert [line["ruled"] for line in table] == ["false", "true"]
