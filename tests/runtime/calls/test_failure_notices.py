"""Notices while calls fail and are retried, and while a chain's state does not change."""

import pytest

import unerring
from chain_runs import K1, Answers, Words, run
from unerring.cli.text.report import report_text
from unerring.core.reporting.report import RunSeries, report_of
from unerring.errors import Interrupted, ProviderBusy
from unerring.runtime.calls.patience import Patience
from unerring.runtime.config import StopRequest
from unerring.testing import ScriptedSampler


def refusing(count):
    """A script of so many refused connections before an answer."""
    return ScriptedSampler([*(ProviderBusy("connection refused") for _ in range(count)), *"a" * 9])


def test_failures_are_shown_at_once_and_then_at_widening_intervals():
    """The first failure is shown at once with its patience; ten hours of failures are few notices, with counts."""
    shown = []
    outcome = run(Words(1), refusing(600), K1, patience=Patience(total=7200000.0), notice=shown.append)
    assert outcome.at == ["a"]
    assert shown[0] == "scripted: connection refused; trying again, for 2,000 h at most (`patience`)"
    assert 5 < len(shown) < 20
    assert all("since the last notice); trying again" in line for line in shown[1:])
    counts = [int(line.partition("(")[2].split()[0].replace(",", "")) for line in shown[1:]]
    assert counts[-1] > 4 * counts[1]
    assert sum(counts) < 600


def test_a_stop_names_the_failure_that_was_waited_out():
    """A run stopped while its calls fail names the failure in its error and in the journal; others do not."""
    stop = StopRequest()
    outcome = run(Words(1), refusing(600), K1, notice=lambda line: stop.ask("stopped by SIGINT"), stop=stop)
    said = "stopped by SIGINT; the last failure: scripted: connection refused"
    assert isinstance(outcome.error, Interrupted)
    assert (str(outcome.error), outcome.paused.reason) == (said, said)
    stop, failed = StopRequest(), []

    async def answer(slot, n):
        if not failed:
            failed.append(True)
            raise ProviderBusy("connection refused")
        stop.ask("enough")
        return ["a"] * n

    outcome = run(Words(9), Answers(answer), K1, stop=stop)
    assert outcome.paused.reason == "enough"


def test_a_report_names_the_most_frequent_failure():
    """Reasons of failed calls are counted, similar ones together, and the report's line has the first."""
    script = [*(ProviderBusy(f"cannot connect to 127.0.0.1:{port}") for port in (9, 10, 11)), ProviderBusy("429"), "a"]
    sampler = ScriptedSampler(script, paid=True)
    outcome = run(Words(1), sampler, K1, patience=Patience(total=1e9))
    report = report_of(outcome.state, RunSeries())
    first = report["failure_reasons"][0]
    assert (first["reason"], first["calls"], first["varies"]) == ("cannot connect to 127.0.0.1:9", 3, True)
    assert "4 calls failed, 3 of them: cannot connect to 127.0.0.1:9" in report_text(report, "run.db")


class Still(Words):
    """A chain whose `advance` returns the old state, except at every 150th step."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def advance(self, state, choice):
        self.calls += 1
        return [*state, choice] if self.calls % 150 == 0 else state


def test_a_chain_that_does_not_move_gets_one_warning():
    """100 steps in a row with an unchanged state give one warning, and one more after the state has changed."""
    for steps, warnings in ((99, 0), (149, 1), (260, 2)):
        shown = []
        run(Still(), ScriptedSampler(["a"] * 300), K1, max_steps=steps, notice=shown.append)
        said = "the state has not changed for 100 steps: does advance() return the new one?"
        assert shown == [said] * warnings, steps


def test_a_process_without_steps_is_an_error_of_its_code(tmp_path):
    """A first question of None is an error before anything is journaled, unless length() says 0."""

    class Empty(Words):
        def length(self):
            return 0

    class Forgets(Words):
        def subtask(self, state):
            super().subtask(state)

    path = tmp_path / "run.db"
    with pytest.raises(TypeError, match=r"subtask\(\) returned None at the first state: .* \(.*notices.py, line"):
        unerring.run(Forgets(), lambda prompt: "a", path, k=1)
    assert not path.exists()
    assert unerring.run(Empty(0), lambda prompt: "a", path, k=1).steps == 0
