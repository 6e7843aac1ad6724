"""One Ctrl-C ends a run within its grace period, and shows how many calls it waits for."""

import os
import pty
import re
import signal
import subprocess

import pytest
from killing import HERE, cli, happens, life

from faults.faults import Fault
from faults.script import since
from faults.server import serving
from unerring.api.journals import history as reading
from unerring.api.journals.verify import verify

GENEROUS_SECONDS = 20.0  # calls would hang for 120


def words(server, journal, grace):
    """A run that hangs from its fourth call on."""
    spec = f"openai/noise@{server.url},timeout=120"
    return cli(
        *("run", "hanoi", "--set", "disks=4", "--k", 2, "--model", spec, "--journal", journal),
        *("--no-probe", "--grace", grace, "--in-flight", 8),
    )


def hang(totals):
    """Whether calls hang by now."""
    return totals.in_flight > 0 and totals.requests > 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_one_signal_ends_a_run_within_its_grace(tmp_path, number):
    """The run says how many calls it waits for and how long, then abandons them as of unknown outcome."""
    journal = tmp_path / "run.db"
    with serving(script=since(3, Fault.HANG)) as server, life(words(server, journal, 1), journal) as process:
        assert process.happens(server.ledger, hang)
        process.send(number)
        assert process.over(GENEROUS_SECONDS)
        ended = process.ended()
    assert ended.code == 3, ended.err
    assert re.search(
        rf"{number.name}: waiting for \d+ calls? in flight, 1 s at most \(grace\); a second one stops at once",
        ended.err,
    )
    assert re.search(r"gave up \d+ calls? without a reply", ended.err)
    assert reading.report(journal)["samples"]["unknown"] >= 1
    assert reading.report(journal)["stopped"]["kind"] == "interrupted"
    with serving() as server:
        assert not verify(journal).finished


def test_no_grace_abandons_calls_at_once(tmp_path):
    """With --grace 0 no call is waited for."""
    journal = tmp_path / "run.db"
    with serving(script=since(3, Fault.HANG)) as server, life(words(server, journal, 0), journal) as process:
        assert process.happens(server.ledger, hang)
        process.send(signal.SIGINT)
        assert process.over(GENEROUS_SECONDS)
        assert process.ended().code == 3


def test_a_terminal_counts_down(tmp_path):
    """On a terminal the calls and the seconds left are shown as they decrease."""
    leader, follower = pty.openpty()
    with serving(script=since(3, Fault.HANG)) as server:
        command = words(server, tmp_path / "run.db", 3)
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=follower, cwd=HERE, env=environment
        ) as process:
            os.close(follower)
            try:
                assert happens(process, server.ledger, hang)
                process.send_signal(signal.SIGINT)
                said = b""
                while process.poll() is None or said.count(b"stopping: waiting") < 2:
                    try:
                        said += os.read(leader, 4096)
                    except OSError:  # the other end is closed
                        break
                assert process.wait(GENEROUS_SECONDS) == 3
            finally:
                process.kill()
                os.close(leader)
    counts = [int(count) for count in re.findall(rb"stopping: waiting for \d+ calls? in flight, (\d) s at most", said)]
    assert {3, 2, 1} <= set(counts), said.decode()[-1500:]
    assert counts == sorted(counts, reverse=True)


ENDLESS = """
import asyncio, time

async def blocking(prompt):
    print("asked", flush=True)
    time.sleep(1000)

async def deaf(prompt):
    print("asked", flush=True)
    while True:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            pass
"""


@pytest.mark.parametrize("model", ["blocking", "deaf"])
@pytest.mark.parametrize("signals", [1, 2])
def test_a_model_that_never_ends_does_not_keep_a_run_from_ending(tmp_path, model, signals):
    """Code that blocks the loop or catches its cancellation is interrupted after the grace or a second signal."""
    (tmp_path / "endless.py").write_text(ENDLESS)
    run = ("run", "hanoi", "--set", "disks=3", "--k", 2, "--model", f"endless:{model}", "--journal", "run.db")
    with subprocess.Popen(
        cli(*run, "--grace", 1 if signals == 1 else 600),
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGINT)
        while "waiting for" not in process.stderr.readline():
            assert process.poll() is None
        if signals == 2:
            process.send_signal(signal.SIGINT)
        try:
            _, err = process.communicate(timeout=GENEROUS_SECONDS)
        finally:
            process.kill()
    assert process.returncode == 3, err
    assert "continue with: unerring resume run.db" in err
    assert "Traceback" not in err
    assert "Task was destroyed" not in err
    assert verify(tmp_path / "run.db").problem is None
