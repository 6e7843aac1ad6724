"""Function processes on the command line: run, resume, and every command on their journals."""

import json
import os
import signal
import sys

import pytest
from command_runs import process
from printed_commands import failing, printed_commands

import unerring

CLOSING = '''
"""Processes that are functions."""

import asyncio
import os
import time

from unerring import ActFailed, StepUndecided, act, ask


def kind(entry):
    truth = "rent" if entry % 2 else "other"
    return ask(f"What kind is entry {entry}?", ["rent", "other"], truth=truth)


def post(entry, kind):
    with open("posted.txt", "a") as file:
        file.write(f"{entry} {kind}\\n")
    return {"posted": entry}


async def close_month(entries, dry=False):
    posted = []
    for entry in entries:
        found = await kind(entry)
        posted.append(found if dry else await act(post, entry, found))
    return posted


def lose(entry, kind):
    raise OSError("gone")




async def fragile(entries):
    return [await act(lose, entry, await kind(entry)) for entry in entries]


async def broken(entries):
    await kind(entries[0])
    return {}["total"]


async def slowly(key):
    with open("keys.txt", "a") as file:
        file.write(f"{key}\\n")
    if signals := [int(number) for number in os.environ.get("SIGNALS", "").split()]:
        for number in signals:
            os.kill(os.getpid(), number)
        await asyncio.sleep(3600)
    return "sent"


def blocking(key):
    with open("keys.txt", "a") as file:
        file.write(f"{key}\\n")
    if "SIGNALS" in os.environ:
        for _ in range(3):
            os.kill(os.getpid(), int(os.environ["SIGNALS"].split()[0]))
        time.sleep(3600)
    return "sent"


async def interrupted(entries, once=False):
    return [await kind(entries[0]), await act(slowly, once=once)]


async def blocked(entries):
    return [await kind(entries[0]), await act(blocking)]


def send(kind):
    raise ConnectionError("no reply")


async def mail(entries):
    return [await act(send, await kind(entry), once=True) for entry in entries]


async def tolerant(entries):
    kinds = []
    for entry in entries:
        try:
            kinds.append(await ask(f"Kind of {entry}", ["rent", "other"]))
        except StepUndecided:
            kinds.append(None)
        try:
            await act(send, kinds[-1], retries=1)
        except ActFailed:
            pass
    return kinds


def unsure(prompt, settings):
    hard = "Kind of 2" in prompt
    return "other" if hard and settings.slot % 2 else "rent"


def made():
    async def local(entries):
        return [await kind(entry) for entry in entries]

    return local


local = made()
'''
NOISE = ("--model", "noise/p=0.9,v=0.9,c=0", "--k", "3")
CLOSE = ("closing:close_month", "--set", "entries=[1,2,3,4]")
SCRIPT = """
import unerring
import closing

async def job(entries):
    return [await closing.kind(entry) for entry in entries]

for process, journal in ((job, "job.db"), (closing.local, "local.db")):
    try:
        options = unerring.Options(progress=False, max_steps=1)
        unerring.run(process, "noise/p=0.9,v=0.9,c=0", journal, k=3, args=[[1, 2]], options=options)
    except unerring.Stopped:
        pass
"""


@pytest.fixture
def closing(tmp_path):
    (tmp_path / "closing.py").write_text(CLOSING)


def test_a_function_runs_and_continues_like_a_class(cli, closing, tmp_path):
    """It stops at a limit; the printed command continues it, and no side effect is run twice."""
    done = cli("run", *CLOSE, *NOISE, "--journal", "run.db", "--max-steps", "2")
    assert done.code == 3
    (resume,) = printed_commands(done)
    assert resume == ["resume", "run.db"]
    done = cli(*resume, "--json")
    assert done.code == 0
    assert json.loads(done.out)["answer"] == [{"posted": entry} for entry in (1, 2, 3, 4)]
    assert (tmp_path / "posted.txt").read_text() == "1 rent\n2 other\n3 rent\n4 other\n"
    again = cli("run", *CLOSE, *NOISE, "--journal", "run.db")
    assert (again.code, again.err) == (0, "The run in run.db is finished already.\n")


