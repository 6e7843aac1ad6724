"""A journal from elsewhere neither chooses which code is imported nor where a key is sent."""

import stat
import sys
from dataclasses import replace

import pytest
from command_runs import LEDGER, NOISE

import unerring
from faults.process import running
from parked_runs import parked, torn
from unerring import InputError
from unerring.adapters.sqlite.writer import SqliteJournal
from unerring.adapters.trust.known_journals import MAX_KNOWN_RUNS, StateUnusable, is_known, remember
from unerring.api.journals import review as reviewing
from unerring.core.journal.entries import Opened
from unerring.core.journal.review_entries import Redrawn

KEY = "sk-canary-4f1e9b2c7d8a6053aa17"
MODEL = """
from pathlib import Path

Path("imported").touch()

def ask(prompt, settings):
    value = int(prompt.split()[1])
    return f"it is {2 * value}."
"""


@pytest.fixture
def elsewhere(monkeypatch, tmp_path_factory):
    """Act as another user's machine from here on: forget imported modules and known runs."""

    def moved():
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("elsewhere")))
        for name in ("ledger", "own"):
            sys.modules.pop(name, None)

    return moved


@pytest.fixture
def own(tmp_path, ledger):
    """A process and a model of the user that each leave a file when they are imported."""
    (tmp_path / "ledger.py").write_text(f'from pathlib import Path\n\nPath("imported").touch()\n{LEDGER}')
    (tmp_path / "own.py").write_text(MODEL)
    return tmp_path / "imported"


def test_code_that_only_a_foreign_journal_names_is_not_imported(cli, own, elsewhere):
    """No command imports a process or model that only a foreign journal names; the message says what to give."""
    for name, words in (
        ("process", ["ledger:Ledger", *NOISE]),
        ("model", ["hanoi", "--set", "disks=3", "--k", "1", "--model", "own:ask"]),
    ):
        assert cli("run", *words, "--journal", f"{name}.db", "--max-steps", 1).code != 0
    elsewhere()
    own.unlink()
    refused = "was not begun by you on this machine"
    for words in (["verify"], ["review"], ["resume"], ["report"], ["export"], ["review", "--resample"]):
        for journal in ("process.db", "model.db"):
            done = cli(words[0], journal, *words[1:])
            assert not own.exists(), f"{words} {journal} imported what it names"
            if words[0] == "resume":
                assert done.code == 2
                assert refused in done.line
                assert "--trust" in done.line
    found = cli("verify", "process.db")
    assert found.code == 3
    assert "the steps were not judged: give --process, or allow it with --trust" in found.err


def test_the_undecided_step_of_a_foreign_journal_is_shown(cli, own, elsewhere, tmp_path):
    """Its question, candidates and flag reasons are shown without importing what the file names."""
    unsure = ("--model", "noise/p=0.6,v=0.8", "--k", "25", "--journal", "run.db")
    assert cli("run", "ledger:Ledger", *unsure).code == 3
    elsewhere()
    (tmp_path / "imported").unlink()
    done = cli("review", "run.db")
    assert "\nasked\n  | double 1\n" in done.out
    assert "\n             reason: not an answer\n" in done.out
    assert done.err.startswith("note: the question is shown as the journal has it: ")
    assert "asked\n  | double 1\n" in cli("report", "run.db", "-v").out
    assert not (tmp_path / "imported").exists()


def test_code_that_a_foreign_journal_names_is_imported_with_permission(cli, own, elsewhere):
    """--process names the code in the command; --trust accepts the names in the journal."""
    cli("run", "ledger:Ledger", *NOISE, "--journal", "run.db", "--max-steps", 1)
    elsewhere()
    assert cli("verify", "run.db", "--process", "hanoi").code == 2
    for words in (["--process", "ledger:Ledger"], ["--trust"]):
        assert "all right by the process's own verifier" in cli("verify", "run.db", *words).out
        assert cli("resume", "run.db", "--max-steps", 1, *words).code == 3
        assert cli("review", "run.db", *words).code == 0


