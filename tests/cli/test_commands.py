"""The commands as users meet them: what each prints, and how one leads to the next."""

import json
import shlex
import sys

import pytest
from command_runs import LEDGER, NOISE, process, ran

import unerring
from unerring.processes.hanoi import Hanoi


def test_run_finishes_with_at_most_six_lines(cli):
    """A finished run has exit code 0 and six lines, the last with the journal and the command to check it."""
    done = ran(cli)
    lines = done.out.splitlines()
    assert [line[:13].rstrip() for line in lines] == ["end state", "steps", "votes", "cost", "certificate", "journal"]
    assert lines[1] == "steps        7 of 7"
    assert lines[5] == "journal      run.db; check it with: unerring verify run.db"
    assert done.err == ""


def test_the_whole_report_is_printed_with_v(cli):
    """With -v the report follows, the same as `unerring report` prints it."""
    done = ran(cli, "-v")
    summary, _, report = done.out.partition("\n\n")
    assert len(summary.splitlines()) == 6
    assert report == cli("report", "run.db").out


def test_each_message_names_the_next_command(cli):
    """A stopped run is resumed, verified and reported by the commands that the messages name."""
    stopped = cli("run", "hanoi", "--set", "disks=4", *NOISE, "--journal", "run.db", "--max-steps", "6")
    assert (stopped.code, stopped.out) == (3, "")
    command = stopped.line.partition("continue with: ")[2]
    assert command == "unerring resume run.db"
    assert cli("verify", "run.db").code == 3
    resumed = cli(*shlex.split(command)[1:])
    assert resumed.code == 0
    check = resumed.out.partition("check it with: ")[2]
    verified = cli(*shlex.split(check)[1:])
    assert (verified.code, verified.err) == (0, "")
    assert verified.out.endswith("Verified: zero errors.\n")
    assert "finished, in 2 sessions" in cli("report", "run.db").out


def test_a_printed_command_can_be_pasted_whatever_the_journals_name(cli):
    """A journal's name with a space in it is quoted in the command that a message names."""
    stopped = cli("run", "hanoi", "--set", "disks=3", *NOISE, "--journal", "my run.db", "--max-steps", "2")
    command = stopped.line.partition("continue with: ")[2]
    assert shlex.split(command) == ["unerring", "resume", "my run.db"]


def test_a_run_without_a_journal_name_says_where_it_is_kept(cli, tmp_path):
    """Without --journal each run makes a new file, and names it on stderr."""
    for count in (1, 2):
        done = cli("run", "hanoi", "--set", "disks=2", *NOISE)
        assert done.code == 0
        journals = sorted(tmp_path.glob("*.db"))
        assert len(journals) == count
        assert any(path.name in done.err for path in journals)


def test_a_users_process_runs_by_its_name(cli, ledger):
    """A class in a module of the current folder is run, resumed and verified like a shipped process."""
    model = ("--model", "noise/p=0.8,v=0.8", "--k", "4")
    stopped = cli("run", "ledger:Ledger", "--set", "steps=6", *model, "--journal", "l.db", "--max-steps", "2")
    assert stopped.code == 3
    assert cli("resume", "l.db").code == 0
    assert cli("verify", "l.db").out.endswith("Verified: zero errors.\n")
    last = cli("export", "l.db").out.splitlines()[-1]
    assert json.loads(last)["choice"] == 64


def test_several_models_take_turns(cli):
    """Repeated --model options take turns, and the resumed run still has all of them."""
    models = ("--model", "noise/p=0.9", "--model", "noise/p=0.8,v=0.9", "--k", "2")
    cli("run", "hanoi", "--set", "disks=3", *models, "--journal", "run.db", "--max-steps", "2")
    done = cli("resume", "run.db", "-v")
    assert done.code == 0
    assert "noise/p=0.9,v=1.0,c=0.0 + noise/p=0.8,v=0.9,c=0.0" in done.out


def test_the_seed_decides_what_is_drawn(cli):
    """The same seed gives the same export, and another seed a different one."""
    for path, seed in (("a.db", 1), ("b.db", 1), ("c.db", 2)):
        ran(cli, "--seed", seed, path=path)
    exports = [cli("export", path, "--what", "votes").out for path in ("a.db", "b.db", "c.db")]
    assert exports[0] == exports[1] != exports[2]


def test_resuming_a_finished_run_says_so(cli):
    """Resuming a finished run prints its report again, with exit code 0."""
    first = ran(cli)
    again = cli("resume", "run.db")
    assert (again.code, again.out) == (0, first.out)
    assert "run.db is finished already" in again.err


def test_the_version_is_printed(cli):
    """--version prints the program's name and version."""
    assert cli("--version").out.split() == ["unerring", "0.1.0"]


def test_a_chain_that_ends_where_it_starts_is_not_called_finished_already(cli, tmp_path):
    """The first run of a chain with no steps is not reported as already finished."""
    counted = LEDGER.replace("class Ledger:", "class Ledger:\n    def length(self):\n        return self.steps\n")
    (tmp_path / "ledger.py").write_text(counted)
    sys.modules.pop("ledger", None)
    done = cli("run", "ledger:Ledger", "--set", "steps=0", *NOISE, "--journal", "run.db")
    assert done.code == 0
    assert "already" not in done.err


@pytest.mark.parametrize("command", ["run", "resume", "verify", "report", "export"])
def test_no_command_leaves_anything_open(tmp_path, command):
    """In Python's development mode, with all warnings as errors, each command ends without one."""
    program = (sys.executable, "-X", "dev", "-W", "error", "-m", "unerring")
    unerring.run(Hanoi(disks=3), "noise/p=0.9", tmp_path / "done.db", k=2)
    stopping = unerring.Options(max_steps=2)
    with pytest.raises(unerring.Stopped):
        unerring.run(Hanoi(disks=3), "noise/p=0.9", tmp_path / "part.db", k=2, options=stopping)
    words = {"run": ("hanoi", "--set", "disks=3", *NOISE, "--journal", "new.db"), "resume": ("part.db",)}
    done = process(command, *words.get(command, ("done.db",)), cwd=tmp_path, program=program)
    assert done.returncode == 0
    assert "Warning" not in done.stderr
    assert "Traceback" not in done.stderr
