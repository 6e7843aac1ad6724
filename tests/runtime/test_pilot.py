"""Pilots: which samples they draw of which steps, how these are judged, and when they end."""

import asyncio
from dataclasses import replace

import pytest

from chain_runs import Answers, Words
from pilots import Places, UnknownTruth, counted, piloted
from unerring import Hanoi, Policy, Sample, Usage
from unerring.api.calibration.calibrating import PilotOptions, acalibrate, calibrate
from unerring.core.planning.calibration import REPEAT_VOTES
from unerring.core.planning.intervals import interval
from unerring.core.voting.redflag import FlagRules
from unerring.core.voting.sample import Finish
from unerring.runtime.calls.call_size import SHORT_CALLS
from unerring.runtime.config import Guards
from unerring.runtime.ensemble import Ensemble
from unerring.runtime.pilot import MAX_ROUNDS, WIDE_MARGIN_VOTES, pilot_seed
from unerring.testing import NoisySampler
from virtual_time import LoopClock, Says, Slow, virtually


class Asked:
    """A sampler that keeps its calls; every answer is `a`."""

    name = "asked"
    paid = compact = False

    def __init__(self):
        self.settings = []

    async def sample(self, prompt, settings, n):
        self.settings.append((settings, n))
        return [Sample("a", Usage(2, 1))] * n


# --- what is asked


def test_a_pilot_of_noise_measures_its_p_and_v():
    """P and v of a noisy model on Hanoi are in the exact intervals of its calibration.

    Seeded; at a confidence of one in a million. Correct samples are recognized by the process's own truth.
    """
    chain = Hanoi(disks=14)
    noise = NoisySampler(chain.rehearse, p=0.97, v=0.9)
    found = piloted(chain, noise, 4000)
    voter = found.voters[0]
    low, high = interval(voter.wrong, voter.votes, 1.0 - 1e-6)
    assert low < 0.03 < high
    low, high = interval(voter.flagged, voter.steps, 1.0 - 1e-6)
    assert low < 0.1 < high
    assert voter.flags == {"malformed": voter.flagged}
    assert (found.judged_by, found.walked, voter.name) == ("truth", False, noise.name)


