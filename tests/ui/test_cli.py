"""The command line as its users meet it: what it prints where, its exit codes, and its one-line errors."""

import csv
import io
import json
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import unerring
from unerring import Sample
from unerring.processes.hanoi import Hanoi
from unerring.ui import demo
from unerring.ui.cli import command_line, commands

NOISE = ("--model", "noise/p=0.9,v=0.9,c=0", "--k", "3")
SCRIPT = str(Path(sys.executable).with_name("unerring"))

LEDGER = '''
"""A process of a user's own: each step doubles a number."""

from unerring import RedFlag, Rehearsal, Subtask


class Ledger:
    def __init__(self, steps=4):
        self.steps = steps

    def parameters(self):
        return {"steps": self.steps}

    def start(self):
        return [1]

    def subtask(self, state):
        return None if len(state) > self.steps else Subtask(f"double {state[-1]}", self.parse)

    def parse(self, text):
        if not text.startswith("it is ") or not text.endswith("."):
            raise RedFlag("not an answer")
        return int(text.removeprefix("it is ").rstrip("."))

    def advance(self, state, choice):
        return [*state, choice]

    def rehearse(self, prompt):
        value = int(prompt.split()[1])
        return Rehearsal(f"it is {2 * value}.", (f"it is {2 * value + 1}.", f"it is {2 * value + 2}."))

    def verify(self, choices, finished):
        before = 1
        for step, choice in enumerate(choices):
            if choice != 2 * before:
                return f"step {step}: {choice} is not twice {before}"
            before = choice
        return None
'''


@dataclass
class Done:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def line(self):
        """The one line on stderr, where there is exactly one and it is an error's."""
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("unerring: ")
        assert "Traceback" not in self.err
        return self.err.rstrip("\n")


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """Run a command in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def call(*arguments):
        capsys.readouterr()
        code = command_line([str(argument) for argument in arguments])
        return Done(code, *capsys.readouterr())

    before = set(sys.modules)
    yield call
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def forget(module):
    """Let the next import of a user's module read its file again."""
    sys.modules.pop(module, None)


def process(*arguments, cwd, program=(SCRIPT,), **named):
    """Run a command in a process of its own."""
    words = [*program, *map(str, arguments)]
    return subprocess.run(words, check=False, cwd=cwd, capture_output=True, text=True, timeout=90, **named)


@pytest.fixture
def ledger(tmp_path):
    (tmp_path / "ledger.py").write_text(LEDGER)


def ran(cli, *more, path="run.db", disks=3):
    """A finished run of the noise sampler."""
    done = cli("run", "hanoi", "--set", f"disks={disks}", *NOISE, "--journal", path, *more)
    assert done.code == 0, done.err
    return done


# --- what works


def test_run_finishes_with_a_report(cli):
    """A run exits with 0, its report on stdout, and the command that checks it on stderr."""
    done = ran(cli)
    assert "steps        7 of 7\n" in done.out
    assert done.err == "Check it with: unerring verify run.db\n"


def test_run_resume_verify_and_report_go_hand_in_hand(cli):
    """A run that was stopped is resumed, verified and reported by the commands that each message names."""
    stopped = cli("run", "hanoi", "--set", "disks=4", *NOISE, "--journal", "run.db", "--max-steps", "6")
    assert (stopped.code, stopped.out) == (3, "")
    command = stopped.line.partition("go on with: ")[2]
    assert command == "unerring resume run.db"
    assert cli("verify", "run.db").code == 3
    resumed = cli(*shlex.split(command)[1:])
    assert resumed.code == 0
    assert "finished, in 2 sessions" in resumed.out
    check = resumed.err.partition("Check it with: ")[2]
    verified = cli(*shlex.split(check)[1:])
    assert (verified.code, verified.err) == (0, "")
    assert verified.out.endswith("Verified: zero errors.\n")
    assert cli("report", "run.db").out == resumed.out


