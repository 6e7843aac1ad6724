"""An error in a user's module before a run begins gives exit code 4, with file and line."""

import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from types import SimpleNamespace

import pytest
from command_runs import LEDGER, NOISE

import unerring
from unerring.adapters.user_code.modules import import_object
from unerring.processes.hanoi import Hanoi

MODULES = {
    "inner": "import nosuchthing\n",
    "broken": "x = 1\nclass L(:\n",
    "outer": "import broken\n",
    "raising": "x = 1\nraise RuntimeError('two')\n",
    "exiting": "import sys\nsys.exit(5)\n",
    "choosy": "class L:\n    def __init__(self):\n        raise ValueError('no')\n"
    "    start = subtask = advance = lambda self, *given: None\n",
    "model": "class M:\n    name, paid, compact = 'model:M', False, False\n    def __init__(self):\n"
    "        raise OSError('no weights')\n    async def sample(self, prompt, settings, n): ...\n",
}
FAILING = {  # what is run, and what is said
    ("inner:L", *NOISE): "ModuleNotFoundError: No module named 'nosuchthing' ({}/inner.py, line 1)",
    ("broken:L", *NOISE): "SyntaxError: invalid syntax ({}/broken.py, line 2)",
    ("outer:L", *NOISE): "SyntaxError: invalid syntax ({}/broken.py, line 2)",
    ("raising:L", *NOISE): "RuntimeError: two ({}/raising.py, line 2)",
    ("exiting:L", *NOISE): "SystemExit: 5 ({}/exiting.py, line 2)",
    ("choosy:L", *NOISE): "choosy:L cannot be made: ValueError: no ({}/choosy.py, line 3)",
    ("hanoi", "--k", "2", "--model", "raising:f"): "RuntimeError: two ({}/raising.py, line 2)",
    ("hanoi", "--k", "2", "--model", "model:M"): "model:M cannot be made: OSError: no weights ({}/model.py, line 4)",
}
NAMED = {  # slips in a name: exit code 2
    ("raising.py:L",): "leave out .py: raising:L",
    ("./sub/raising.py:L",): "leave out .py: sub.raising:L",
    ("hanoi", "--k", "2", "--model", "raising.py:f"): "leave out .py: raising:f",
    ("no_such_module:L",): "No module named 'no_such_module'",
    ("hanoi", "--disks", "8"): "a parameter of the process is given with --set disks=8. See: unerring run --help",
    ("hanoi", "--disks=8"): "a parameter of the process is given with --set disks=8.",
    ("hanoi", "disks=8"): "disks=8 must be given as an option: --set disks=8. See: unerring run --help",
    ("disks=8", "hanoi"): "disks=8 must be given as an option: --set disks=8.",
    (
        "hanoi",
        "disks=8",
        "vote_cap=90",
    ): "disks=8 vote_cap=90 must be given as an option: --set disks=8 --vote-cap 90.",
    ("hanoi", "json=yes"): "json=yes must be given as an option: --set json=yes.",
    ("hanoi", "again"): "Got unexpected extra argument (again)",
    ("hanoi", "--budget-us", "8"): "No such option '--budget-us'; did you mean --budget-usd?",
}


def test_an_error_in_a_users_module_has_exit_code_4_and_its_line(cli, tmp_path):
    """Any error of a module or a constructor is shown with the user's file and line, and is not bad input."""
    wrong = {}
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    for words, said in FAILING.items():
        done = cli("run", *words)
        if done.code != 4 or said.format(tmp_path) not in done.err or "chain=" in done.err:
            wrong[words] = done
    for words, said in NAMED.items():
        done = cli("run", *words)
        if done.code != 2 or said not in done.err or "chain=" in done.err:
            wrong[words] = done
    assert not wrong


BUILTIN = """
from unerring import Sample, Subtask

class OfInt(int):
    start = lambda self: 0
    subtask = lambda self, state: None if state else Subtask("1 + 1 = ?", int)
    advance = lambda self, state, choice: choice

class Model(dict):
    name, paid, compact = "builtin:Model", False, False
    async def sample(self, prompt, settings, n):
        return [Sample("2", voter="one") for _ in range(n)]
"""


def test_a_class_derived_from_a_builtin_one_makes_chains_and_models(cli, tmp_path):
    """Python knows no signature of such a class: it is called, and its own error says what it does not take."""
    (tmp_path / "builtin.py").write_text(BUILTIN)
    model = ("--model", "builtin:Model", "--k", "2")
    assert cli("run", "builtin:OfInt", *model, "--journal", "run.db").code == 0
    assert cli("verify", "run.db").code == 0
    done = cli("run", "builtin:OfInt", *model, "--set", "size=2")
    assert (done.code, "builtin:OfInt cannot be made with these parameters: 'size' is an" in done.err) == (2, True)


