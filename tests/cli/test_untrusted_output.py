"""Control characters in a model's text are escaped wherever the command line shows it."""

from command_runs import LEDGER, NOISE

import unerring
from unerring import Sample

HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202egnp.exe\r"


def test_a_models_text_cannot_reach_the_terminal_through_an_error(cli, tmp_path):
    """Control characters of a model's answer are escaped in errors that quote it, and in the report."""
    hostile = LEDGER.replace("return int(text", f"raise ValueError('cannot read ' + {HOSTILE!r}) #")
    (tmp_path / "ledger.py").write_text(hostile)
    done = cli("run", "ledger:Ledger", *NOISE, "--journal", "run.db")
    assert "\\x1b[2J" in done.line
    for shown in (done.err, cli("report", "run.db").out, cli("verify", "run.db").err):
        assert "cannot read" in shown or "finished" in shown
        assert all(char.isprintable() or char == "\n" for char in shown)


def test_a_models_text_cannot_reach_the_terminal_through_a_verdict(cli, tmp_path):
    """Control characters of a wrong choice are escaped in a verifier's message."""
    hostile = LEDGER.replace("return int(text", f"return {HOSTILE!r} #").replace(
        "int(prompt.split()[1])", "len(prompt)"
    )
    (tmp_path / "ledger.py").write_text(hostile)
    cli("run", "ledger:Ledger", *NOISE, "--journal", "run.db")
    done = cli("verify", "run.db")
    assert done.code == 1
    assert "\\x1b[2J" in done.line
    assert done.err.rstrip("\n").isprintable()


def test_a_voters_name_is_inert(cli, tmp_path):
    """The model's name that a provider sends is escaped like other untrusted text."""

    class One:
        def start(self):
            return 0

        def subtask(self, state):
            return None if state else unerring.Subtask("say", str)

        def advance(self, state, choice):
            return 1

    unerring.run(One(), lambda p, s: Sample("a", voter=HOSTILE), tmp_path / "run.db", k=1)
    shown = cli("report", "run.db").out
    assert "\\x1b[2J" in shown
    assert all(char.isprintable() or char == "\n" for char in shown)
