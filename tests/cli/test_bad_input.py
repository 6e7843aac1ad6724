"""The command line refuses bad input with exit code 2 and one line on stderr that says what is wrong."""

import json
import sys

import pytest
from command_runs import LEDGER, NOISE, SCRIPT, Done, process, ran

# --- runs that cannot be made

BAD_RUNS = {
    "unknown process": ("hanoy", *NOISE),
    "a module without a class": ("ledger", *NOISE),
    "disks=0": ("hanoi", "--set", "disks=0", *NOISE),
    "disks=21": ("hanoi", "--set", "disks=21", *NOISE),
    "disks=x": ("hanoi", "--set", "disks=x", *NOISE),
    "disks=1.5": ("hanoi", "--set", "disks=1.5", *NOISE),
    "disks=true": ("hanoi", "--set", "disks=true", *NOISE),
    "disks empty": ("hanoi", "--set", "disks=", *NOISE),
    "disks=1e400": ("hanoi", "--set", "disks=1e400", *NOISE),
    "k=0": ("hanoi", "--model", "noise/p=0.9", "--k", "0"),
    "k=-1": ("hanoi", "--model", "noise/p=0.9", "--k", "-1"),
    "k=x": ("hanoi", "--model", "noise/p=0.9", "--k", "x"),
    "k=1.5": ("hanoi", "--model", "noise/p=0.9", "--k", "1.5"),
    "k superscript": ("hanoi", "--model", "noise/p=0.9", "--k", "³"),
    "k without limit": ("hanoi", "--model", "noise/p=0.9", "--k", "9" * 5000),
    "k beyond the cap": ("hanoi", "--model", "noise/p=0.9", "--k", "100"),
    "k auto of nothing measured": ("hanoi", "--model", "noise/p=0.9"),
    "no such drafting model": ("hanoi", *NOISE, "--speculate", "nonsense"),
    "an unknown embedded drafter": ("hanoi", *NOISE, "--speculate", "embedded/d"),
    "a guess that the process does not make": ("hanoi", *NOISE, "--speculate", "guess"),
    "no sample in flight": ("hanoi", *NOISE, "--in-flight", "0"),
    "waste beyond all": ("hanoi", *NOISE, "--waste", "1"),
    "waste below nothing": ("hanoi", *NOISE, "--waste", "-0.1"),
    "waste=nan": ("hanoi", *NOISE, "--waste", "nan"),
    "unknown --set name": ("hanoi", "--set", "discs=3", *NOISE),
    "--set without =": ("hanoi", "--set", "disks", *NOISE),
    "--set without a name": ("hanoi", "--set", "=3", *NOISE),
    "unknown model": ("hanoi", "--model", "gpt-9", "--k", "3"),
    "unknown embedded member": ("hanoi", "--model", "embedded/z", "--k", "3"),
    "noise that is no probability": ("hanoi", "--model", "noise/p=2", "--k", "3"),
    "noise that is no number": ("hanoi", "--model", "noise/p=high", "--k", "3"),
    "noise with an unknown letter": ("hanoi", "--model", "noise/q=0.9", "--k", "3"),
    "noise for a process that cannot rehearse": ("plain:Plain", *NOISE),
    "unknown option": ("hanoi", "--disks", "3", *NOISE),
    "missing argument": (),
    "one argument too many": ("hanoi", "hanoi", *NOISE),
    "seed not an integer": ("hanoi", "--seed", "x", *NOISE),
    "no steps at most": ("hanoi", "--max-steps", "0", *NOISE),
    "a journal in no folder": ("hanoi", *NOISE, "--journal", "no/such/folder/run.db"),
    "a journal that is a folder": ("hanoi", *NOISE, "--journal", "."),
    "a journal that is another file": ("hanoi", *NOISE, "--journal", "plain.py"),
    "a module that does not exist": ("no_such_module:Ledger", *NOISE),
    "a module without the class": ("plain:Ledger", *NOISE),
    "a class that is no chain": ("plain:NoChain", *NOISE),
    "a function": ("plain:function", *NOISE),
    "a constructor that wants an argument": ("plain:Wanting", *NOISE),
    "a relative module": (".plain:Plain", *NOISE),
}


PLAIN = """
class Plain:
    def start(self): return 0
    def subtask(self, state): return None
    def advance(self, state, choice): return state

class NoChain:
    pass

class Choosy(Plain):
    def __init__(self): raise ValueError("not on a Monday")

class Wanting(Plain):
    def __init__(self, day): pass

def function(): pass
"""


@pytest.fixture
def modules(tmp_path):
    (tmp_path / "ledger.py").write_text(LEDGER)
    (tmp_path / "plain.py").write_text(PLAIN)
    (tmp_path / "raising.py").write_text("raise RuntimeError('two\\nlines')\n")
    (tmp_path / "exiting.py").write_text("import sys\nsys.exit(5)\n")
    (tmp_path / "broken.py").write_text("class Ledger(:\n")


@pytest.mark.parametrize("arguments", BAD_RUNS.values(), ids=BAD_RUNS)
def test_a_run_that_cannot_be_made_is_one_line_and_exit_2(cli, modules, tmp_path, arguments):
    """Each mistake is one line on stderr that begins with the program's name.

    Nothing is written or printed to stdout.
    """
    before = sorted(tmp_path.iterdir())
    named = arguments if "--journal" in arguments else (*arguments, "--journal", "run.db")
    done = cli("run", *named)
    assert (done.code, done.out) == (2, "")
    assert len(done.line) < 400
    assert sorted(path for path in tmp_path.iterdir() if path.name != "__pycache__") == before