def test_the_users_own_run_continues_wherever_it_is_moved(cli, own, tmp_path):
    """A journal that this user began here is known by its contents when moved, copied, resumed or repaired."""
    cli("run", "ledger:Ledger", *NOISE, "--journal", "run.db", "--max-steps", 1)
    (tmp_path / "deeper").mkdir()
    for suffix in ("", ".head"):
        (tmp_path / f"run.db{suffix}").rename(tmp_path / "deeper" / f"other.db{suffix}")
    moved = tmp_path / "deeper" / "other.db"
    assert cli("resume", moved, "--max-steps", 1).code == 3
    moved.with_name("other.db.head").write_text("cut")
    assert cli("resume", moved, "--repair").code == 0
    assert "Verified" in cli("verify", moved).out


def test_a_known_run_does_not_vouch_for_what_is_written_into_it_later(tmp_path, monkeypatch):
    """A model written into a known journal for one step is refused like a foreign one until the user names it."""
    (tmp_path / "evil.py").write_text(MODEL.replace("int(prompt.split()[1])", "int(prompt.split()[1].rstrip('.'))"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    journal = parked(tmp_path / "run.db")
    writer, entries = SqliteJournal.reopen(journal)
    for _ in entries:
        pass
    writer.append(Redrawn(1, 1.5, "evil:ask"))
    writer.close()
    with pytest.raises(InputError, match="evil:ask"):
        unerring.resume(journal, model=torn)
    assert not (tmp_path / "imported").exists()
    reviewing.decide(journal, model="evil:ask")
    with pytest.raises(unerring.UnerringError) as raised:
        unerring.resume(journal, model=torn)
    assert "was not begun by you" not in str(raised.value)
    assert (tmp_path / "imported").exists()


def test_a_key_is_not_sent_to_a_host_that_only_a_journal_names(cli, monkeypatch, elsewhere, tmp_path):
    """The key goes to a host that only a foreign journal names only with --allow-host or --trust."""
    with running("--model", "m=noise:p=1,v=1") as server:
        host = server.url.partition("://")[2].partition("/")[0]
        model = ("--model", f"openai/m@{server.url}", "--no-probe", "--k", "1")
        sent = lambda: sum(bool(one["authorization"]) for one in server.ledger()["entries"])  # noqa: E731
        assert cli("run", "hanoi", "--set", "disks=3", *model, "--journal", "run.db", "--max-steps", 1).code == 3
        monkeypatch.setenv("UNERRING_API_KEY", KEY)
        assert cli("resume", "run.db", "--no-probe", "--max-steps", 1).code == 3
        assert (before := sent()) > 0, "the key of a run that was begun here goes to its host"
        elsewhere()
        done = cli("resume", "run.db", "--no-probe", "--max-steps", 1)
        assert (done.code, sent()) == (2, before)
        assert f"--allow-host {host}" in done.line
        for words in (["--allow-host", host], ["--allow-host", host.partition(":")[0]], ["--trust"]):
            assert cli("resume", "run.db", "--no-probe", "--max-steps", 1, *words).code == 3
            assert sent() > before, words
            before = sent()
        monkeypatch.setenv("UNERRING_ALLOW_HOSTS", f"gpu-box,{host}")
        assert cli("resume", "run.db", "--no-probe", "--max-steps", 1).code == 3
        assert sent() > before
        monkeypatch.delenv("UNERRING_ALLOW_HOSTS")
        monkeypatch.delenv("UNERRING_API_KEY")
        before = sent()
        assert cli("resume", "run.db", "--no-probe", "--max-steps", 1).code in {0, 3}, "without a key nothing is asked"
        assert sent() == before


def test_a_key_does_not_travel_in_the_clear(cli, monkeypatch):
    """A key is sent over plain http only to this machine or to a host that the user allows; one line says so."""
    monkeypatch.setenv("UNERRING_API_KEY", KEY)
    run = ("run", "hanoi", "--set", "disks=2", "--k", "1", "--no-probe", "--patience", "0", "--model")
    for model in ("openai/m@http://gpu.invalid:8000/v1", "openai-batch/m@http://gpu.invalid:8000/v1"):
        done = cli(*run, model)
        assert done.code == 2
        assert "--allow-host gpu.invalid:8000" in done.line
        assert KEY not in done.line
    assert cli(*run, "openai/m@http://gpu.invalid:8000/v1", "--allow-host", "gpu.invalid").code == 3
    assert cli(*run, "openai/m@http://127.0.0.1:9/v1").code == 3
    wrong = cli(*run, "openai/m@http://127.0.0.1:9/v1", "--allow-host", f"http://me:{KEY}@gpu/")
    assert wrong.code == 2
    assert KEY not in wrong.line
    monkeypatch.setenv("UNERRING_API_KEY", "EMPTY")  # a placeholder that local servers want, and no secret
    assert cli(*run, "openai/m@http://gpu.invalid:8000/v1").code == 3


def an_opening(seed):
    return Opened("ledger:Ledger", {}, "own:ask", {}, seed, "0", None, "unerring", 1.5)


def test_without_a_state_directory_no_run_is_known(cli, own, monkeypatch, tmp_path, caplog):
    """Without a state directory a run continues only with --trust, as its start says."""
    (tmp_path / "file").touch()
    (tmp_path / "shared" / "unerring").mkdir(parents=True)
    (tmp_path / "shared" / "unerring").chmod(0o777)
    for number, (state, home) in enumerate(
        [
            ("", None),
            ("relative", None),
            ("", "relative"),
            (str(tmp_path / "file"), None),
            (str(tmp_path / "shared"), None),
        ]
    ):
        environ = {"XDG_STATE_HOME": state} | ({} if home is None else {"HOME": home})
        with pytest.raises(StateUnusable):
            remember(an_opening(number), environ=environ)
        assert not is_known(an_opening(number), environ=environ)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert cli("run", "ledger:Ledger", *NOISE, "--journal", "run.db", "--max-steps", 1).code == 3
    assert "cannot remember that you began this run" in caplog.text
    assert cli("resume", "run.db").code == 2
    assert cli("resume", "run.db", "--trust").code == 0
    caplog.clear()
    assert cli("run", "hanoi", "--set", "disks=2", *NOISE, "--journal", "h.db").code == 0
    assert not caplog.text, "a run of what ships needs no note"


def test_a_run_is_known_by_all_that_decides_where_it_sends():
    """A first entry with another process, parameter, model or request field is a foreign one."""
    own = an_opening(4)
    remember(own)
    assert is_known(own)
    for changed in (
        {"process": "other:Ledger"},
        {"parameters": {"path": "/"}},
        {"model": "other:ask"},
        {"request": {"extra": {"x": 1}}},
        {"start": "1"},
        {"seed": 5},
        {"time": 2.5},
    ):
        assert not is_known(replace(own, **changed)), changed
    assert not is_known(own, "other:ask")


def test_the_list_is_private_and_bounded(tmp_path):
    """Only this user can read the list; it keeps the latest runs, and a line cut by a kill spoils no other."""
    environ = {"HOME": str(tmp_path)}
    folder = tmp_path / ".local" / "state" / "unerring"
    remember(an_opening(1), environ=environ)
    listed = folder / "known-journals"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(listed.stat().st_mode) == 0o600
    listed.write_bytes(b"f" * 20)
    remember(an_opening(2), environ=environ)
    assert is_known(an_opening(2), environ=environ)
    listed.write_bytes(b"".join(b"%032x\n" % number for number in range(2 * MAX_KNOWN_RUNS)))
    remember(an_opening(3), environ=environ)
    assert is_known(an_opening(3), environ=environ)
    assert len(listed.read_bytes().splitlines()) == MAX_KNOWN_RUNS + 1