def test_a_command_to_go_on_with_can_be_pasted_whatever_the_journal_is_called(cli):
    """A journal with a space in its name is quoted in the command that a message names."""
    stopped = cli("run", "hanoi", "--set", "disks=3", *NOISE, "--journal", "my run.db", "--max-steps", "2")
    command = stopped.line.partition("go on with: ")[2]
    assert shlex.split(command) == ["unerring", "resume", "my run.db"]


def test_a_run_without_a_journal_name_says_where_it_is_kept(cli, tmp_path):
    """Left without a name, each run makes a new file and names it on stderr."""
    for count in (1, 2):
        done = cli("run", "hanoi", "--set", "disks=2", *NOISE)
        assert done.code == 0
        journals = sorted(tmp_path.glob("*.db"))
        assert len(journals) == count
        assert any(path.name in done.err for path in journals)


def test_a_process_of_ones_own_runs_by_its_name(cli, ledger):
    """A class in a module of the current folder is run, resumed and verified like a shipped process."""
    model = ("--model", "noise/p=0.8,v=0.8", "--k", "4")
    stopped = cli("run", "ledger:Ledger", "--set", "steps=6", *model, "--journal", "l.db", "--max-steps", "2")
    assert stopped.code == 3
    assert cli("resume", "l.db").code == 0
    assert cli("verify", "l.db").out.endswith("Verified: zero errors.\n")
    last = cli("export", "l.db").out.splitlines()[-1]
    assert json.loads(last)["choice"] == 64


def test_several_models_take_turns(cli):
    """Votes rotate over repeated --model options, and a resumed run knows them all."""
    models = ("--model", "noise/p=0.9", "--model", "noise/p=0.8,v=0.9", "--k", "2")
    cli("run", "hanoi", "--set", "disks=3", *models, "--journal", "run.db", "--max-steps", "2")
    done = cli("resume", "run.db")
    assert done.code == 0
    assert "noise/p=0.9,v=1.0,c=0.0 + noise/p=0.8,v=0.9,c=0.0" in done.out


def test_the_seed_decides_what_is_drawn(cli):
    """The same seed gives the same export, another one another."""
    for path, seed in (("a.db", 1), ("b.db", 1), ("c.db", 2)):
        ran(cli, "--seed", seed, path=path)
    exports = [cli("export", path, "--what", "votes").out for path in ("a.db", "b.db", "c.db")]
    assert exports[0] == exports[1] != exports[2]


def test_resuming_a_finished_run_says_so(cli):
    """Nothing is left to do: the report is shown again, with exit code 0."""
    first = ran(cli)
    again = cli("resume", "run.db")
    assert (again.code, again.out) == (0, first.out)
    assert "run.db is finished already" in again.err


def test_the_version_is_told(cli):
    """--version names the program and its version."""
    assert cli("--version").out.split() == ["unerring", "0.1.0"]


def test_a_chain_that_ends_where_it_starts_is_not_called_finished_already(cli, ledger):
    """A first run of no steps at all is not taken for the resuming of a finished one."""
    done = cli("run", "ledger:Ledger", "--set", "steps=0", *NOISE, "--journal", "run.db")
    assert done.code == 0
    assert "already" not in done.err


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
    names = "index sample voter flag choice text input_tokens output_tokens logprob"
    assert all(list(sample) == names.split() for sample in samples)
    for step in steps:
        own = [sample for sample in samples if sample["index"] == step["index"]]
        assert [sample["sample"] for sample in own] == list(range(len(own)))
        assert sum(sample["flag"] is None for sample in own) == step["votes"]
        assert sum(sample["flag"] == "malformed" for sample in own) == step["flags"]
        won = {"move": step["move"], "next_state": step["next_state"]}
        assert sum(sample["choice"] == won for sample in own) == step["tally"][0]
        assert all((sample["choice"] is None) == (sample["flag"] is not None) for sample in own)


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


def spoken(path, *words, keys=None):
    """A finished journal whose choices are these words, or objects made of them."""

    class Spoken:
        def start(self):
            return 0

        def subtask(self, state):
            return None if state == len(words) else unerring.Subtask("say", json.loads if keys else str)

        def advance(self, state, choice):
            return state + 1

    unerring.run(Spoken(), lambda _, settings: words[settings.step], path, k=1)


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


