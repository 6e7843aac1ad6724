"""Waiting for a provider: how long, with what spread, and when to stop; on a clock that only sleeping moves."""

from random import Random

import pytest

from chain_runs import Answers, Words, resume, run
from unerring.core.journal.entries import Failed, Intent
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy
from unerring.errors import ProviderBusy, ProviderGone
from unerring.runtime.calls.patience import Patience
from unerring.testing import FakeClock, ScriptedSampler

K1 = Policy(rule=AheadBy(1))
ENDLESS = Patience(total=1e9)


def storm(count, retry_after=None, answers=("a",) * 9):
    """A script of so many 429s in a row before its answers."""
    return ScriptedSampler([*(ProviderBusy("429 too many requests", retry_after) for _ in range(count)), *answers])


def test_a_storm_of_429s_neither_spends_votes_nor_ends_the_run():
    """200 refusals in a row cost no vote and no flag; the run waits for them and wins with k votes."""
    outcome = run(Words(1), storm(200, retry_after=7.0), Policy(rule=AheadBy(3)), patience=ENDLESS)
    assert outcome.at == ["a"]
    assert (outcome.decided[0].tally, outcome.decided[0].flags) == ((3,), 0)
    assert outcome.state.samples == 3
    assert outcome.state.calls.failures == 200


def test_waits_are_never_shorter_than_the_provider_asked_for():
    """With retry_after 90 every wait is at least 90 s, longer than the run's own longest."""
    outcome = run(Words(1), storm(200, retry_after=90.0), K1, patience=ENDLESS)
    assert len(outcome.clock.slept) == 200
    assert min(outcome.clock.slept) >= 90.0
    assert max(outcome.clock.slept) <= 90.0 * 1.2


def test_waits_are_spread():
    """With equal advice waits differ: 200 of them fill most of the fifth that they may add."""
    slept = run(Words(1), storm(200, retry_after=90.0), K1, patience=ENDLESS).clock.slept
    assert len(set(slept)) > 190
    assert max(slept) - min(slept) > 0.5 * 0.2 * 90.0  # fails for 200 uniform draws with chance < 2e-58


def test_the_same_chance_gives_the_same_waits():
    """A run's waits are drawn from the generator of its configuration."""
    first, again = (run(Words(1), storm(9), K1, patience=ENDLESS, chance=Random(7)).clock.slept for _ in range(2))
    assert first == again
    assert len(set(first)) == 9


def test_refusals_between_answers_do_not_end_a_run():
    """With every call refused once, 300 times in all, a run with the default patience finishes."""
    refused = set()

    async def answer(slot, n):
        call = sampler.calls[-1][:2]
        if call not in refused:
            refused.add(call)
            raise ProviderBusy("429", retry_after=30.0)
        return ["a"] * n

    sampler = Answers(answer, paid=True)
    outcome = run(Words(300), sampler, K1)
    assert outcome.error is None
    assert outcome.state.calls.failures == 300
    assert outcome.state.samples == 300


def test_waits_double_up_to_the_longest():
    """Without advice the wait after n + 1 failures is first * 2^n, at most `longest`, and up to `spread` longer."""
    patience = Patience(first=2.0, longest=30.0, total=1e9, spread=0.5)
    slept = run(Words(1), storm(8), K1, patience=patience).clock.slept
    for wait, least in zip(slept, [2, 4, 8, 16, 30, 30, 30, 30], strict=True):
        assert least <= wait <= 1.5 * least


def test_a_short_retry_after_does_not_shorten_the_backing_off():
    """Advice is a lower bound: waits for a provider that always says 0 still grow."""
    slept = run(Words(1), storm(6, retry_after=0.0), K1, patience=Patience(spread=0.0)).clock.slept
    assert slept == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]


@pytest.mark.parametrize("advice", [-5.0, float("nan")])
def test_senseless_advice_is_not_followed(advice):
    """A negative or undefined retry_after leaves the run's own waits unchanged."""
    slept = run(Words(1), storm(3, retry_after=advice), K1, patience=Patience(spread=0.0)).clock.slept
    assert slept == [1.0, 2.0, 4.0]


def test_no_number_of_failures_overflows_the_wait():
    """The ten-thousandth failure in a row is waited for like the tenth."""
    assert Patience(spread=0.0).wait(10_000, None, Random(0)) == 60.0


def test_patience_ends_after_so_many_seconds_of_nothing_but_failures():
    """The run stops before a wait would exceed its patience, says what failed, and keeps its state."""
    clock = FakeClock()
    outcome = run(Words(2), ScriptedSampler({0: ["a"], 1: [ProviderBusy("503")] * 99}), K1, clock=clock)
    assert isinstance(outcome.error, ProviderGone)
    assert "503" in str(outcome.error)
    assert 0.8 * 900 < sum(clock.slept) <= 900
    assert outcome.paused.kind == "provider"
    assert resume(Words(2), ScriptedSampler(["b"]), outcome.entries).at == ["a", "b"]


def test_patience_is_for_failures_in_a_row():
    """After an answer the patience counts again from the next failure."""
    script = {step: [*[ProviderBusy("503")] * 8, "a"] for step in range(5)}
    outcome = run(Words(5), ScriptedSampler(script), K1)
    assert outcome.error is None
    assert outcome.clock.now > 900


def test_each_session_has_its_whole_patience():
    """A run resumed after its patience ended waits for the provider again."""
    gone = run(Words(1), ScriptedSampler([ProviderBusy("503")] * 99), K1, patience=Patience(total=10.0))
    assert isinstance(gone.error, ProviderGone)
    rest = resume(Words(1), storm(3), gone.entries, patience=Patience(total=10.0))
    assert rest.at == ["a"]


def test_advice_beyond_all_patience_stops_the_run_at_once():
    """If the provider asks for a wait longer than the patience, the run stops and says how long that is."""
    outcome = run(Words(1), storm(3, retry_after=3600.0), K1)
    assert isinstance(outcome.error, ProviderGone)
    assert outcome.clock.slept == []
    assert "1 h" in str(outcome.error)


def test_a_stop_says_how_a_wait_was_read():
    """A wait beyond the patience is reported with the header that asked for it, as it was read."""
    asked = ProviderBusy("429 too many requests", 3600.0)
    asked.reading = "retry-after: 1h read as 3600 s"
    outcome = run(Words(1), ScriptedSampler([asked]), K1)
    assert "1 h more (retry-after: 1h read as 3600 s), beyond" in str(outcome.error)


def test_every_attempt_of_a_paid_call_is_in_the_journal():
    """Each refusal settles an intent of its own: attempts in the journal are the calls that were made."""
    sampler = storm(20)
    outcome = run(Words(1), sampler, K1, patience=ENDLESS)
    assert len(outcome.of(Intent)) == len(sampler.calls) == 21
    assert len(outcome.of(Failed)) == 20


def test_waiting_happens_on_the_runs_own_clock():
    """Failures and waits take time only on the given clock."""
    clock = FakeClock(1_000.0)
    run(Words(1), storm(200), K1, clock=clock, patience=ENDLESS)
    assert clock.now == pytest.approx(1_000.0 + sum(clock.slept))
