"""An option that does nothing without another one is refused without it, in one line, and nothing is written."""

import pytest
from command_runs import NOISE

from unerring.adapters.sqlite.reader import opening_entry

NAMED = "--escalate-after says when a step goes to another model: name that with --escalate"
ALONE = {
    ("run", "hanoi", "--set", "disks=2", *NOISE, "--escalate-after", "3"): NAMED,
    ("solve", "12 * 13", *NOISE, "--escalate-after", "5"): NAMED,
    ("solve", "12 * 13", *NOISE, "--out", "out.jsonl"): "give them with --input",
    ("solve", "12 * 13", *NOISE, "--limit", "1"): "give them with --input",
    (
        "solve",
        "--input",
        "in.jsonl",
        "--out",
        "out.jsonl",
        "--tree",
        "9",
    ): "--tree, -v and --require are for one problem",
    ("solve", "--input", "in.jsonl", "--out", "out.jsonl", "-v"): "--tree, -v and --require are for one problem",
}


@pytest.mark.parametrize("words", ALONE)
def test_an_option_without_its_partner_is_refused(cli, tmp_path, words):
    """The line names the option that is missing, or with which it cannot be combined."""
    (tmp_path / "in.jsonl").write_text('{"question": "12 * 13"}\n')
    before = sorted(tmp_path.iterdir())
    done = cli(*words)
    assert (done.code, ALONE[words] in done.line) == (2, True), done
    assert sorted(tmp_path.iterdir()) == before


def test_a_fork_takes_rounds_only_where_it_escalates(cli, tmp_path):
    """The rounds of a fork are those given, else those of its run; a run that escalates nowhere takes none."""
    short = ("--set", "disks=2", *NOISE, "--max-steps", "1")
    assert cli("run", "hanoi", *short, "--journal", "plain.db").code == 3
    escalating = ("--escalate", "noise/p=1", "--escalate-after", "5")
    assert cli("run", "hanoi", *short, *escalating, "--journal", "two.db").code == 3
    done = cli("fork", "plain.db", "--at", "1", "--out", "other.db", "--escalate-after", "3")
    assert (done.code, done.line) == (2, f"unerring: {NAMED}")
    rounds = {
        (): 5,
        ("--escalate-after", "2"): 2,
        ("--escalate", "noise/p=0.9"): 5,
        ("--model", "noise/p=0.8", "--escalate", "noise/p=0.9", "--escalate-after", "4"): 4,
    }
    for number, (words, expected) in enumerate(rounds.items()):
        out = tmp_path / f"{number}.db"
        assert cli("fork", "two.db", "--at", "1", "--out", out, *words).code == 0
        assert opening_entry(out).policy["escalate_after"] == expected, words
