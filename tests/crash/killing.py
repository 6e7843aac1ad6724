"""Run processes, kill them at chosen moments, and read their journals."""

import io
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from stretch import Keeper, Stretch

from unerring.adapters.sqlite.head import read_mark
from unerring.adapters.sqlite.writer import JournalReader
from unerring.api.journals import history as reading
from unerring.api.journals.verify import verify
from unerring.cli.main import command_line
from unerring.core.journal.codec import encode
from unerring.core.journal.entries import Entry, Replies, Reply
from unerring.core.journal.state import RunState

if TYPE_CHECKING:  # a process that is killed starts without the folder of the fault server on its path
    from faults.ledger import Ledger, Totals

HERE = Path(__file__).parent
POLL_SECONDS = 0.001
PATIENCE_SECONDS = 100.0
NAP_SECONDS = 0.15  # three ticks of the journal's clock: an end falls between two commits, and inside one


def cli(*words: object) -> list[str]:
    """The command line of the package, in a process of its own."""
    return [sys.executable, "-m", "unerring", *(str(word) for word in words)]


def driver(*words: object) -> list[str]:
    """The paid run of `crash_driver.py`."""
    return [sys.executable, str(HERE / "crash_driver.py"), *(str(word) for word in words)]


@dataclass
class Ended:
    """A process's exit code and stderr."""

    code: int
    err: str


class Life:
    """One process that works on a journal, from its start to its end."""

    def __init__(self, command: Sequence[str], journal: Path, stretch: Stretch | None = None) -> None:
        self.journal = journal
        self._log = journal.with_name("stderr.txt")
        self._keeper = None if stretch is None else Keeper(stretch, PATIENCE_SECONDS)
        with self._log.open("wb") as log, ExitStack() as inherited:
            more: dict[str, Any] = {}
            if self._keeper is not None:
                socket = inherited.enter_context(self._keeper.theirs)
                more = {"env": self._keeper.environment(), "pass_fds": [socket.fileno()]}
            self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, cwd=HERE, **more)

    def over(self, seconds: float) -> bool:
        """Whether the process ends by itself within so many seconds."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def reaches(self, entries: int) -> bool:
        """Watch the head file until so many entries are acknowledged; False if the process ended before."""
        for _ in range(int(PATIENCE_SECONDS / POLL_SECONDS)):
            if acknowledged(self.journal) >= entries:
                return True
            if self.over(POLL_SECONDS):
                return False
        raise AssertionError(f"{entries} entries were not reached in {PATIENCE_SECONDS} s")

    def happens(self, ledger: "Ledger", condition: "Callable[[Totals], bool]") -> bool:
        """Wait until a server's requests meet a condition; False where the process ends before."""
        return happens(self._process, ledger, condition)

    def some_moment(self, chance: Random, most: float = NAP_SECONDS) -> None:
        """Wait until the run has reached its stretch, and then for a random time: before its end, or paused there."""
        assert self._keeper is not None
        assert self._keeper.met(), self._log.read_text()
        self.over(chance.uniform(0.0, most))

    def let_on(self) -> None:
        """Let the run continue beyond its stretch."""
        assert self._keeper is not None
        self._keeper.let_on()

    def says(self, words: str) -> None:
        """Wait until the process has written these words to stderr."""
        for _ in range(int(PATIENCE_SECONDS / POLL_SECONDS)):
            over = self.over(POLL_SECONDS)  # asked first: what it has said by its end is all that it says
            if words in self._log.read_text():
                return
            assert not over, self._log.read_text()
        raise AssertionError(f"it did not say {words!r} in {PATIENCE_SECONDS} s")

    def send(self, number: signal.Signals) -> None:
        """Send a signal; the process may be gone already."""
        self._process.send_signal(number)

    def ended(self) -> Ended:
        """Wait for the end."""
        code = self._process.wait(PATIENCE_SECONDS)
        return Ended(code, self._log.read_text())

    def kill(self) -> None:
        """Kill it at once."""
        self._process.kill()
        self._process.wait(PATIENCE_SECONDS)
        if self._keeper is not None:
            self._keeper.let_on()


@contextmanager
def life(command: Sequence[str], journal: Path, stretch: Stretch | None = None) -> Iterator[Life]:
    """A process that does not outlive the test, and pauses at the end of its stretch."""
    made = Life(command, journal, stretch)
    try:
        yield made
    finally:
        made.kill()


def happens(process: subprocess.Popen[Any], ledger: "Ledger", condition: "Callable[[Totals], bool]") -> bool:
    """Wait until a server's requests meet a condition; False if the process ends before."""
    ended = Event()

    def outlive() -> None:
        process.wait()
        ended.set()
        ledger.wake()

    Thread(target=outlive, daemon=True).start()  # it ends with the process
    met = ledger.wait_for(lambda totals: condition(totals) or ended.is_set(), PATIENCE_SECONDS)
    assert met, f"it did not happen in {PATIENCE_SECONDS} s"
    return not ended.is_set()


def acknowledged(journal: Path) -> int:
    """How many entries the head file has as durable; 0 if there is none yet."""
    mark = read_mark(journal)
    return mark.entries if mark else 0


def entries_of(journal: Path) -> list[Entry]:
    """Every entry of a journal, each checked against the chain of hashes; none if there is no journal yet."""
    return list(JournalReader(journal).entries()) if journal.exists() else []


def export(journal: Path, what: str) -> str:
    """What `unerring export` prints."""
    out = io.StringIO()
    with redirect_stdout(out):
        assert command_line(["export", str(journal), "--what", what]) == 0
    return out.getvalue()


@dataclass
class Watch:
    """The journal as read after each end of a process, to be compared with later readings."""

    journal: Path
    seen: list[bytes] = field(default_factory=list)
    looks: int = 0

    def look(self, promised: int) -> list[Entry]:
        """Read the journal, and assert that everything seen or acknowledged before is there, in the same place."""
        entries = entries_of(self.journal)
        bodies = [encode(entry) for entry in entries]
        assert len(bodies) >= promised, f"{promised} entries were acknowledged, {len(bodies)} are there"
        assert bodies[: len(self.seen)] == self.seen, "an entry that was visible before is gone, or another"
        self.seen = bodies
        self.looks += 1
        return entries


def assert_each_once(journal: Path) -> list[Reply]:
    """Assert that every sample of every step and state is in the journal once, and that the report counts these.

    Returns them.
    """
    state, replies, names = RunState(), [], set()
    for entry in entries_of(journal):
        if isinstance(entry, Replies):
            replies += entry.replies
            names |= {(reply.step, reply.slot, entry.at or state.last_digest) for reply in entry.replies}
        state.apply(entry)
    assert len(names) == len(replies)
    samples = reading.report(journal)["samples"]
    votes = sum(reply.choice is not None for reply in replies)
    assert (samples["received"], samples["voted"]) == (len(replies), votes)
    return replies


def assert_same_result(journal: Path, truth: Path) -> None:
    """Assert that the journal verifies, and that its steps and votes are those of the uninterrupted run."""
    found = verify(journal)
    assert (found.finished, found.judged, found.problem) == (True, True, None)
    for what in ("steps", "votes"):
        assert export(journal, what) == exported(truth, what)


exported = cache(export)  # of a journal that does not change any more
