"""`unerring report -v` shows doubtful steps: their question, rival answers, and flagged samples with the reason."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from command_runs import HOSTILE, Word

import unerring
from unerring import Options, Policy
from unerring.core.voting.race import AheadBy
from unerring.testing import ScriptedSampler

GOLDEN = Path(__file__).parents[2] / "golden"


class Said(Word):
    """A chain of one step that flags answers starting with `!`, for the reason that follows."""

    def word(self, text):
        if text.startswith("!"):
            raise unerring.RedFlag(text.removeprefix("!"))
        return text


def journal_of_samples(path, *texts, prompt="say"):
    """Write a finished journal of a step with samples of these texts, in order."""
    options = Options(policy=Policy(AheadBy(2), vote_cap=99), speculate="off")
    unerring.run(Said(prompt), ScriptedSampler(list(texts)), path, options=options)


def shown(cli, *more):
    """What a report prints in addition to the report without -v."""
    plain, verbose = cli("report", "run.db"), cli("report", "run.db", *more)
    assert verbose.code == 0
    assert verbose.out.startswith(plain.out)
    return verbose.out.removeprefix(plain.out)


def test_a_verbose_report_shows_what_was_asked_and_answered(cli):
    """It shows the question, the answers by votes with their voters, and one flagged sample for each reason."""
    journal_of_samples("run.db", "a", "b", "!not a word: 1", "!not a word: 2", "a", "a", "a")
    assert shown(cli, "-v") == (
        "\n"
        "flagged      2 samples, malformed: not a word: 1 (and similar ones, with other numbers or quoted text)\n"
        "\n"
        "step 0       3-1, 2 flagged, 3 rounds; decided by votes\n"
        "asked\n"
        "  | say\n"
        'candidate 1  3 votes: "a"\n'
        "             by scripted (3)\n"
        'candidate 2  1 vote: "b"\n'
        "             by scripted (1)\n"
        "flagged      2 samples, malformed: not a word: 1 (and similar ones, with other numbers or quoted text)\n"
        "  | !not a word: 1\n"
    )


def test_a_verbose_report_and_the_page_show_the_messages_before_a_question(cli, tmp_path):
    """The messages before a question, the run's and its own, are shown by role: the first ones, or all with --full."""
    turns = tuple({"role": role, "content": f"turn {n}"} for n in range(5) for role in ("user", "assistant"))

    class Introduced(Said):
        def subtask(self, state):
            asked = super().subtask(state)
            return None if asked is None else replace(asked, messages=turns)

    policy = Policy(AheadBy(2), vote_cap=99)
    options = Options(policy=policy, speculate="off", request=unerring.Request(system="<Be> brief."))
    unerring.run(Introduced(), lambda _, drawn: "abaaa"[drawn.slot], tmp_path / "run.db", options=options)
    text = shown(cli, "-v")
    assert "message      from system, before the question\n  | <Be> brief.\nmessage      from user, before" in text
    assert ("turn 3" in text, "turn 4" in text) == (True, False)
    assert "3 messages more before the question: --full shows them" in text
    assert shown(cli, "--full").count("message      from ") == 11
    (step,) = json.loads(cli("report", "run.db", "--json").out)["doubtful"]
    assert (step["messages"][0], step["more_messages"]) == ({"role": "system", "content": "<Be> brief."}, 3)
    assert [one["content"] for one in next(unerring.steps("run.db")).messages[-2:]] == ["turn 4", "turn 4"]
    assert cli("report", "run.db", "--html", "run.html").code == 0
    page = (tmp_path / "run.html").read_text()
    assert "Message from system, before the question:</p><pre" in page
    assert "&lt;Be&gt; brief." in page
    assert "turn 3" in page


def test_the_flags_of_a_report_have_their_most_frequent_reason(cli):
    """Without -v too, `malformed: 3` is followed by the most frequent reason."""
    journal_of_samples("run.db", "!one thing", "!another", "!another", "a", "a")
    assert "\nred flags    malformed: 3 (2 times another)\n" in cli("report", "run.db").out


def test_a_run_without_doubt_shows_nothing_more(cli):
    """If every step was unanimous, -v adds no step."""
    journal_of_samples("run.db", "a", "a")
    assert shown(cli, "-v") == ""


def test_a_doubtful_step_is_inert_on_a_terminal(cli):
    """Control characters in questions, answers and reasons are escaped, and cannot forge lines of the report."""
    journal_of_samples("run.db", HOSTILE, "!" + HOSTILE, "b", "b", "b", prompt=HOSTILE)
    for more in ("-v", "--full"):
        out = shown(cli, more)
        assert all(char.isprintable() or char == "\n" for char in out)
        assert [line for line in out.splitlines() if line.startswith("candidate 1")] == ['candidate 1  3 votes: "b"']
        assert out.count("\\x1b[2J") >= 4


def test_long_texts_are_shortened_unless_all_is_asked_for(cli):
    """Long texts are cut with a mark, also in JSON; `--full` prints all of them."""
    long = "\n".join(f"line {number} {'x' * 900}" for number in range(50))
    journal_of_samples("run.db", long, "!" + long, "b", "b", "b", prompt=long)
    assert len(shown(cli, "-v")) < 10_000
    assert shown(cli, "--full").count("  | line 20 ") == 2
    assert shown(cli, "--full").count("  | !line 0 ") == 1
    (short,) = json.loads(cli("report", "run.db", "--json").out)["doubtful"]
    (full,) = json.loads(cli("report", "run.db", "--json", "--full").out)["doubtful"]
    assert "characters left out" in short["question"][0]
    assert full["question"] == [long]
    assert full["flagged"][0]["example"] == "!" + long
    pytest.importorskip("matplotlib")
    held = []
    for more in ((), ("--full",)):
        cli("report", "run.db", "--html", "run.html", *more)
        held.append(Path("run.html").read_text(encoding="utf-8").count(f"line 20 {'x' * 900}"))
    assert held[1] > held[0]  # the process's own parameter is never cut


def test_the_step_that_a_run_stopped_at_is_shown_first(cli, ledger):
    """An undecided step is shown with its question and answers before the decided ones."""
    assert cli("run", "ledger:Ledger", "--model", "noise/p=0.6", "--k", "25", "--journal", "run.db").code == 3
    out = shown(cli, "-v")
    assert "\nstep 0 " in out
    assert "; undecided: no answer won\nasked\n  | double 1\n" in out
    assert json.loads(cli("report", "run.db", "--json").out)["open_step"]["decided_by"] == "undecided"


@pytest.mark.parametrize("name", ["undecided", "ruled", "finished"])
def test_an_old_journal_says_once_that_it_has_no_texts(cli, tmp_path, name):
    """Doubtful steps of an old journal are shown without question and reasons, with one note about it."""
    for file in GOLDEN.glob(f"{name}.db*"):
        shutil.copy(file, tmp_path / file.name.replace(name, "run"))
    out = shown(cli, "-v")
    assert out.count("an earlier version of unerring kept none") == 1
    assert "the text of questions and the reasons of flags" in out
    assert "asked" not in out
    assert "candidate 1" in out