def test_every_command_works_on_the_journal_of_a_function(cli, closing, tmp_path):
    """None asks for a class, and a fork runs the side effects after its step alone."""
    assert cli("run", *CLOSE, *NOISE, "--journal", "run.db").code == 0
    verified = cli("verify", "run.db")
    assert verified.code == 0
    assert "a function has no verify()" in verified.err
    for name in ("review", "rejudge", "report", "export"):
        assert cli(name, "run.db").code == 0, name
    (tmp_path / "posted.txt").unlink()
    assert cli("fork", "run.db", "--at", "2", "--out", "fork.db").code == 0
    assert cli("resume", "fork.db").code == 0
    assert (tmp_path / "posted.txt").read_text() == "3 rent\n4 other\n"
    assert "side effects 4 run; 2 of them taken over from another run\n" in cli("report", "fork.db").out


def test_a_missing_k_or_argument_is_named(cli, closing):
    """The message speaks of k and of the function, not of methods."""
    assert "your own class or async function" in " ".join(cli("run", "--help").out.split())
    line = cli("run", *CLOSE, *NOISE[:2]).line
    assert line.endswith(
        "give --k, such as 4: closing:close_month is a function, which does not say how many questions it will ask, "
        "so that no k can be planned"
    )
    done = cli("run", "closing:close_month", *NOISE)
    assert done.code == 2
    assert "missing a required argument: 'entries'" in done.line
    assert "a class or an async function, is written package.module:Name" in cli("run", "close_month", *NOISE).line


@pytest.mark.parametrize(("journal", "by_command"), [("job.db", True), ("local.db", False)])
def test_a_function_of_a_script_is_continued_by_its_script(cli, closing, tmp_path, journal, by_command):
    """Hints say to run the script again, and for one within a function nothing else, since no name finds it."""
    (tmp_path / "script.py").write_text(SCRIPT)
    assert process("script.py", cwd=tmp_path, program=(sys.executable,)).returncode == 0
    for words in (["report", journal], ["review", journal], ["verify", journal]):
        done = cli(*words)
        assert "run its script again" in done.out + done.err, words
        hint = f"or continue with: unerring resume {journal} --process MODULE:NAME"
        assert (hint in done.out + done.err) is by_command, words
    assert "the script again" in cli("resume", journal).line or "its script again" in cli("resume", journal).line


def test_a_function_of_another_name_is_found_again(cli, closing, tmp_path):
    """Commands name the function that was run where the journal's name does not lead to it."""
    done = cli("run", "closing:local", "--set", "entries=[1,2,3]", *NOISE, "--journal", "run.db", "--max-steps", "1")
    assert printed_commands(done) == [["resume", "run.db", "--process", "closing:local"]]
    assert failing(cli, tmp_path, done) == {}


def test_a_function_is_calibrated_up_to_its_first_side_effect(cli, closing, tmp_path):
    """No side effect is run; the calibration continues from its file, and plans."""
    calibrate = ("calibrate", "closing:close_month", "--set", f"entries={list(range(40))}", *NOISE[:2])
    first = cli(*calibrate, "--out", "one.json", "--samples", "30")
    assert "The process has only 1 step before its end or its first side effect" in first.err
    assert not (tmp_path / "posted.txt").exists()
    dry = (*calibrate, "--set", "dry=true", "--out", "all.json")
    assert cli(*dry, "--samples", "10").code == 0
    again = cli(*dry, "--samples", "60", "--json")
    assert again.code == 0
    whole = cli(*calibrate, "--set", "dry=true", "--samples", "60", "--json")
    assert json.loads(again.out)["voters"] == json.loads(whole.out)["voters"]


def test_a_function_without_right_answers_is_calibrated_by_votes():
    """Where its first question has no right answer, a wide vote judges."""

    async def asks():
        return [await unerring.ask(f"What follows {number}?", int) for number in range(5)]

    measured = unerring.calibrate(asks, lambda prompt: "7", samples=5)
    assert (measured.judged_by, measured.steps) == ("votes", 2)


def stopped_at_mail(cli):
    """Run to a side effect that must not be run twice, and of which no end is known."""
    failed = cli("run", "closing:mail", "--set", "entries=[1,2]", *NOISE, "--journal", "run.db")
    assert failed.code == 4
    assert "ConnectionError: no reply, in send() of step 1; it is not known whether it happened" in failed.line
    assert "; to say whether it happened: unerring review run.db --happened, or unerring review" in failed.line
    assert "unerring resume run.db --" not in failed.line
    done = cli("resume", "run.db")
    assert done.code == 3
    return done