def test_a_traceback_begins_with_the_users_own_files(cli, tmp_path):
    """--traceback shows the user's own lines first, and then the whole traceback."""
    (tmp_path / "raising.py").write_text(MODULES["raising"])
    lines = cli("run", "raising:L", "--traceback").err.splitlines()
    assert lines[0] == "In your own files:"
    assert f'File "{tmp_path}/raising.py", line 2' in lines[1]
    assert lines.index("In full:") < lines.index("Traceback (most recent call last):")


STARTS = {  # how a script may begin paid calls when it is imported
    "run": "unerring.run(Ledger(), model, 'other.db', k=2)",
    "arun": "asyncio.run(unerring.arun(Ledger(), model, 'other.db', k=2))",
    "resume": "unerring.resume('half.db', Ledger(), model)",
    "aresume": "asyncio.run(unerring.aresume('half.db', Ledger(), model))",
    "calibrate": "unerring.calibrate(Ledger(), model, 20)",
    "acalibrate": "asyncio.run(unerring.acalibrate(Ledger(), model, 20))",
    "thread": "ThreadPoolExecutor().submit(unerring.run, Ledger(), model, 'other.db', 2).result()",
}
SCRIPT = f"""
import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import unerring
{LEDGER}

def model(prompt):
    Path("asked").touch()
    return f"it is {{2 * int(prompt.split()[1])}}."

"""
READING = (
    ("verify", "half.db", "--process", "half:Ledger"),
    ("rejudge", "half.db", "--process", "half:Ledger"),
    ("review", "half.db", "--process", "half:Ledger"),
    ("fork", "half.db", "--at", "1", "--out", "fork.db", "--process", "half:Ledger"),
)
ASKING = (
    ("resume", "half.db", "--process", "half:Ledger"),
    ("run", "half:Ledger", *NOISE),
    ("run", "hanoi", "--k", "2", "--model", "half:model"),
    ("calibrate", "half:Ledger", *NOISE[:2], "--samples", "9", "--out", "cal.json"),
)


@pytest.mark.parametrize(("start", "commands"), [("run", READING + ASKING), *((one, READING[:1]) for one in STARTS)])
def test_a_script_that_begins_a_run_when_imported_is_refused(cli, tmp_path, start, commands):
    """A command that imports a user's script never makes the script's own calls, and says how to repair the script."""
    script = tmp_path / "half.py"
    script.write_text(SCRIPT)
    assert cli("run", "half:Ledger", *NOISE, "--max-steps", 2, "--journal", "half.db").code == 3
    script.write_text(SCRIPT + STARTS[start])
    for words in commands:
        sys.modules.pop("half", None)
        done = cli(*words)
        said = "half starts a run when it is imported: put that under `if __name__ == '__main__':` in its file"
        assert (done.code, done.err.splitlines()[-1]) == (4, f"unerring: {said}"), words
        assert not (tmp_path / "asked").exists(), words
    script.write_text(f"{SCRIPT}if __name__ == '__main__':\n    {STARTS[start]}\n")
    assert cli("resume", "half.db", "--process", "half:Ledger").code == 0


def test_the_module_that_starts_a_run_is_the_one_that_is_named(cli, tmp_path):
    """Where the module that a command names imports the one that starts a run, the line names the latter."""
    (tmp_path / "half.py").write_text(SCRIPT + STARTS["run"])
    (tmp_path / "outer.py").write_text("from half import Ledger\n")
    done = cli("run", "outer:Ledger", *NOISE)
    assert (done.code, done.err[:50]) == (4, "unerring: half starts a run when it is imported: p")


def test_a_context_that_a_module_keeps_begins_runs_later(cli, tmp_path):
    """What a module keeps of the time of its import, such as a context, does not refuse runs after the import."""
    (tmp_path / "half.py").write_text(f"{SCRIPT}context = contextvars.copy_context()\n")
    in_context = import_object("half:context").run
    assert in_context(unerring.run, import_object("half:Ledger")(), NOISE[1], None, 4).steps == 4


def test_a_run_of_another_thread_continues_during_an_import(cli, tmp_path, monkeypatch):
    """A thread that ran before an import, such as one of a server, begins a run while the import lasts."""
    begun = Event()

    def run():
        assert begun.wait(60)
        return unerring.run(Hanoi(2), NOISE[1], k=4).steps

    with ThreadPoolExecutor() as pool:
        running = pool.submit(run)
        monkeypatch.setitem(sys.modules, "other_thread", SimpleNamespace(begun=begun, running=running))
        (tmp_path / "half.py").write_text("from other_thread import *\nbegun.set()\nsteps = running.result(60)\n")
        try:
            assert import_object("half:steps") == 3
        finally:
            begun.set()
