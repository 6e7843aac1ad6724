"""The cost of a calibration: its paid calls are announced, accounted for and limited like those of a run."""

from dataclasses import replace
from random import Random

import pytest

from metered import ENDLESS, TARIFF, Bill, Killed, Metered, one_life, require_within, until_its_end
from pilots import Places, blank, counted, one_line, piloted
from replay import replay
from unerring import InputError, Policy, Sample, Usage
from unerring.adapters.sqlite.reader import JournalReader
from unerring.api.budget import Budget
from unerring.api.calibration.calibration_files import read_calibration
from unerring.core.checked_chain import CheckedChain
from unerring.core.journal.entries import Allowed, Intent, Opened, Replies, Resumed
from unerring.core.journal.spend import SpendLimits
from unerring.core.planning.calibration_file import calibration_from, calibration_json
from unerring.core.planning.costs import Price
from unerring.errors import BudgetSpent, VotesCopied
from unerring.runtime.calls.ledger import Ledger
from unerring.runtime.config import Guards, RunConfig
from unerring.runtime.pilot import Pilot, pilot_policy
from virtual_time import LoopClock, Says

POLICY = pilot_policy(Policy(), 0.1)


def opened(limits):
    """The first entries of a pilot's journal with a budget."""
    first = Opened("calibration of places", {}, "metered/m", POLICY.to_json(), 1, "0", None, "test", 0.0)
    return [first, Allowed(limits, {"metered/m": TARIFF})]


def lived(sampler, calibration, entries, lives=-1):
    """One session of a pilot, as `one_life`."""

    def begun(journal):
        config = RunConfig(clock=LoopClock(), patience=ENDLESS, guards=Guards(probe=False))
        pilot = Pilot(CheckedChain(Places(60)), sampler, calibration, Ledger(replay(entries), journal, config), config)
        return pilot.run(lambda _: None)

    return one_life(begun, sampler, entries, lives)


