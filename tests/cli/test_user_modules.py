"""An error in a user's module before a run begins gives exit code 4, with file and line."""

from command_runs import NOISE

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


def test_a_traceback_begins_with_the_users_own_files(cli, tmp_path):
    """--traceback shows the user's own lines first, and then the whole traceback."""
    (tmp_path / "raising.py").write_text(MODULES["raising"])
    lines = cli("run", "raising:L", "--traceback").err.splitlines()
    assert lines[0] == "In your own files:"
    assert f'File "{tmp_path}/raising.py", line 2' in lines[1]
    assert lines.index("In full:") < lines.index("Traceback (most recent call last):")