def test_a_stopped_run_prints_no_json(cli):
    """Where a run with --json stops, stdout stays empty and the error is on stderr."""
    done = cli("run", "hanoi", "--set", "disks=3", *NOISE, "--journal", "run.db", "--max-steps", "3", "--json")
    assert (done.code, done.out) == (3, "")
    assert "unerring resume run.db" in done.line


def test_verify_says_in_json_whether_all_is_well(cli):
    """The field `ok` is true where nothing is wrong, and `finished` tells the rest."""
    ran(cli)
    found = json.loads(cli("verify", "run.db", "--json").out)
    assert (found["ok"], found["finished"], found["judged"], found["steps"]) == (True, True, True, 7)


# --- bad input


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
    "a module that raises": ("raising:Ledger", *NOISE),
    "a module that exits": ("exiting:Ledger", *NOISE),
    "a module with a syntax error": ("broken:Ledger", *NOISE),
    "a module without the class": ("plain:Ledger", *NOISE),
    "a class that is no chain": ("plain:NoChain", *NOISE),
    "a function": ("plain:function", *NOISE),
    "a constructor that raises": ("plain:Choosy", *NOISE),
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
    """Each mistake is one line on stderr that begins with the program's name; nothing is printed or made."""
    before = sorted(tmp_path.iterdir())
    named = arguments if "--journal" in arguments else (*arguments, "--journal", "run.db")
    done = cli("run", *named)
    assert (done.code, done.out) == (2, "")
    assert len(done.line) < 400
    assert sorted(path for path in tmp_path.iterdir() if path.name != "__pycache__") == before


@pytest.mark.parametrize("arguments", [("hanoi", "--model", "gpt-9", "--k", "3"), ("plain:Plain", *NOISE)])
def test_no_journal_is_announced_that_is_not_made(cli, modules, tmp_path, arguments):
    """Without --journal too, a mistake is one line: the name of a journal is told once there is one."""
    assert cli("run", *arguments).line
    assert list(tmp_path.glob("*.db*")) == []


BAD_FILES = {
    "resume": ("resume",),
    "verify": ("verify",),
    "report": ("report",),
    "export": ("export",),
    "resume --repair": ("resume", "--repair"),
}


@pytest.mark.parametrize("content", [None, b"", b"not a journal", b"SQLite format 3\0" + bytes(84)])
@pytest.mark.parametrize("command", BAD_FILES.values(), ids=BAD_FILES)
def test_what_is_no_journal_is_one_line_and_exit_2(cli, tmp_path, command, content):
    """A missing file, an empty one, and another program's are refused by every command, and stay as they are."""
    path = tmp_path / "other.db"
    if content is not None:
        path.write_bytes(content)
    done = cli(*command, "other.db")
    assert (done.code, done.out) == (2, "")
    assert "other.db" in done.line
    assert [one.read_bytes() for one in tmp_path.iterdir()] == ([] if content is None else [content])


@pytest.mark.parametrize("command", BAD_FILES.values(), ids=BAD_FILES)
def test_a_folder_is_no_journal(cli, command):
    """A folder in the place of a journal is one line and exit 2."""
    assert cli(*command, ".").line
    assert cli(*command).code == 2


@pytest.mark.parametrize(
    "arguments",
    [("hanoi", "--set", "disks=3", *NOISE), ("hanoi", "--set", "disks=5", *NOISE), ("ledger:Ledger", *NOISE)],
    ids=["the same", "other parameters", "another process"],
)
def test_a_run_onto_a_journal_that_holds_one_is_refused(cli, ledger, tmp_path, arguments):
    """A journal is never run over: the line names the command that goes on with it."""
    ran(cli)
    before = (tmp_path / "run.db").read_bytes()
    done = cli("run", *arguments, "--journal", "run.db")
    assert done.code == 2
    assert "unerring resume run.db" in done.line
    assert (tmp_path / "run.db").read_bytes() == before


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
    """Whatever click objects to is one line, with exit code 2 and the command whose help tells more."""
    done = cli(*arguments)
    assert done.code == 2
    assert "--help" in done.line