def trial(seed):
    """A pilot with a random budget that is killed at random moments and always continues from its journal alone."""
    chance, bill = Random(seed), Bill()
    worst = TARIFF.money(Metered(bill, 0).worst("x" * 10, None, 24))
    limits = chance.choice(
        [
            SpendLimits(money=chance.randint(1, 40) * worst // 4),
            SpendLimits(tokens=chance.randint(100, 5_000)),
            SpendLimits(calls=chance.randint(1, 90)),
        ]
    )

    def life(entries):
        sampler = Metered(bill, chance.randrange(10**6), chance.choice([0.0, 0.2, 0.5]), 0.2)
        calibration = blank(asked_for=60, at_once=chance.choice([1, 16, 64]))
        return lived(sampler, calibration, entries, chance.choice([-1, chance.randint(0, 150)]))

    return limits, bill, *until_its_end(life, opened(limits))


def test_no_budget_of_a_calibration_is_ever_exceeded():
    """In a hundred trials with failures, kills and up to 64 samples in flight, the bill stays within the limit."""
    finished = spent = 0
    for seed in range(100):
        limits, bill, state, ended = trial(seed)
        require_within(limits, bill, state, seed)
        finished += ended is None
        spent += isinstance(ended, BudgetSpent)
    assert finished >= 10
    assert spent >= 10


def test_what_was_paid_for_is_not_asked_again():
    """Killed half-way, a pilot that has only its journal pays only for what is missing, and counts the same."""
    whole, halves = Bill(), Bill()
    complete, again = blank(asked_for=60, at_once=16), blank(asked_for=60, at_once=16)
    entries, ended = lived(Metered(whole, 1, 0.0), complete, opened(SpendLimits()))
    assert ended is None
    first, ended = lived(Metered(halves, 1, 0.0), replace(again), opened(SpendLimits()), lives=len(entries) // 2)
    assert isinstance(ended, Killed)
    lost = len(replay(first).calls.in_flight)
    again = blank(asked_for=60, at_once=16)
    rest, ended = lived(Metered(halves, 2, 0.0), again, [*first, Resumed(0.0)])
    assert ended is None
    assert halves.calls <= whole.calls + lost
    assert replay(rest).account.lost == lost
    assert (again.samples, again.steps, again.voters[0].votes) == (60, 60, 60)


def test_a_pilot_that_has_enough_abandons_no_call():
    """Calls in flight at the end are awaited, so that nothing paid for is unknown or paid for again."""

    class Erring(Metered):
        async def sample(self, prompt, settings, n):
            found = await super().sample(prompt, settings, n)
            return (
                [replace(one, text="b") for one in found] if settings.slot == 0 and settings.step % 7 == 0 else found
            )

    bill = Bill()
    entries, ended = lived(Erring(bill, 3, 0.0), blank(asked_for=100, at_once=64), opened(SpendLimits()))
    account = replay(entries).account
    assert ended is None
    assert (account.lost, account.has_calls_in_flight, account.calls) == (0, False, bill.calls)
    assert account.settled == bill.total


# --- what is kept


class Charging(Says):
    """A paid model of a known worst case, one token a reply."""

    name, account, paid = "charging/m", "charging", True

    def worst(self, prompt, settings, n):
        return Usage(10, 5 * n)

    async def aclose(self):
        pass

    async def sample(self, prompt, settings, n):
        return [replace(one, usage=Usage(10, 1), voter="") for one in await super().sample(prompt, settings, n)]


PRICES = {"charging/m": Price(1.0, 10.0)}
UNTRIED = {"guards": Guards(probe=False)}


def charged(samples, out, model=None, **options):
    """A pilot of a paid model."""
    model = model or Charging(lambda *_: "a")
    return piloted(Places(400), model, samples, out, prices=PRICES, **UNTRIED, **options)


def test_every_paid_call_is_recorded_next_to_the_calibration(tmp_path):
    """FILE.spend has an intent before each reply; the calibration has the calls' costs, and they are read back."""
    out = tmp_path / "cal.json"
    found = charged(30, out)
    entries = list(JournalReader(tmp_path / "cal.json.spend").entries())
    intents, replies = ([one for one in entries if isinstance(one, kind)] for kind in (Intent, Replies))
    assert len(intents) == len(replies) == 30
    assert (found.spent.calls, found.spent.tokens, found.spent.unknown_calls) == (30, 330, 0)
    assert found.spent.dollars == pytest.approx(30 * 20e-6)
    assert read_calibration(out) == found
    assert calibration_from(calibration_json(found)) == found


def test_a_budget_holds_over_all_sessions(tmp_path):
    """A pilot stopped by its budget keeps its samples; the same call stops again, and a larger budget continues it."""
    out, asked = tmp_path / "cal.json", []
    model = Charging(lambda prompt, step, slot: asked.append(step) or "a")
    for _ in range(3):
        with pytest.raises(BudgetSpent, match="the budget of 12 calls is spent"):
            charged(30, out, model, budget=Budget(calls=12))
        assert len(asked) == 12
        assert read_calibration(out).spent.calls == 12
    found = charged(30, out, model, budget=Budget(calls=100))
    assert len(asked) == 30
    assert counted(found) == counted(charged(30, tmp_path / "other.json"))


def test_a_calibration_whose_file_is_lost_is_counted_again_from_its_journal(tmp_path):
    """The samples are in FILE.spend: without the calibration file no call is made a second time."""
    out, asked = tmp_path / "cal.json", []
    model = Charging(lambda prompt, step, slot: asked.append(step) or ("b" if step % 7 == 0 and slot == 0 else "a"))
    found = charged(100, out, model)
    calls = len(asked)
    out.unlink()
    assert counted(charged(100, out, model)) == counted(found)
    assert len(asked) == calls


def test_calls_in_flight_at_the_end_of_a_budget_are_received(tmp_path):
    """No paid call is abandoned, so nothing is of unknown outcome after the stop."""
    with pytest.raises(BudgetSpent):
        charged(300, tmp_path / "cal.json", budget=Budget(calls=50), in_flight=40)
    spent = read_calibration(tmp_path / "cal.json").spent
    assert (spent.calls, spent.unknown_calls) == (50, 0)


def test_a_journal_of_another_calibration_is_refused(tmp_path):
    """So is a calibration whose journal is missing, since its costs are not known."""
    out, spend = tmp_path / "cal.json", tmp_path / "cal.json.spend"
    charged(5, out)
    aside = tmp_path / "aside"
    spend.rename(aside)
    with pytest.raises(InputError, match="is missing") as raised:
        charged(10, out)
    one_line(raised.value)
    out.unlink()
    aside.rename(spend)
    with pytest.raises(InputError, match="another calibration") as raised:
        charged(5, out, policy=Policy(later_temperature=0.9))
    one_line(raised.value)


def test_a_model_that_costs_nothing_needs_no_journal(tmp_path):
    """Nothing is written next to the calibration of a free model, and it has no costs."""
    found = piloted(Places(), Says(lambda *_: "a"), 10, tmp_path / "cal.json")
    assert found.spent is None
    assert [path.name for path in tmp_path.iterdir()] == ["cal.json"]


def test_a_limit_that_could_not_be_kept_is_refused_before_a_call(tmp_path):
    """A limit in dollars without a price is refused before any call."""
    asked = []
    with pytest.raises(InputError, match="needs the price of charging/m"):
        piloted(Places(), Charging(lambda *_: asked.append(1) or "a"), 10, budget=Budget(usd=1.0), **UNTRIED)
    assert asked == []


def test_copies_end_a_calibration_as_they_end_a_run():
    """A pilot whose replies are copies of each other measures nothing, so it stops with the reason."""

    class Copying(Charging):
        async def sample(self, prompt, settings, n):
            return [Sample("a", Usage(10, 1), cached=True)] * n

    with pytest.raises(VotesCopied, match="were copies of earlier ones"):
        piloted(Places(100), Copying(lambda *_: "a"), 3000, **UNTRIED)
