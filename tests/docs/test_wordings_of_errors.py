"""Error messages name parameters in Python and options on the command line."""

import ast
import re
from pathlib import Path

import pytest

import unerring
from doubling import Doubling, double
from unerring.cli.hints import in_options
from unerring.cli.main import command_line, commands

ROOM = Path(unerring.__file__).parent


def texts(tree):
    """The string literals of a file except docstrings; an f-string is one text."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = {node.body[0].value for node in ast.walk(tree) if isinstance(node, documented) and ast.get_docstring(node)}
    parts = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docs and node not in parts:
            yield node.lineno, node.value


def test_no_message_below_the_command_line_names_an_option():
    """Outside `cli` no text has an --option, except in a whole command to paste."""
    found = []
    for file in sorted(ROOM.rglob("*.py")):
        if (ROOM / "cli") in file.parents:
            continue
        for line, text in texts(ast.parse(file.read_text(encoding="utf-8"))):
            options = re.search(r"(^|[^-\w])--[a-z]", text)
            if options and "unerring " not in text[: options.start() + 1] and not re.fullmatch(r"--[a-z-]+", text):
                found.append((str(file.relative_to(ROOM)), line, text))
    assert found == []


def test_the_command_line_names_its_options_instead():
    """A parameter in backticks becomes the option that sets it, which exists."""
    assert in_options("give `k`, or `max_steps` and `usd`") == "give --k, or --max-steps and --budget-usd"
    assert in_options("`something` else stays `as it is`") == "`something` else stays `as it is`"
    every = {word for command in commands.commands.values() for one in command.params for word in one.opts}
    parameters = set()
    for file in ROOM.rglob("*.py"):
        parameters |= set(re.findall(r"`(\w+)`", file.read_text(encoding="utf-8")))
    named = {in_options(f"`{name}`") for name in parameters}
    assert {name for name in named if name.startswith("--")} <= every


def test_the_same_mistake_in_both_languages(tmp_path, capsys, monkeypatch):
    """A run without a margin names `k` in Python and --k on the command line."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(unerring.InputError, match="give `k`, such as 4: nothing is measured"):
        unerring.run(Doubling(), double)
    assert command_line(["run", "hanoi", "--set", "disks=3", "--model", "noise/p=0.9"]) == 2
    assert "give --k, such as 4: nothing is measured" in capsys.readouterr().err
