"""Messages say what is wrong and what helps: empty names, single steps, models that a provider does not have."""

import errno
import json
import sys

from command_runs import NOISE

from unerring.adapters.sqlite.head import HeadFile
from unerring.adapters.terminal import awaited_line

GONE = """
from unerring.errors import ProviderDown

def gone(prompt):
    raise ProviderDown("no model is called so", status=404)
"""


def test_an_empty_file_name_is_named_as_such(cli):
    """An empty file name, as from an unset shell variable, is not read as the current folder."""
    wrong = {}
    for words in (("report", ""), ("verify", ""), ("resume", ""), ("run", "hanoi", "--journal", "")):
        done = cli(*words)
        if done.code != 2 or "the name of the file is empty" not in done.err:
            wrong[words] = done
    assert not wrong


def test_an_unknown_model_of_a_provider_advises_a_new_run(cli, tmp_path):
    """After a 404 the message advises a new run, since resuming helps only once the provider has the model."""
    (tmp_path / "absent.py").write_text(GONE)
    done = cli("run", "hanoi", "--set", "disks=2", "--k", "2", "--model", "absent:gone", "--journal", "r.db")
    assert done.code == 3
    assert "for another model start a new run; once the provider has this one: unerring resume r.db" in done.err
    assert "continue with" not in done.err


def test_no_calls_in_flight_are_not_counted():
    """If no call is in flight, the stop line does not speak of waiting."""
    assert awaited_line(0, 9.0) == "stopping; Ctrl-C again stops at once"
    assert "waiting for 1 call in flight" in awaited_line(1, 9.0)


def test_a_failing_module_is_named_without_python_terms(cli, ledger, tmp_path):
    """A module that fails is named with its error; for a missing class the message offers --process."""
    assert cli("run", "ledger:Ledger", *NOISE, "--max-steps", "1", "--journal", "r.db").code == 3
    for code, said in (("def (", "SyntaxError"), ("raise SystemExit(1)", "SystemExit"), ("x = 1", "--process")):
        (tmp_path / "ledger.py").write_text(code)
        sys.modules.pop("ledger", None)
        done = cli("resume", "r.db")
        assert said in done.line
        assert "`" not in done.line


def test_a_full_disk_names_the_command_that_continues(cli, tmp_path, monkeypatch):
    """A stop by a full disk names the next command, also in JSON."""
    run = ("run", "hanoi", "--set", "disks=3", *NOISE, "--journal", "r.db")
    assert cli(*run, "--max-steps", "1").code == 3

    def full(self, mark):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(HeadFile, "mark", full)
    for words in (("resume", "r.db"), run):
        done = cli(*words, "--json")
        assert done.code == 3
        assert json.loads(done.out)["next"] == "unerring resume r.db"
