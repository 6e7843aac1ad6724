"""`unerring fork` makes a journal that continues another run from one of its steps."""

import json
from pathlib import Path

PERFECT = ("--model", "noise/p=1,v=1", "--k", "2", "--journal", "run.db")


def test_a_fork_is_resumed_by_the_command_that_it_prints(cli, ledger):
    """The options given are recorded in the new journal, and reports name the journal it was forked from."""
    assert cli("run", "ledger:Ledger", *PERFECT).code == 0
    before = Path("run.db").read_bytes()
    done = cli("fork", "run.db", "--at", "2", "--out", "new.db", "--k", "3", "--set", "steps=5", "--seed", "4")
    says = "forked: new.db takes over 2 steps of run.db; continue with: unerring resume new.db\n"
    assert (done.code, done.out) == (0, says), done.err
    resumed = cli("resume", "new.db")
    assert resumed.code == 0, resumed.err
    assert "5, 2 of them taken over from another run" in resumed.out
    shown = cli("report", "new.db").out
    assert "at step 2 of run.db, whose model was noise/p=1.0,v=1.0,c=0.0" in shown
    assert "2 steps were taken over from another run and assumed right" in shown
    assert cli("report", "new.db", "--html", "new.html").code == 0
    assert "at step 2 of run.db, whose model was noise" in Path("new.html").read_text()
    report = json.loads(cli("report", "new.db", "--json").out)
    assert (report["policy"]["rule"], report["parameters"], report["seed"]) == ("ahead-by 3", {"steps": 5}, 4)
    assert report["inherited"] == 2
    verified = cli("verify", "new.db")
    assert (verified.code, "forked at step 2 of run.db" in verified.err) == (0, True)
    rows = cli("export", "new.db", "--format", "csv").out.splitlines()
    assert rows[0].endswith(",inherited")
    assert [row.rsplit(",", 1)[1] for row in rows[1:]] == ["true", "true", "false", "false", "false"]
    assert Path("run.db").read_bytes() == before


def test_a_fork_in_json_names_the_new_journal(cli, ledger):
    """The JSON object has the new journal, its step, its origin and the next command."""
    assert cli("run", "ledger:Ledger", *PERFECT).code == 0
    shown = json.loads(cli("fork", "run.db", "--at", "1", "--out", "new.db", "--json").out)
    assert (shown["journal"], shown["step"], shown["next"]) == ("new.db", 1, "unerring resume new.db")
    assert shown["origin"]["journal"] == "run.db"


def test_an_impossible_fork_is_one_line(cli, ledger):
    """A step out of range, a target that exists, and a file that is no journal give exit code 2 and no new file."""
    assert cli("run", "ledger:Ledger", *PERFECT).code == 0
    before = sorted(Path().iterdir())
    for words, says in (
        (("run.db", "--at", "9", "--out", "new.db"), "has 4 committed steps: fork it at step 0 to 4, not 9"),
        (("run.db", "--at", "-1", "--out", "new.db"), "--at"),
        (("run.db", "--at", "1", "--out", "run.db"), "exists already"),
        (("run.db", "--at", "1", "--out", "no/such/new.db"), "cannot make a journal"),
        (("none.db", "--at", "1", "--out", "new.db"), "cannot read the journal none.db"),
        (("run.db", "--at", "1", "--out", "new.db", "--model", "nothing"), "no model is called"),
    ):
        done = cli("fork", *words)
        assert (done.code, says in done.line) == (2, True), done.err
        assert sorted(Path().iterdir()) == before


def test_the_process_has_the_parameters_that_were_accepted(cli, ledger):
    """A run whose parameters were changed twice is rejudged, forked and resumed with the last ones."""
    run = ("run", "ledger:Ledger", "--model", "noise/p=1,v=1", "--k", "2", "--journal", "run.db")
    assert cli(*run, "--max-steps", "2").code == 3
    for steps in (5, 6):
        done = cli(*run, "--set", f"steps={steps}", "--accept-changes", "--max-steps", "1")
        assert done.code == 3, done.err
    found = cli("rejudge", "run.db")
    assert (found.code, found.err) == (0, "")
    assert cli("fork", "run.db", "--at", "4", "--out", "new.db").code == 0
    resumed = cli("resume", "new.db", "--json")
    assert (resumed.code, json.loads(resumed.out)["parameters"]) == (0, {"steps": 6})
    assert "finished" not in cli("review", "run.db").err
    assert (done := cli("resume", "run.db", "--json")).code == 0, done.err
    assert json.loads(done.out)["steps"] == 6