def test_no_arguments_at_all_show_the_help(cli):
    """The bare program shows where to start, on stderr, with exit code 2."""
    done = cli()
    assert (done.code, done.out) == (2, "")
    assert "unerring demo" in done.err


@pytest.mark.parametrize("program", [(SCRIPT,), (sys.executable, "-m", "unerring")], ids=["script", "module"])
def test_an_error_of_a_real_process_is_one_line(tmp_path, program):
    """Both ways to start the program give the same line and the same exit code."""
    done = process("run", "hanoi", "--set", "disks=0", *NOISE, cwd=tmp_path, program=program)
    assert done.returncode == 2
    assert Done(2, done.stdout, done.stderr).line == "unerring: disks must be a whole number from 1 to 20, not 0"


@pytest.mark.parametrize("program", [(SCRIPT,), (sys.executable, "-m", "unerring")], ids=["script", "module"])
def test_a_real_process_runs_a_module_of_the_current_folder(tmp_path, ledger, program):
    """A user's module is found in the folder where the command is given, however the program is started."""
    done = process("run", "ledger:Ledger", *NOISE, "--journal", "l.db", "--json", cwd=tmp_path, program=program)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["steps"] == 4


# --- stops and wrong results


def test_an_undecided_step_stops_and_names_the_option_that_allows_it_more(cli, ledger):
    """A step at its cap ends the run with exit code 3; with a higher cap it goes on to the end."""
    model = ("--model", "noise/p=0.6", "--k", "25")
    done = cli("run", "ledger:Ledger", *model, "--journal", "run.db")
    assert done.code == 3
    assert "step 0 is undecided after 60 votes" in done.line
    assert "unerring resume run.db --vote-cap" in done.line
    assert cli("resume", "run.db").code == 3
    assert cli("resume", "run.db", "--vote-cap", "59").code == 2
    assert cli("resume", "run.db", "--vote-cap", "5000").code == 0


def test_a_step_with_nothing_but_flags_names_the_option_for_that(cli, ledger):
    """Where every sample is flagged, no answer is elected: exit code 3, and the cap on flags is named."""
    done = cli("run", "ledger:Ledger", "--model", "noise/v=0", "--k", "2", "--journal", "run.db")
    assert done.code == 3
    assert "--flag-cap" in done.line
    assert json.loads(cli("report", "run.db", "--json").out)["samples"]["voted"] == 0


def test_verify_of_an_unfinished_run_exits_with_3(cli):
    """A run that is right as far as it goes, and not over, is neither right (0) nor wrong (1)."""
    cli("run", "hanoi", "--set", "disks=3", *NOISE, "--journal", "run.db", "--max-steps", "3")
    done = cli("verify", "run.db")
    assert done.code == 3
    assert "unerring resume run.db" in done.line
    assert "zero errors" not in done.out


def test_verify_names_the_step_that_is_wrong(cli, ledger):
    """A finished run whose votes agreed on wrong answers exits with 1 and the first wrong step."""
    model = ("--model", "noise/p=0,c=1", "--k", "3")
    assert cli("run", "ledger:Ledger", *model, "--journal", "run.db").code == 0
    done = cli("verify", "run.db")
    assert done.code == 1
    assert "wrong" in done.line
    assert "step 0: " in done.line
    assert "zero errors" not in done.out
    assert "each held" not in done.out
    found = cli("verify", "run.db", "--json")
    assert (found.code, json.loads(found.out)["ok"]) == (1, False)


