"""Files that are no journals, journals of later versions, and malicious journals."""

import json
import os
import re
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

import pytest
from journal_files import NOISE, POLICY, VOTER, Ran, cli, exported, forged, opening, process, sample, sql, start

import unerring
from unerring.adapters.sqlite.schema import APPLICATION_ID
from unerring.api.journals.verify import verify
from unerring.core.journal.entries import JOURNAL_VERSION
from unerring.errors import JournalTooNew, NotAJournal
from unerring.testing import ScriptedSampler

COMMANDS = (
    ["verify"],
    ["verify", "--json"],
    ["report"],
    ["report", "--json"],
    ["export"],
    ["export", "--what", "votes"],
    ["export", "--what", "votes", "--format", "csv"],
    ["resume"],
    ["resume", "--repair"],
)


def assert_one_line(ran: Ran, *codes: int) -> str:
    """Assert that the command failed with one of these codes and one line that blames no user code; return it."""
    assert ran.code in codes, ran
    assert "own code" not in ran.line
    assert "Traceback" not in ran.err
    return ran.line


# What is no journal


def text_file(path: Path) -> None:
    path.write_text("Dear diary,\n" * 100)


def empty_file(path: Path) -> None:
    path.write_bytes(b"")


def directory(path: Path) -> None:
    path.mkdir()


def missing(path: Path) -> None:
    pass


