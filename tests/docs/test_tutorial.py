"""The programs of the tutorial run as printed, with the output that the page shows."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```\n\n```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_each_program_prints_what_the_page_shows(tmp_path, monkeypatch, capsys):
    """All five programs, run in order in one folder, print the output below them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, program, output in PROGRAMS:
        path = tmp_path / f"{name}.py"
        path.write_text(program, encoding="utf-8")
        exec(compile(program, path, "exec"), {"__name__": "__main__"})  # noqa: S102  (our own text)
        assert capsys.readouterr().out == output, name


@pytest.mark.parametrize(("name", "program"), [(name, program) for name, program, _ in PROGRAMS])
def test_each_program_is_short(name, program):
    """A program of the tutorial has fewer than 20 lines."""
    assert len([line for line in program.splitlines() if line.strip()]) < 20, name


def test_there_are_five_programs():
    """Rows of a table, a chain, a model, resuming, inspecting."""
    assert len(PROGRAMS) == 5


def test_a_program_with_a_process_or_a_model_can_be_imported(tmp_path, monkeypatch, capsys):
    """Commands may import what a program of the tutorial or the README defines; importing starts no run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    ledger = next(program for name, program, _ in PROGRAMS if name == "ledger")
    (tmp_path / "ledger.py").write_text(ledger, encoding="utf-8")
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    programs = [program for _, program, _ in PROGRAMS if "def model" in program or "class " in program]
    assert len(programs) == 3
    for program in [*programs, re.search(r"```python\n(.*?)```", readme, re.DOTALL)[1]]:
        exec(compile(program, "program", "exec"), {"__name__": "program"})  # noqa: S102  (our own text)
    assert (capsys.readouterr().out, list(tmp_path.glob("*.db"))) == ("", [])
