"""The README: its example runs, resumes and is right, and its links lead to files."""

import asyncio
import re
from pathlib import Path

import unerring

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLE = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]


def test_the_example_runs_resumes_and_is_right(tmp_path, monkeypatch, capsys):
    """The README's own example stops at its limit, resumes, and ends with the right balance."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    exec(compile(EXAMPLE, "README.md", "exec"), names)  # noqa: S102  (our own text)
    said = capsys.readouterr().out
    assert "120 steps" in said
    assert names["result"].state == {"row": 200, "balance": sum(names["Ledger"].payments)}
    assert unerring.report("ledger.db")["sessions"] == 2


def test_the_example_can_be_inspected(tmp_path, monkeypatch):
    """Every step of the example has its tally, and the journal verifies."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    exec(compile(EXAMPLE, "README.md", "exec"), names)  # noqa: S102  (our own text)
    steps = list(unerring.steps("ledger.db"))
    assert [step.step for step in steps] == list(range(200))
    assert all(step.tally[0] - sum(step.tally[1:2]) == 4 for step in steps)
    assert unerring.verify("ledger.db").problem is None


def test_the_example_resumes_without_asyncio_too(tmp_path, monkeypatch):
    """`unerring.resume` of the finished example returns the same result as `aresume`."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    exec(compile(EXAMPLE, "README.md", "exec"), names)  # noqa: S102  (our own text)
    plain = unerring.resume("ledger.db", names["Ledger"](), names["model"])
    awaited = asyncio.run(unerring.aresume("ledger.db", names["Ledger"](), names["model"]))
    assert plain.state == awaited.state == names["result"].state


def test_the_example_of_one_question_runs(capsys):
    """The second example decides its question, and its value is a date."""
    example = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[1]
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102  (our own text)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["answer       2026-12-24", "votes        3 for 2026-12-24; 0 samples red-flagged"]
    assert lines[-1] == "2026-12-25 {'2026-12-24': 3} 3"


def test_the_example_of_a_function_runs(tmp_path, monkeypatch, capsys):
    """The third example posts two entries; run again it returns the same, and posts nothing."""
    monkeypatch.chdir(tmp_path)
    example = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[2]
    receipts = [{"entry": "Office, March", "kind": "rent"}, {"entry": "Train to Rome", "kind": "travel"}]
    posted = ["posted Office, March as rent", "posted Train to Rome as travel"]
    for lines in ([*posted, str(receipts)], [str(receipts)]):
        exec(compile(example, "README.md", "exec"), {"__name__": "__main__"})  # noqa: S102  (our own text)
        assert capsys.readouterr().out.splitlines() == lines


def test_the_example_is_short():
    """The README promises a user's chain in under 25 lines."""
    assert len(EXAMPLE.strip().splitlines()) < 25


def test_every_link_leads_somewhere():
    """Each relative link of the documents leads to a file of the repository."""
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("training/*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