def missing_folder(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere") / "journal.db")


def random_bytes(path: Path) -> None:
    path.write_bytes(os.urandom(20_000))


def other_database(path: Path) -> None:
    sql(
        path,
        "CREATE TABLE entries (seq INTEGER PRIMARY KEY, body BLOB, hash BLOB)",
        "INSERT INTO entries DEFAULT VALUES",
    )


def sqlite_magic_alone(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0")


NO_JOURNALS = [
    text_file,
    empty_file,
    directory,
    missing,
    missing_folder,
    random_bytes,
    other_database,
    sqlite_magic_alone,
]


@pytest.mark.parametrize("make", NO_JOURNALS)
def test_a_file_that_is_no_journal_is_bad_input(path: Path, make):
    """Every command that reads a journal says in one line that this is none, exits with 2, and writes nothing."""
    make(path)
    before = sorted(path.parent.iterdir())
    for command in COMMANDS:
        line = assert_one_line(cli(*command, path), 2)
        assert str(path) in line
    assert sorted(path.parent.iterdir()) == before


@pytest.mark.parametrize("make", [text_file, empty_file, directory, random_bytes, other_database])
def test_a_run_never_overwrites_what_is_no_journal(path: Path, make):
    """A run whose journal would replace another file exits with 2 and changes nothing."""
    make(path)
    before = path.read_bytes() if path.is_file() else None
    assert_one_line(cli("run", "hanoi", "--model", NOISE, "--k", 3, "--journal", path), 2)
    assert (path.read_bytes() if path.is_file() else None) == before


def test_a_run_does_not_overwrite_a_journal(path: Path):
    """A run whose --journal holds another run exits with 2 and names the command that continues that one."""
    start(path)
    before = path.read_bytes()
    ran = cli("run", "hanoi", "--model", NOISE, "--k", 3, "--journal", path)
    assert f"unerring resume {path}" in assert_one_line(ran, 2)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["nowhere/j.db", "x" * 252, "x" * 300])
def test_a_journal_that_cannot_be_made_is_bad_input(path: Path, name: str):
    """A journal in a missing folder or with too long a name ends the run with one line and exit code 2."""
    ran = cli("run", "hanoi", "--model", NOISE, "--k", 3, "--journal", path.parent / name)
    assert_one_line(ran, 2)
    assert not list(path.parent.iterdir())


def test_not_a_journal_is_an_input_error(path: Path):
    """In Python the error is `NotAJournal`, an `InputError`."""
    text_file(path)
    with pytest.raises(NotAJournal):
        verify(path)
    assert issubclass(NotAJournal, unerring.InputError)


# Journals of the future


@pytest.mark.parametrize(
    "make",
    [
        lambda path: forged(path, [opening()], version=JOURNAL_VERSION + 1),
        lambda path: forged(path, [opening(), b'["teleported",1,2]']),
        lambda path: forged(path, [json.dumps(["opened", JOURNAL_VERSION + 1, {"new": "fields"}]).encode()]),
    ],
    ids=["file version", "entry kind", "opening version"],
)
def test_a_journal_of_a_later_version_says_upgrade(path: Path, make):
    """A newer file version, entry kind or opening version is `JournalTooNew`, with one line that says to upgrade."""
    make(path)
    for command in COMMANDS:
        line = assert_one_line(cli(*command, path), 1, 2, 3)
        assert "upgrade unerring" in line
        assert "damaged" not in line
    with pytest.raises(JournalTooNew):
        verify(path)


# Journals that mean harm


def test_verifying_a_journal_runs_nothing_that_it_names(path: Path):
    """If a journal names a program start as its process, no command calls it, since it is no chain."""
    touched = path.with_name("touched")
    forged(path, [opening(process="subprocess:Popen", parameters={"args": ["touch", str(touched)]})])
    for command in COMMANDS:
        cli(*command, path)
    with pytest.raises(unerring.UnerringError):
        unerring.resume(path)
    process("verify", path)
    assert not touched.exists()


def test_reading_a_journal_does_not_import_what_it_names(path: Path, monkeypatch: pytest.MonkeyPatch):
    """Report and export show a run of any process without importing its module."""
    (path.parent / "planted.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(path.parent)
    forged(path, [opening(process="planted:Chain")])
    assert [cli(*command, path).code for command in (["report"], ["export"])] == [0, 0]


def test_text_that_looks_like_sql_is_text(path: Path):
    """SQL, quotes and control characters in answers, parameters and names are stored and shown unchanged."""
    evil = "'); DROP TABLE entries; -- \x1b[2J \x00 \u202e"

    class Asks:
        def start(self) -> int:
            return 0

        def subtask(self, state: int) -> unerring.Subtask | None:
            return None if state else unerring.Subtask(evil, lambda text: text)

        def advance(self, state: int, choice: str) -> int:
            return 1

        def parameters(self) -> dict[str, str]:
            return {evil: evil}

    model = ScriptedSampler([unerring.Sample(evil, voter=evil)])
    unerring.run(Asks(), model, path, k=1)
    assert verify(path).steps == 1
    (vote,) = exported(path, "votes").splitlines()
    assert (json.loads(vote)["text"], json.loads(vote)["voter"], json.loads(vote)["choice"]) == (evil, evil, evil)
    for command in (["report"], ["verify"], ["export"]):
        ran = cli(*command, path)
        assert "\x1b" not in ran.out + ran.err


ROWS = {
    "process of another type": [opening(process=5)],
    "process a list": [opening(process=[1])],
    "process without a name": [opening(process=":")],
    "parameters a list": [opening(parameters=[1])],
    "start no text": [opening(start=5)],
    "length no number": [opening(length="x")],
    "seed no number": [opening(seed="x")],
    "model no text": [opening(model=5)],
    "model that is none": [opening(model="\x1b[31m evil")],
    "time no number": [opening(time="soon")],
    "policy a list": [opening(policy=[])],
    "policy without a cap": [opening(policy=POLICY | {"vote_cap": 0})],
    "policy with a huge rule": [opening(policy=POLICY | {"rule": "ahead-by " + "9" * 5000})],
    "opening without fields": [b'["opened",1]'],
    "opening with a number": [b'["opened",1,5]'],
    "opening twice": [opening(), opening()],
    "no opening": [VOTER],
    "choice that is no JSON": [opening(), VOTER, sample("not JSON"), b'["c",0,"x"]'],
    "choice nested deeply": [opening(), VOTER, sample("[" * 100_000), b'["c",0,"x"]'],
    "choice of another process": [opening(), VOTER, sample('{"move":[1,0,2]}'), b'["c",0,"x"]'],
    "choice a huge number": [opening(), VOTER, sample("9" * 5000), b'["c",0,"x"]'],
    "choice a list": [opening(), VOTER, sample([1]), b'["c",0,"x"]'],
    "step no number": [opening(), VOTER, sample(step="a")],
    "step below zero": [opening(), VOTER, sample(step=-1)],
    "slot no number": [opening(), VOTER, sample(slot="a")],
    "slot not asked for": [opening(), VOTER, sample(slot=10**9)],
    "text a list": [opening(), VOTER, sample(text=[1])],
    "text a number that is not there": [opening(), VOTER, sample(text=7)],
    "tokens no numbers": [opening(), VOTER, b'["r",0,0,"t","1",null,"a","b",0,null,0]'],
    "flag of no kind": [opening(), VOTER, b'["r",0,0,"t",null,"odd",1,1,0,null,0]'],
    "too many fields": [opening(), VOTER, b'["r",0,0,"t","1",null,1,1,0,null,0,"id","more"]'],
    "voter a list": [opening(), b'["v",[],"n"]'],
    "voter without a name": [opening(), VOTER.replace(b'"voter"', b"5"), sample('{"a":1}')],
    "intent for nothing": [opening(), b'["i",0,0,null]'],
    "intent for very much": [opening(), b'["i",0,0,1000000000000]'],
    "failure of very much": [opening(), b'["f",0,0,1000000000000,"x"]'],
    "commit of no step": [opening(), b'["c",[],"x"]'],
    "commit not won": [opening(), b'["c",0,"x"]'],
    "caps no numbers": [opening(), b'["resumed",0,"a","b"]'],
    "end at no step": [opening(), b'["finished",[],0]'],
    "pause of numbers": [opening(), b'["paused",1,2,3]'],
    "body nested deeply": [opening(), b"[" * 200_000],
    "body with a huge number": [opening(), b'["c",' + b"9" * 5000 + b',"x"]'],
    "body an object": [opening(), b'{"lc":1,"type":"constructor","id":["os","system"]}'],
    "body null": [opening(), b"null"],
    "body empty": [opening(), b""],
    "body half deflated": [opening(), b"\0\x01\x02"],
    "body no UTF-8": [opening(), b'["c",0,"\xff"]'],
    "body a text": [opening(), "text"],
    "body missing": [opening(), None],
    "body a number": [opening(), 5],
    "kind a list": [opening(), b'[["r"]]'],
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("bodies", ROWS.values(), ids=ROWS)
def test_hostile_entries_end_in_one_line(path: Path, bodies: list[object]):
    """Verify, report and export of forged entries with matching hashes succeed or fail with one line."""
    forged(path, bodies)
    for command in COMMANDS[:7]:
        ran = cli(*command, path)
        if ran.code:
            assert_one_line(ran, 1, 2, 3)


# its choices can be advanced over by a chain of another make only: that one's code has to say so
RESUMED = {name: bodies for name, bodies in ROWS.items() if name != "choice of another process"}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("bodies", RESUMED.values(), ids=RESUMED)
def test_forged_entries_are_not_resumed_into_a_crash(path: Path, bodies: list[object]):
    """Resuming a forged journal continues, or ends with one line that does not blame the user's code."""
    forged(path, bodies)
    ran = cli("resume", path, "--max-steps", 1)
    if ran.code:
        assert_one_line(ran, 1, 2, 3)


def bomb(size: int) -> bytes:
    """A compressed body that expands to `size` MiB of JSON."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -12)
    start = squeezer.compress(b'["paused","') + squeezer.flush(zlib.Z_FULL_FLUSH)
    block = squeezer.compress(b"a" * (1 << 20)) + squeezer.flush(zlib.Z_FULL_FLUSH)
    return b"\0" + start + block * size + squeezer.compress(b'","x",0]') + squeezer.flush()


LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_AS, ({0} << 20, {0} << 20))"


def test_a_deflate_bomb_does_not_fill_the_memory(path: Path):
    """An entry that expands from a megabyte to a gigabyte is refused in one line, within a gigabyte of memory."""
    forged(path, [opening(), bomb(1024)])
    assert path.stat().st_size < 4 << 20
    for command in (["verify"], ["report"], ["resume"]):
        assert_one_line(process(*command, path, before=LIMITED.format(1024)), 1, 2)


def test_a_long_answer_is_no_bomb(path: Path):
    """An ordinary answer of eight million characters is stored and read back."""
    text = "long answer " * 700_000

    class Asks(unerring.Hanoi):
        def subtask(self, state: object) -> unerring.Subtask | None:
            asked = super().subtask(state)
            return asked and unerring.Subtask("?", lambda _: {"move": [1, 0, 2], "next_state": [[], [], [1]]})

    unerring.run(Asks(1), ScriptedSampler([text]), path, k=1)
    assert json.loads(exported(path, "votes"))["text"] == text


ENDLESS = (
    "CREATE VIEW entries AS WITH RECURSIVE n(seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM n) "
    "SELECT seq, x'00' AS body, x'00' AS hash FROM n"
)
COLUMNS = (
    "CREATE TABLE entries (seq INTEGER PRIMARY KEY, body AS (zeroblob(seq * 900000000)), hash)",
    "INSERT INTO entries (seq, hash) VALUES (1, x'00')",
)


@pytest.mark.parametrize("statements", [[ENDLESS], COLUMNS], ids=["endless view", "swelling column"])
def test_a_journal_whose_table_is_a_program_is_refused(path: Path, statements: list[str]):
    """An endless view or a column that computes gigabytes in place of the table is refused in one line."""
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {JOURNAL_VERSION}")
        for statement in statements:
            database.execute(statement)
        database.commit()
    ran = process("verify", path, before=LIMITED.format(512), timeout=30)
    line = assert_one_line(ran, 1, 2)
    assert re.search("damaged|not an unerring journal", line)