def test_verify_of_a_wrong_game_of_hanoi_exits_with_1(cli):
    """A journal whose first step miscopied the pegs fails by the rules of the game, finished or not."""
    for seed in range(40):  # the noise sampler's wrong answers are of several kinds; one of them is no legal game
        model = ("--model", "noise/p=0,c=1", "--k", "2", "--seed", seed, "--max-steps", "1")
        cli("run", "hanoi", "--set", "disks=3", *model, "--journal", f"{seed}.db")
        step = json.loads(cli("export", f"{seed}.db").out)
        if step["next_state"] not in ([[3, 2], [1], []], [[3, 2], [], [1]]):
            break
    done = cli("verify", f"{seed}.db")
    assert done.code == 1
    assert "step 0: the move leads to" in done.line


def test_a_damaged_journal_exits_with_1(cli, tmp_path):
    """A journal whose bytes were changed is one line and exit code 1."""
    ran(cli)
    path = tmp_path / "run.db"
    data = bytearray(path.read_bytes())
    at = data.index(b"noise/p=0.9") if b"noise/p=0.9" in data else len(data) - 40
    data[at] ^= 1
    path.write_bytes(data)
    done = cli("verify", "run.db")
    assert done.code == 1
    assert "damaged" in done.line


FAILING = LEDGER.replace(
    "        return [*state, choice]",
    "        if len(state) == 3:\n            return json.loads('{')  # here\n        return [*state, choice]",
).replace("from unerring", "import json\n\nfrom unerring", 1)


def test_a_failure_of_the_users_code_is_one_line_that_names_its_place(cli, tmp_path):
    """What a process's own code raises ends in one line with the user's file and line, and exit code 3."""
    (tmp_path / "ledger.py").write_text(FAILING)
    line = FAILING[: FAILING.index("# here")].count("\n") + 1
    done = cli("run", "ledger:Ledger", *NOISE, "--journal", "run.db")
    assert done.code == 3
    assert "JSONDecodeError" in done.line
    assert str(tmp_path / "ledger.py") in done.line
    assert f"line {line}" in done.line
    assert "unerring resume run.db" in done.line


def test_a_file_that_the_users_code_misses_is_told_with_its_place(cli, tmp_path):
    """An OSError of the process's own code is its failure like any other: place, and how to go on."""
    missing = "        if len(state) == 3:\n            open('no such file')\n        return [*state"
    (tmp_path / "ledger.py").write_text(LEDGER.replace("        return [*state", missing))
    done = cli("run", "ledger:Ledger", *NOISE, "--journal", "run.db")
    assert done.code == 3
    assert "FileNotFoundError" in done.line
    assert str(tmp_path / "ledger.py") in done.line
    assert "unerring resume run.db" in done.line


def test_a_run_goes_on_once_the_users_code_is_mended(cli, tmp_path):
    """The journal of a run that failed in the user's code is resumed with the mended module."""
    (tmp_path / "ledger.py").write_text(FAILING)
    assert cli("run", "ledger:Ledger", *NOISE, "--journal", "run.db").code == 3
    (tmp_path / "ledger.py").write_text(LEDGER)
    forget("ledger")
    assert cli("resume", "run.db").code == 0
    assert cli("verify", "run.db").code == 0


def test_a_process_that_fails_before_its_run_is_open_has_nothing_to_resume(cli, tmp_path):
    """An error in start() is one line, and does not name a command that could not work."""
    (tmp_path / "early.py").write_text(LEDGER.replace("return [1]", "raise ValueError('too early')"))
    done = cli("run", "early:Ledger", *NOISE, "--journal", "run.db")
    assert done.code in (2, 3)
    assert "too early" in done.line
    assert "unerring resume" not in done.line


def test_a_failure_before_the_run_is_open_does_not_name_somebody_elses_journal(cli, tmp_path):
    """Where the journal named holds another run, an error in start() does not suggest to resume that one."""
    ran(cli)
    (tmp_path / "early.py").write_text(LEDGER.replace("return [1]", "raise ValueError('too early')"))
    done = cli("run", "early:Ledger", *NOISE, "--journal", "run.db")
    assert done.code in (2, 3)
    assert "mend it, then" not in done.line