def test_a_side_effect_of_unknown_outcome_is_reviewed(cli, closing, tmp_path):
    """The stop, the report and the failure name the command that says whether it happened, and both of its forms."""
    done = stopped_at_mail(cli)
    advice = (
        "to say whether it happened: unerring review run.db --happened, or unerring review run.db --did-not-happen; "
        "then continue with: unerring resume run.db"
    )
    assert done.line.endswith(advice)
    assert failing(cli, tmp_path, done) == {}
    report = cli("report", "run.db").out
    assert advice in report
    assert "side effects 0 run; 1 begun, of unknown outcome: send before step 1" in report
    assert json.loads(cli("report", "run.db", "--json").out)["acts"]["unknown"]["name"] == "send"
    assert "side effects are not verified: 0 run; 1 begun" in cli("verify", "run.db").err
    with pytest.raises(unerring.ActUnknown, match=r"unerring\.open\('run.db'\)\.settle\(happened=True"):
        unerring.resume("run.db")
    for _ in range(2):
        assert cli("review", "run.db", "--happened", "--answer", '"sent"').code in {0, 2}
    assert cli("resume", "run.db").code == 4  # at the second one
    kept = [json.loads(line) for line in cli("export", "run.db", "--what", "acts").out.splitlines()]
    assert [(one["name"], one["step"], one["once"], one["status"], one["result"]) for one in kept] == [
        ("send", 1, True, "ended", "sent"),
        ("send", 2, True, "open", None),
    ]
    assert [one["by_person"] for one in kept] == [True, False]


MAILING = """
import unerring
import closing

async def mail(entries):
    return [await unerring.act(closing.send, await closing.kind(entry), once=True) for entry in entries]

options = unerring.Options(progress=False)
unerring.run(mail, "noise/p=0.9,v=0.9,c=0", "run.db", k=3, args=[[1, 2]], options=options)
"""


def test_a_side_effect_of_a_script_is_settled_without_its_process(cli, closing, tmp_path):
    """The printed commands name no process, and work as they are."""
    (tmp_path / "script.py").write_text(MAILING)
    assert process("script.py", cwd=tmp_path, program=(sys.executable,)).returncode == 1
    for words in (("report", "run.db"), ("review", "run.db")):
        done = cli(*words)
        assert done.code == 0
        assert "unerring review run.db --happened" in done.out, words
    assert cli("review", "run.db", "--happened").code == 0


def test_a_journal_of_another_run_is_continued_with_what_it_lacks(tmp_path):
    """The hint has the process where no name makes it, and the model where that was a function."""

    async def job(number):
        return [await unerring.ask(f"What follows {number}?", int) for _ in range(2)]

    def again(model, k):
        options = unerring.Options(progress=False, max_steps=1)
        unerring.run(job, model, tmp_path / "run.db", k=k, args=[1], options=options)

    with pytest.raises(unerring.Stopped):
        again(lambda prompt: "2", 1)
    with pytest.raises(unerring.InputError, match=r"resume\('.*run.db', chain=\.\.\., model=\.\.\.\)"):
        again(lambda prompt: "2", 2)
    with pytest.raises(unerring.InputError, match=r"or give the function as `model`$"):
        unerring.resume(tmp_path / "run.db", job)


def test_a_side_effect_that_may_run_twice_is_run_again(cli, closing):
    """The review of its run says so."""
    words = ("run", "closing:fragile", "--set", "entries=[1,2]", *NOISE, "--journal", "run.db")
    assert cli(*words).code == 4
    assert "lose before step 1 has not ended, and is run again, with the same key" in cli("review", "run.db").out


