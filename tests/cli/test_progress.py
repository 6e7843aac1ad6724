"""Progress on stderr: a live line on a terminal, occasional plain lines elsewhere, nothing with --json."""

import io
import os
import re
import threading
from types import SimpleNamespace

import pytest

from unerring import Hanoi, Options, run
from unerring.adapters import terminal as terminal_lines
from unerring.adapters.terminal import LOG_SECONDS, REFRESH_SECONDS
from unerring.cli import progress
from unerring.cli.progress import Progress
from unerring.core.journal.decided_step import DecidedStep
from unerring.core.journal.entries import Opened
from unerring.core.journal.state import RunState
from unerring.core.voting.policy import Policy
from unerring.core.voting.redflag import FlagKind
from unerring.testing import NoisySampler

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def clock(monkeypatch):
    """The time that progress reads; it moves only when a test moves it."""
    now = SimpleNamespace(seconds=1_000.0)
    for module in (progress, terminal_lines):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def state(committed=0, length=1000, flagged=0, plan=None):
    """A run's state, with the fields that progress reads."""
    made = RunState()
    made.opened = Opened("p", {}, "m", Policy().to_json(), 0, "0", length, "tests", 0.0, plan=plan)
    made.committed = committed
    made.flags[FlagKind.MALFORMED] = flagged
    return made


def decided(step, *tally):
    return DecidedStep(step, '"a"', tally or (3,), 0, 1, ())


class Terminal:
    """A pseudo-terminal: write to `stream`, then read everything written with `shown()`."""

    def __init__(self):
        self._reader, writer = os.openpty()
        self.stream = os.fdopen(writer, "w", encoding="utf-8")
        self._chunks = []
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self):
        while True:
            try:
                chunk = os.read(self._reader, 4096)
            except OSError:  # the other end is closed
                return
            if not chunk:
                return
            self._chunks.append(chunk)

    def shown(self):
        """Everything written, once the stream is closed."""
        self.close()
        return b"".join(self._chunks).decode()

    def close(self):
        if not self.stream.closed:
            self.stream.close()
            self._thread.join(30)
            os.close(self._reader)


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    made = []

    def open_one(columns=120):
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("LINES", "30")
        made.append(Terminal())
        return made[-1]

    yield open_one
    for one in made:
        one.close()