def test_a_verifier_that_fails_is_one_line(cli, tmp_path):
    """An error in a process's own verify() is one line with its place, not a traceback."""
    broken = LEDGER.replace("        before = 1\n", "        before = 1 // 0\n")
    (tmp_path / "ledger.py").write_text(broken)
    cli("run", "ledger:Ledger", *NOISE, "--journal", "run.db")
    done = cli("verify", "run.db")
    assert done.code != 0
    assert "ZeroDivisionError" in done.line


@pytest.mark.parametrize("command", ["run", "resume", "verify", "report", "export"])
def test_no_command_leaves_anything_open(tmp_path, command):
    """In Python's development mode, with every warning an error, each command ends without a word of it."""
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


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_stops_a_run_in_good_order(tmp_path, name):
    """Ctrl-C and SIGTERM end in exit code 3 and one line that names the command which goes on."""
    kill = f"        if len(state) == 2:\n            os.kill(os.getpid(), signal.{name})\n"
    signalled = LEDGER.replace("        return [*state", kill + "        return [*state")
    signalled = signalled.replace("from unerring", "import os\nimport signal\n\nfrom unerring", 1)
    (tmp_path / "ledger.py").write_text(signalled)
    done = process("run", "ledger:Ledger", "--set", "steps=2000", *NOISE, "--journal", "run.db", cwd=tmp_path)
    assert done.returncode == 3
    last = done.stderr.splitlines()[-1]
    assert last == f"unerring: stopped by {name}; go on with: unerring resume run.db"
    assert "Traceback" not in done.stderr
    (tmp_path / "ledger.py").write_text(LEDGER)
    told = unerring.report(tmp_path / "run.db")
    assert told["stopped"]["kind"] == "interrupted"
    assert 2 <= told["steps"] < 2000


def test_the_users_signal_handlers_are_left_as_they_were(cli):
    """After a run in this process, Ctrl-C does what it did before."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    ran(cli)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


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


# --- help


@pytest.mark.parametrize("name", sorted(commands.commands))
def test_the_help_of_every_command_teaches(cli, name):
    """It shows how the command is written, says what its argument is or gives an example, and its exit code is 0."""
    done = cli(name, "--help")
    assert (done.code, done.err) == (0, "")
    usage, _, rest = done.out.partition("\n\n")
    assert usage.startswith(f"Usage: unerring {name}")
    arguments = [word for word in usage.split()[4:] if word.isupper()]
    assert all(argument in rest for argument in arguments)
    assert arguments or f"unerring {name}" in rest or "Size of the puzzle" in rest
    assert max(map(len, done.out.splitlines())) <= 100


@pytest.mark.parametrize("name", sorted(commands.commands))
def test_every_option_is_explained(name):
    """No option of any command is without a sentence of help."""
    options = [one for one in commands.commands[name].params if one.param_type_name == "option"]
    assert [one.name for one in options if not getattr(one, "help", None)] == []


def test_the_help_of_the_program_says_where_to_start(cli):
    """It names every command, a first thing to type, and what the exit codes mean."""
    told = cli("--help").out
    assert all(f"  {name}" in told for name in commands.commands)
    assert "Start here:   unerring demo" in told
    assert "Exit codes: 0 done" in told


def test_the_demonstration_ends_in_a_verified_run(cli, tmp_path, monkeypatch):
    """`unerring demo` needs nothing but the package, and ends in a run that the rules of the game confirm."""
    monkeypatch.setattr(demo, "LONGEST", 30)  # steps for which unaided chains are followed
    done = cli("demo", "--disks", "3")
    assert done.code == 0, done.err
    assert "7 steps right, zero errors" in done.out
    (journal,) = tmp_path.glob("*.db")
    assert unerring.verify(journal).problem is None


def test_the_demonstration_does_not_begin_what_it_cannot_keep(cli, monkeypatch):
    """A journal that holds a run already is refused before anything is shown or computed."""
    ran(cli)
    monkeypatch.setattr(demo, "LONGEST", 1)
    done = cli("demo", "--disks", "2", "--journal", "run.db")
    assert (done.code, done.out) == (2, "")
    assert "run.db holds a run" in done.line