def test_what_a_function_caught_is_reported(cli, closing, tmp_path):
    """Undecided steps and failed side effects are in report, verify, export and the HTML page."""
    words = ("closing:tolerant", "--set", "entries=[1,2,3]", "--model", "closing:unsure", "--k", "2")
    assert cli("run", *words, "--vote-cap", "4", "--journal", "run.db").code == 0
    report, undecided = cli("report", "run.db", "-v").out, "step 1 (no answer won, and the function continued)"
    assert f"undecided    {undecided}" in report
    assert "steps        3, 1 of them undecided" in report
    assert "side effects 0 run; 3 failed, after which the function continued; begun again 3 times" in report
    assert "1 step stayed undecided, and the function continued; votes on them are no evidence" in report
    assert "step 1       2-2, 0 flagged, 2 rounds; undecided: no answer won" in report
    assert "dissent      none" in report
    verified = cli("verify", "run.db").err
    assert f"note: undecided: {undecided}" in verified
    assert "note: side effects are not verified: 0 run; 3 failed" in verified
    figures = json.loads(cli("report", "run.db", "--json").out)
    assert figures["undecided"] == {"count": 1, "steps": [1]}
    assert figures["acts"] == {"ended": 0, "failed": 3, "again": 3, "inherited": 0, "unknown": None}
    assert [(one["step"], one["decided_by"], one["choice"]) for one in figures["doubtful"]] == [(1, "undecided", None)]
    steps = [json.loads(line) for line in cli("export", "run.db").out.splitlines()]
    assert [one.get("undecided") for one in steps] == [None, True, None]
    assert cli("export", "run.db", "--format", "csv").out.splitlines()[0].endswith(",undecided")
    votes = [json.loads(line) for line in cli("export", "run.db", "--what", "votes").out.splitlines()]
    assert {one["index"] for one in votes if one["status"] == "undecided"} == {1}
    acts = [json.loads(line) for line in cli("export", "run.db", "--what", "acts").out.splitlines()]
    assert [(one["status"], one["attempts"]) for one in acts] == [("failed", 2)] * 3
    assert acts[0]["error"].startswith("ConnectionError: no reply, in send() of step 1")
    assert acts[0]["begun"] <= acts[0]["ended"]
    assert cli("rejudge", "run.db").code == 0
    assert cli("report", "run.db", "--html", "run.html").code == 0
    page = (tmp_path / "run.html").read_text()
    assert f"<p>Undecided: {undecided}.</p>" in page
    assert "<p>Side effects: 0 run; 3 failed" in page
    shown = list(unerring.steps(tmp_path / "run.db"))
    assert [one.undecided is None for one in shown] == [True, False, True]
    assert repr(shown[1]) == "<Step 1: undecided, votes 2-2>"


def test_an_error_in_the_function_names_its_line(cli, closing, tmp_path):
    """Exit code 4, and one line with function, step, file and line; after a fix the named command continues."""
    done = cli("run", "closing:broken", "--set", "entries=[1,2]", *NOISE, "--journal", "run.db")
    assert done.code == 4
    line = 1 + CLOSING[: CLOSING.index('["total"]')].count("\n")
    assert f"KeyError: 'total', in broken() of step 1 ({tmp_path}/closing.py, line {line})" in done.line
    assert done.line.endswith("fix it, then: unerring resume run.db")


@pytest.mark.parametrize("name", ["interrupted", "blocked"])
def test_ctrl_c_in_a_side_effect_stops_the_run_resumably(cli, closing, tmp_path, name):
    """The side effect stays begun, with one line and exit code 3; a run that is resumed runs it with the same key."""
    words = ("run", f"closing:{name}", "--set", "entries=[1]", *NOISE, "--journal", "run.db")
    twice = os.environ | {"SIGNALS": f"{signal.SIGINT:d} {signal.SIGINT:d}"}
    done = process(*words, cwd=tmp_path, env=twice)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].endswith("continue with: unerring resume run.db")
    figures = unerring.report(tmp_path / "run.db")
    assert (figures.stopped["kind"], figures.acts["unknown"]["step"]) == ("interrupted", 1)
    assert figures.stopped["reason"] == "stopped by SIGINT"
    resumed = cli("resume", "run.db", "--json")
    assert json.loads(resumed.out)["answer"] == ["rent", "sent"]
    first, second = (tmp_path / "keys.txt").read_text().split()
    assert first == second


def test_ctrl_c_in_a_side_effect_that_must_not_run_twice_names_its_review(cli, closing, tmp_path):
    """Its outcome is not known, so the resumed run stops at it."""
    words = ("run", "closing:interrupted", "--set", "entries=[1]", "--set", "once=true", *NOISE, "--journal", "run.db")
    once = os.environ | {"SIGNALS": f"{signal.SIGINT:d}"}
    stopped = process(*words, "--grace", "0", cwd=tmp_path, env=once)
    assert stopped.returncode == 3
    assert "unerring review run.db --happened" in stopped.stderr
    done = cli("resume", "run.db")
    assert (done.code, "unerring review run.db --did-not-happen" in done.err) == (3, True)
    assert cli("review", "run.db", "--did-not-happen").code == 0
    assert cli("resume", "run.db").code == 0