def test_common_errors_of_a_step_are_measured_as_repeats():
    """Noise with half of its errors common to a step is wrong again far more often than p says."""
    chain = Hanoi(disks=14)
    found = piloted(chain, NoisySampler(chain.rehearse, p=0.97, correlated=0.5), 4000)
    again = [one.voters[0] for one in found.error_steps if one.voters[0].later_wrong > REPEAT_VOTES // 2]
    assert len(again) >= 5
    assert all(one.rival == one.later_wrong == REPEAT_VOTES for one in again)


def test_each_step_is_asked_for_one_vote_and_again_where_that_was_wrong():
    """A step that errs at first has LOOKS further samples of every voter, all others have one."""
    calls = []

    def answer(prompt, step, slot):
        calls.append((step, slot))
        return "b" if step % 10 == 3 and slot == 0 else "a"

    found = piloted(Places(40), Says(answer), 10**6)
    again = [step for step in range(40) if step % 10 == 3]
    assert sorted(calls) == sorted(
        [(step, 0) for step in range(40)] + [(step, slot) for step in again for slot in range(1, REPEAT_VOTES + 1)]
    )
    assert sorted(one.step for one in found.error_steps) == again
    assert found.samples == 40 + 4 * REPEAT_VOTES


def test_steps_are_drawn_at_random_and_none_twice():
    """In a chain that can start anywhere steps are drawn at random, others for another seed, each at most once."""
    asked = []
    for seed in (0, 1):
        sampler = Asked()
        calibrate(Places(10_000), sampler, 200, seed=seed)
        steps = [settings.step for settings, _ in sampler.settings]
        assert len(set(steps)) == len(steps) == 200
        assert max(steps) > 8000
        asked.append(set(steps))
    assert len(asked[0] & asked[1]) < 50


def test_a_pilot_ends_with_the_chain():
    """No more samples are drawn than a short chain has steps."""
    found = piloted(Places(12), Asked(), 500)
    assert (found.steps, found.samples, found.asked_for) == (12, 12, 500)


def test_samples_are_drawn_as_most_votes_of_a_run_are():
    """The policy's later temperature and length limit are used for every sample, and kept with the calibration."""
    sampler, policy = Asked(), Policy(later_temperature=0.7, flags=FlagRules(321, -4.0))
    found = calibrate(Places(), sampler, 20, seed=5, options=PilotOptions(policy))
    settings = [one for one, _ in sampler.settings]
    assert {one.temperature for one in settings} == {0.7}
    assert {one.max_output_tokens for one in settings} == {321}
    assert (found.temperature, found.flag_rules, found.seed) == (0.7, FlagRules(321, -4.0), 5)


def test_a_pilot_draws_other_samples_than_the_run():
    """Its samples have a seed of their own, made from the given one."""
    sampler = Asked()
    calibrate(Places(), sampler, 5, seed=5)
    assert {one.seed for one, _ in sampler.settings} == {pilot_seed(5)}
    assert len({5, 6, pilot_seed(5), pilot_seed(6)}) == 4
    assert 0 <= pilot_seed(-1) < 1 << 62


# --- flags


FLAGS = {
    "malformed": Sample("!", Usage(2, 1)),
    "too long": Sample("a", Usage(2, 99)),
    "truncated": Sample("a", Usage(2, 1), Finish.LENGTH),
    "improbable": Sample("a", Usage(2, 1), logprob=-5.0),
    "copy": Sample("a", Usage(2, 1), cached=True),
}


@pytest.mark.parametrize("cause", FLAGS)
def test_flags_are_counted_by_cause(cause):
    """A flagged first sample counts as flagged, and the next is asked for until there is a vote."""

    async def answer(slot, n):
        return [FLAGS[cause] if number < 2 else Sample("a", Usage(2, 1)) for number in range(slot, slot + n)]

    given = {"policy": Policy(flags=FlagRules(50, -1.0)), "guards": Guards(copies=1.0)}
    found = piloted(Places(10), Answers(answer), 1000, **given)
    assert found.voters[0].flags == {cause: 10}
    assert (found.voters[0].flagged, found.voters[0].votes, found.samples) == (10, 10, 30)


def test_an_answer_that_a_check_rejects_is_flagged():
    """An answer that the chain's check rejects is no vote, as in a run."""
    chain = Hanoi(disks=3)
    chain.check = lambda state, choice: None if choice["move"][0] == 1 else _rejection()
    found = piloted(chain, NoisySampler(chain.rehearse, p=1.0), 1000)
    assert found.voters[0].flags == {"rejected": 3}


def _rejection():
    from unerring import RedFlag

    return RedFlag("only the smallest disk")


def test_a_voter_that_is_always_flagged_has_no_vote_on_the_step():
    """After so many flags the step has no vote, and counts as flagged."""
    found = piloted(Places(3), Says(lambda prompt, step, slot: "!"), 10**6, guards=Guards(flagged=1.0))
    assert (found.steps, found.samples, found.voters[0].votes) == (3, 3 * MAX_ROUNDS, 0)


def test_a_reply_that_is_served_again_is_not_another_vote():
    """A reply with the id of an earlier one of the step is a copy, in a pilot as in a run."""

    async def answer(slot, n):
        return [Sample("b", Usage(2, 1), reply_id=f"{1:016x}")] * n

    found = piloted(Places(1), Answers(answer), 10, guards=Guards(copies=1.0))
    assert all(one.voters[0].later == 0 for one in found.error_steps)


def test_log_probabilities_are_kept_with_first_votes():
    """First votes are counted by their log-probability."""

    async def answer(slot, n):
        return [Sample("a", Usage(2, 1), logprob=-0.02)] * n

    bins = piloted(Places(7), Answers(answer), 1000).voters[0].bins
    assert [number for number, counts in enumerate(bins) if any(counts)] == [4]


# --- several steps in flight


def jittered(prompt, settings):
    """Seconds that a call takes, different for every call, so that answers come back in another order."""
    return (settings.step * 7919 + settings.slot * 104_729) % 997 / 100.0


def test_several_steps_in_flight_count_in_order():
    """However answers overtake each other, steps are counted in the order in which they were drawn."""

    def came(in_flight):
        chain = Hanoi(disks=8)
        slow = Slow(NoisySampler(chain.rehearse, p=0.9, v=0.9), jittered)
        options = PilotOptions(in_flight=in_flight, clock=LoopClock())
        return slow, virtually(acalibrate(chain, slow, 10**6, options=options))

    alone, (slow, together) = came(1)[1], came(64)
    assert counted(together) == counted(alone)
    assert together.at_once == slow.most > 30


def test_a_calibration_has_the_number_of_samples_that_were_in_flight():
    """A walked chain is asked step by step, so a plan must not assume 256 samples at once."""
    slow = Slow(word_of(6), 0.25)
    found = virtually(acalibrate(Words(6), slow, 10**6, options=PilotOptions(in_flight=256, clock=LoopClock())))
    assert found.walked
    assert found.at_once == slow.most < 64


@pytest.mark.parametrize("in_flight", [1, 5, 40])
def test_no_more_samples_are_in_flight_than_allowed(in_flight):
    """`in_flight` bounds the samples in flight, repeat samples included."""
    slow = Slow(Says(lambda prompt, step, slot: "b" if slot == 0 else "a"))
    virtually(acalibrate(Places(20), slow, 400, options=PilotOptions(in_flight=in_flight, clock=LoopClock())))
    assert slow.most <= in_flight


class OneACall(Says):
    """A sampler that gives one sample a call, however many it is asked for."""

    async def sample(self, prompt, settings, n):
        return await super().sample(prompt, settings, 1)


def test_a_model_that_gives_one_sample_a_call_is_asked_by_many_calls_at_once():
    """After SHORT_CALLS calls with too few samples, the missing ones are asked for at once, not in turn."""

    async def timed():
        found = await acalibrate(Places(4), slow, 100, options=PilotOptions(in_flight=256, clock=LoopClock()))
        return found.samples, asyncio.get_running_loop().time()

    slow = Slow(OneACall(lambda prompt, step, slot: "b" if slot == 0 else "a"), 0.25)
    samples, seconds = virtually(timed())
    assert samples == len(slow.calls) == 4 * (1 + REPEAT_VOTES)
    assert seconds <= 0.25 * (1 + SHORT_CALLS + 1)


def test_latency_is_what_a_call_took():
    """The seconds of every call are kept; their mean over samples is the latency."""
    slow = Slow(Says(lambda prompt, step, slot: "a"), 0.25)
    found = virtually(acalibrate(Places(20), slow, 20, options=PilotOptions(in_flight=4, clock=LoopClock())))
    assert found.latency == pytest.approx(0.25)


# --- chains that cannot be entered, or do not know the truth


def word_of(steps, wrong=()):
    """Answers with the right word of each step of a chain of Words, except for these (step, slot)."""
    return Says(lambda prompt, step, slot: "wrong" if (step, slot) in wrong else f"w{step}")


def test_a_chain_that_cannot_be_entered_is_walked():
    """Without `state_at` a pilot starts at the start, each step from the state after the last right choice."""
    prompts = []

    def answer(prompt, step, slot):
        prompts.append(prompt)
        return f"w{step}"

    found = piloted(Words(6), Says(answer), 10**6)
    assert (found.walked, found.steps, found.at) == (True, 6, [f"w{step}" for step in range(6)])
    assert prompts[-1] == "word 5 of 6, so far: w0 w1 w2 w3 w4"


def test_a_wrong_vote_does_not_lead_a_walk_astray():
    """The chain continues with the choice that many votes agree on, not with the first."""
    found = piloted(Words(5), word_of(5, wrong={(2, 0)}), 10**6)
    assert found.at == [f"w{step}" for step in range(5)]
    assert [one.step for one in found.error_steps] == [2]


def test_without_a_truth_the_winner_by_a_wide_margin_stands_in():
    """Without `truth` votes are drawn until one choice leads by WIDE, and no more."""
    found = piloted(UnknownTruth(10), Says(lambda prompt, step, slot: "a"), 10**6)
    assert (found.judged_by, found.samples, found.voters[0].wrong) == ("votes", 10 * WIDE_MARGIN_VOTES, 0)


def test_a_first_vote_that_loses_to_the_winner_was_wrong():
    """If the first vote differs from the winner, it counts as wrong, and the step is sampled again."""
    found = piloted(UnknownTruth(10), Says(lambda prompt, step, slot: "b" if (step, slot) == (4, 0) else "a"), 10**6)
    assert (found.voters[0].wrong, [one.step for one in found.error_steps]) == (1, [4])
    assert found.error_steps[0].voters[0].later >= REPEAT_VOTES


def test_a_step_on_which_no_choice_ever_leads_is_sampled_up_to_a_limit():
    """Two choices that alternate end the search at the limit; the step is counted by one of them."""
    found = piloted(UnknownTruth(2), Says(lambda prompt, step, slot: "ab"[slot % 2]), 10**6)
    assert found.steps == 2
    assert found.samples <= 2 * (MAX_ROUNDS + WIDE_MARGIN_VOTES + REPEAT_VOTES)


def test_several_voters_stand_in_for_the_truth_together():
    """With two voters the winner leads by the votes of both, in rounds of one of each."""
    names = Ensemble([Says(lambda prompt, step, slot: "a"), Answers(_always("a"))])
    found = piloted(UnknownTruth(3), names, 10**6)
    assert (found.samples, [voter.votes for voter in found.voters]) == (3 * WIDE_MARGIN_VOTES, [3, 3])


def _always(choice):
    async def answer(slot, n):
        return [choice] * n

    return answer


# --- several voters


def test_two_models_take_turns():
    """Each of two noisy models is measured by itself, under its own name, on the same steps."""
    chain = Hanoi(disks=12)
    good, bad = NoisySampler(chain.rehearse, p=0.99), NoisySampler(chain.rehearse, p=0.8, v=0.7)
    found = piloted(chain, Ensemble([_named(good, "good"), _named(bad, "bad")]), 3000)
    assert [voter.name for voter in found.voters] == ["good", "bad"]
    for voter, wrong, flagged in zip(found.voters, (0.01, 0.2), (0.0, 0.3), strict=True):
        assert voter.steps == found.steps
        low, high = interval(voter.wrong, voter.votes, 1.0 - 1e-6)
        assert low < wrong < high
        low, high = interval(voter.flagged, voter.steps, 1.0 - 1e-6)
        assert low <= flagged < high
    assert all(len(step.voters) == 2 for step in found.error_steps)


def _named(sampler, name):
    """The same sampler, whose samples have another voter's name."""

    class Named:
        paid, compact = sampler.paid, sampler.compact

        async def sample(self, prompt, settings, n):
            return [replace(one, voter=name) for one in await sampler.sample(prompt, settings, n)]

    made = Named()
    made.name = name
    return made


def test_a_step_is_sampled_again_by_every_voter_where_one_erred():
    """The others are sampled as often as the one that was wrong, to see whether they err there too."""

    def answer(voter):
        return Says(lambda prompt, step, slot: "b" if voter == 0 and step == 5 and slot == 0 else "a")

    found = piloted(Places(20), Ensemble([_named(answer(number), f"voter {number}") for number in range(3)]), 10**6)
    (step,) = found.error_steps
    assert [(one.right, one.wrong) for one in step.voters] == [
        (REPEAT_VOTES, 1),
        (REPEAT_VOTES + 1, 0),
        (REPEAT_VOTES + 1, 0),
    ]
    assert found.samples == 3 * (20 + REPEAT_VOTES)


def test_only_a_voter_without_a_vote_is_asked_once_more():
    """A flag of one of three voters costs one sample, not a round of all."""

    def answer(prompt, step, slot):
        return "!" if slot == 1 else "a"

    found = piloted(Places(1), Ensemble([_named(Says(answer), name) for name in "xyz"]), 10**6)
    assert (found.samples, [voter.flagged for voter in found.voters]) == (4, [0, 1, 0])


def test_the_embedded_ensemble_is_three_voters():
    """The embedded model is measured by its members, each on every step, with log-probabilities."""
    pytest.importorskip("ctranslate2")
    found = calibrate(Hanoi(disks=6), "embedded", 60)
    assert [voter.name for voter in found.voters] == ["embedded/a", "embedded/b", "embedded/c"]
    assert [voter.steps for voter in found.voters] == [found.steps] * 3
    assert sum(map(sum, found.voters[0].bins[:-1])) == found.voters[0].votes > 0
    assert found.temperature == 1.0