def watched(stream, clock, steps, quiet=False, length=1000, seconds=1.0):
    """Progress after so many steps, `seconds` apart, of which every fourth had dissent."""
    with Progress(stream, quiet) as made:
        for step in range(steps):
            clock.seconds += seconds
            made.decided(decided(step, *((4, 1) if step % 4 == 3 else (3,))), state(step + 1, length, step // 2))
    return made


FIGURES = [
    "step 100 of 1,000 (10%)",
    "2 steps/s",
    "7 min 30 s to go",
    "3.50 votes a step",
    "49 flagged",
    "25 steps with dissent",
]


def test_a_terminal_shows_a_live_line_with_all_the_figures(terminal, clock):
    """The line has steps, rate, time left, votes a step, flags and dissent, and is updated in place."""
    one = terminal(200)
    watched(one.stream, clock, 100, seconds=0.5)
    raw = one.shown()
    plain = ESCAPE.sub("", raw)
    assert [figure for figure in FIGURES if figure not in plain] == []
    assert "\x1b[2K" in raw  # lines are erased, not left to scroll by


@pytest.mark.parametrize("columns", [80, 100, 140])
def test_an_ordinary_terminal_is_wide_enough(terminal, clock, columns):
    """On 80 columns no figure is cut off."""
    one = terminal(columns)
    watched(one.stream, clock, 100, seconds=0.5)
    plain = " ".join(ESCAPE.sub("", one.shown()).split())
    assert [figure for figure in FIGURES if figure not in plain] == []


def test_the_live_line_is_gone_at_the_end(terminal, clock):
    """At the end the line is erased and the cursor is visible."""
    one = terminal()
    watched(one.stream, clock, 10)
    raw = one.shown()
    assert raw.rindex("\x1b[?25h") > raw.rindex("\x1b[?25l")
    assert ESCAPE.sub("", raw[raw.rindex("\x1b[?25h") :]).strip() == ""


def screen(raw):
    """The lines that a terminal shows after all carriage returns, cursor movements and erasures."""
    lines, row, column = [""], 0, 0
    for piece in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", raw):
        if piece == "\r":
            column = 0
        elif piece == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif piece.startswith("\x1b["):
            count = int(piece[2:-1]) if piece[2:-1].isdigit() else 1
            row = max(0, row - count) if piece[-1] == "A" else row
            lines[row] = "" if piece == "\x1b[2K" else lines[row]
        else:
            lines[row] = lines[row][:column].ljust(column) + piece + lines[row][column + len(piece) :]
            column += len(piece)
    return [line.rstrip() for line in lines if line.strip()]


@pytest.mark.parametrize("columns", [80, 140])
def test_a_new_journals_name_stays_on_the_screen(terminal, clock, columns):
    """The name of a new journal stays readable above the live lines and after them."""
    one = terminal(columns)
    with Progress(one.stream, journal="run-1.db") as made:
        for step in range(20):
            clock.seconds += 1
            made.decided(decided(step), state(step + 1))
    assert screen(one.shown()) == ["journal: run-1.db"]


def test_the_cursor_is_visible_after_an_error(terminal, clock):
    """The cursor is visible again also after a run that ended with an error."""
    one = terminal()

    def failing():
        with Progress(one.stream) as made:
            clock.seconds += 1
            made.decided(decided(0), state(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    raw = one.shown()
    assert raw.rindex("\x1b[?25h") > raw.rindex("\x1b[?25l")


def test_a_quiet_run_writes_nothing_to_a_terminal(terminal, clock):
    """With --json not even cursor movements are written."""
    one = terminal()
    watched(one.stream, clock, 100, quiet=True)
    assert one.shown() == ""


def test_a_log_gets_a_plain_line_every_ten_seconds(clock):
    """A log gets one line every ten seconds, with the same figures and no escapes."""
    log = io.StringIO()
    watched(log, clock, 100, seconds=0.5)
    lines = log.getvalue().splitlines()
    assert len(lines) == 5
    assert lines[-1] == "{}: {}, {}; {}, {}, {}".format(*FIGURES)
    assert "\x1b" not in log.getvalue()


def test_a_quiet_run_writes_nothing_to_a_log(clock):
    """With --json stderr stays empty however long the run takes."""
    log = io.StringIO()
    watched(log, clock, 100, quiet=True, seconds=60)
    assert log.getvalue() == ""


def test_a_short_run_writes_no_line_at_all(clock):
    """A run of less than ten seconds writes nothing to a log."""
    log = io.StringIO()
    watched(log, clock, 100, seconds=0.01)
    assert log.getvalue() == ""


def test_steps_are_counted_even_where_nothing_is_shown(clock):
    """The number of steps of this session is known also if nothing was shown."""
    assert watched(io.StringIO(), clock, 7, quiet=True).steps == 7


def test_a_chain_of_unknown_length_has_no_time_left(clock):
    """Without a length neither a share nor a time left is shown."""
    log = io.StringIO()
    watched(log, clock, 10, length=None, seconds=2)
    assert log.getvalue().splitlines()[-1].startswith("step 10: ")
    assert "to go" not in log.getvalue()
    assert "%" not in log.getvalue()


def test_slow_steps_are_not_shown_as_none(clock):
    """A rate below one step a second has enough digits not to be shown as 0."""
    log = io.StringIO()
    watched(log, clock, 10, seconds=4)
    assert " 0 steps/s" not in log.getvalue()
    assert re.search(r"0\.25 steps/s|15 steps/min|4(\.0)? s a step", log.getvalue())


PLAN = {"steps": 1000, "dissent": [0.001, 0.004]}


def changed(stream, clock, steps=1000, quiet=False, seconds=0.001):
    """Progress of a planned run with dissent on every second step from step 500 on."""
    with Progress(stream, quiet) as made:
        for step in range(steps):
            clock.seconds += seconds
            made.decided(decided(step, *((4, 1) if step >= 500 and step % 2 else (3,))), state(step + 1, plan=PLAN))


def test_dissent_off_plan_is_reported_once(clock):
    """A log gets one line, at the step that shows it, with the observed and the planned dissent."""
    log = io.StringIO()
    changed(log, clock)
    (line,) = log.getvalue().splitlines()
    assert re.fullmatch(
        r"warning: dissent left the planned band at about step 50\d: \S+% of the \d+ steps from there on, "
        r"planned 0\.1-0\.4%; has the model changed\?",
        line,
    )


@pytest.mark.parametrize("columns", [80, 140])
def test_a_warning_stays_on_the_screen(terminal, clock, columns):
    """On a terminal a warning stays above the live lines, and is still there at the end."""
    one = terminal(columns)
    changed(one.stream, clock, seconds=0.1)
    raw = one.shown()
    assert raw.count("warning: ") == 1
    left = "".join(screen(raw))
    assert left.startswith("warning: dissent left the planned band at about step 50")
    assert left.endswith("has the model changed?")


def test_a_quiet_run_does_not_warn(clock):
    """With --json stderr stays empty; the warning is in the report."""
    log = io.StringIO()
    changed(log, clock, quiet=True)
    assert log.getvalue() == ""


@pytest.mark.parametrize("plan", [None, {}, {"dissent": "0.1-0.4"}, {"dissent": [0.4, 0.1], "steps": -1}])
def test_without_a_band_nothing_is_warned_of(clock, plan):
    """A run without a plan, or with an unreadable one, is shown without warnings."""
    log = io.StringIO()
    with Progress(log) as made:
        for step in range(500):
            made.decided(decided(step, 4, 1), state(step + 1, plan=plan))
    assert log.getvalue() == ""


def test_a_chain_longer_than_it_said_has_no_negative_time_left(clock):
    """A chain beyond its stated length shows no time left."""
    log = io.StringIO()
    watched(log, clock, 30, length=20)
    assert "step 30 of 20" in log.getvalue()
    assert "-" not in log.getvalue()


def test_the_rate_is_that_of_this_session(clock):
    """In a resumed run, steps of earlier sessions do not count in the rate."""
    log = io.StringIO()
    with Progress(log) as made:
        for step in range(900, 950):
            clock.seconds += 10
            made.decided(decided(step), state(step + 1))
    first, *_, last = log.getvalue().splitlines()
    assert first.startswith("step 901 of 1,000 (90%); ")
    assert last.startswith("step 950 of 1,000 (95%): 10 s a step, 8 min 20 s to go; ")


def test_a_terminal_is_not_written_to_more_often_than_it_can_be_read(terminal, clock):
    """Thousands of steps between two refreshes are written once."""
    one = terminal()
    with Progress(one.stream) as made:
        clock.seconds += REFRESH_SECONDS
        for step in range(5_000):
            made.decided(decided(step), state(step + 1, 5_000))
    assert ESCAPE.sub("", one.shown()).count("steps/s") < 50
    assert REFRESH_SECONDS < LOG_SECONDS


def test_a_real_run_is_watched_to_its_end(terminal):
    """Progress given to a run as its observer is called for every step."""
    one, chain = terminal(), Hanoi(disks=5)
    with Progress(one.stream) as made:
        run(chain, NoisySampler(chain.rehearse), k=2, options=Options(observer=made))
    assert made.steps == 31