@pytest.mark.parametrize("arguments", [("hanoi", "--model", "gpt-9", "--k", "3"), ("plain:Plain", *NOISE)])
def test_a_journal_is_announced_once_it_exists(cli, modules, tmp_path, arguments):
    """Without --journal a mistake is one line too: the new journal's name is printed only once the file exists."""
    assert cli("run", *arguments).line
    assert list(tmp_path.glob("*.db*")) == []


# --- what is no journal


BAD_FILES = {
    "resume": ("resume",),
    "verify": ("verify",),
    "report": ("report",),
    "export": ("export",),
    "resume --repair": ("resume", "--repair"),
}


@pytest.mark.parametrize("content", [None, b"", b"not a journal", b"SQLite format 3\0" + bytes(84)])
@pytest.mark.parametrize("command", BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_is_no_journal_is_refused(cli, tmp_path, command, content):
    """Every command refuses a missing, empty or foreign file with exit code 2, and leaves it unchanged."""
    path = tmp_path / "other.db"
    if content is not None:
        path.write_bytes(content)
    done = cli(*command, "other.db")
    assert (done.code, done.out) == (2, "")
    assert "other.db" in done.line
    assert [one.read_bytes() for one in tmp_path.iterdir()] == ([] if content is None else [content])


@pytest.mark.parametrize("command", BAD_FILES.values(), ids=BAD_FILES)
def test_a_folder_is_no_journal(cli, command):
    """A folder given as a journal is refused in one line, with exit code 2."""
    assert cli(*command, ".").line
    assert cli(*command).code == 2


def test_a_run_onto_a_journal_of_another_run_is_refused(cli, ledger, tmp_path):
    """A journal of another run is never overwritten, and the line says what differs."""
    ran(cli)
    before = (tmp_path / "run.db").read_bytes()
    others = {
        "its parameter disks was": ("hanoi", "--set", "disks=5", *NOISE),
        "its process is hanoi, not ledger:Ledger": ("ledger:Ledger", *NOISE),
        "its model is": ("hanoi", "--set", "disks=3", "--model", "noise/p=0.5", "--k", "2"),
        "its seed is": ("hanoi", "--set", "disks=3", *NOISE, "--seed", "9"),
        "its policy's": ("hanoi", "--set", "disks=3", *NOISE, "--vote-cap", "99"),
    }
    lines = {difference: cli("run", *arguments, "--journal", "run.db") for difference, arguments in others.items()}
    assert {difference: (done.code, difference in done.line) for difference, done in lines.items()} == dict.fromkeys(
        others, (2, True)
    )
    assert (tmp_path / "run.db").read_bytes() == before


def test_the_same_run_command_again_continues(cli, tmp_path):
    """The command that began a run also continues it after a stop, and gives its result once it is finished."""
    command = ("run", "hanoi", "--set", "disks=3", *NOISE, "--journal", "run.db")
    assert cli(*command, "--max-steps", "3").code == 3
    assert cli(*command).code == 0
    finished = (tmp_path / "run.db").read_bytes()
    assert cli(*command).code == 0
    assert (tmp_path / "run.db").read_bytes() == finished


# --- usage


@pytest.mark.parametrize(
    "arguments",
    [
        ("frobnicate",),
        ("--nonsense",),
        ("export", "run.db", "--what", "moves"),
        ("export", "run.db", "--format", "xml"),
        ("resume", "run.db", "--vote-cap", "0"),
        ("resume", "run.db", "--max-steps", "x"),
        ("demo", "--disks", "21"),
        ("demo", "--disks", "x"),
    ],
    ids=" ".join,
)
def test_bad_usage_is_one_line_that_points_to_the_help(cli, arguments):
    """Every usage error of click is one line with exit code 2 that names the command with --help."""
    done = cli(*arguments)
    assert done.code == 2
    assert "--help" in done.line


def test_no_arguments_at_all_show_the_help(cli):
    """Without arguments the program prints its help to stderr, with exit code 2."""
    done = cli()
    assert (done.code, done.out) == (2, "")
    assert "unerring demo" in done.err


# --- real processes


@pytest.mark.parametrize("program", [(SCRIPT,), (sys.executable, "-m", "unerring")], ids=["script", "module"])
def test_an_error_of_a_real_process_is_one_line(tmp_path, program):
    """`unerring` and `python -m unerring` print the same error line, with the same exit code."""
    done = process("run", "hanoi", "--set", "disks=0", *NOISE, cwd=tmp_path, program=program)
    assert done.returncode == 2
    assert Done(2, done.stdout, done.stderr).line == "unerring: disks must be a whole number from 1 to 20, not 0"


@pytest.mark.parametrize("program", [(SCRIPT,), (sys.executable, "-m", "unerring")], ids=["script", "module"])
def test_a_real_process_runs_a_module_of_the_current_folder(tmp_path, ledger, program):
    """A user's module is found in the current folder, however the program is started."""
    done = process("run", "ledger:Ledger", *NOISE, "--journal", "l.db", "--json", cwd=tmp_path, program=program)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["steps"] == 4
