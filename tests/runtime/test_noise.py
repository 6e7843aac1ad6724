"""The noise sampler: what its samples depend on, and that it errs as often as configured."""

import asyncio
from collections import Counter
from itertools import product
from math import sqrt

import pytest

from chain_runs import Words, run
from unerring.api.models import sampler_for
from unerring.core.chain import Rehearsal
from unerring.core.checked_chain import CheckedChain
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy
from unerring.core.voting.sample import Settings
from unerring.errors import InputError, StepUndecided
from unerring.testing import NoisySampler

WRONG = ("wrong one", "wrong two", "wrong three")
DRAWS = 20_000
# Bounds of 5 standard deviations. Were the seed drawn again each time, a check against them would fail by chance
# once in 1.7 million (two-sided, normal approximation); with the seed fixed they pass or fail permanently.
DEVIATIONS = 5.0


def rehearse(prompt):
    return Rehearsal(f"right answer to {prompt}", WRONG)


def texts(sampler, prompt="q", seed=0, step=0, slot=0, n=1, temperature=0.0):
    samples = asyncio.run(sampler.sample(prompt, Settings(temperature, 750, seed, step, slot), n))
    return [sample.text for sample in samples]


def drawn(sampler, steps, each, seed=5):
    """Texts of `each` samples of so many steps."""

    async def all_of_them():
        return [
            [one.text for one in await sampler.sample("q", Settings(0.0, 750, seed, step, 0), each)]
            for step in range(steps)
        ]

    return asyncio.run(all_of_them())


def within(count, draws, probability):
    """Whether a count of successes is within the stated bound of its mean."""
    return abs(count - draws * probability) <= DEVIATIONS * sqrt(draws * probability * (1 - probability))


def test_a_sample_depends_on_prompt_seed_step_and_number_only():
    """The same four give the same sample, in any batch, order, temperature and instance."""
    once = NoisySampler(rehearse, 0.5, 0.7, 0.3)
    expected = {
        (prompt, seed, step): texts(once, prompt, seed, step, n=8) for prompt, seed, step in product("pq", "12", "34")
    }
    again = NoisySampler(rehearse, 0.5, 0.7, 0.3)
    for (prompt, seed, step), eight in reversed(expected.items()):
        for slot in (7, 0, 3):
            assert texts(again, prompt, seed, step, slot, temperature=1.3) == [eight[slot]]
        assert texts(again, prompt, seed, step, 2, n=5) == eight[2:7]


@pytest.mark.parametrize("changed", [{"seed": 1}, {"step": 1}, {"slot": 100}])
def test_other_seeds_steps_and_numbers_give_other_samples(changed):
    """Each of the three changes which samples are wrong."""
    sampler = NoisySampler(rehearse, 0.5)
    assert texts(sampler, n=100, **changed) != texts(sampler, n=100)


def test_p_is_the_chance_that_an_unflagged_sample_is_right():
    """Over 20,000 draws the shares are p and v, each within 5 standard deviations."""
    answers = Counter(text for texts in drawn(NoisySampler(rehearse, 0.7, 0.8), DRAWS // 4, 4) for text in texts)
    right, wrong = answers["right answer to q"], sum(answers[text] for text in WRONG)
    assert within(right + wrong, DRAWS, 0.8)
    assert within(right, right + wrong, 0.7)


def test_wrong_answers_are_spread_over_all_there_are():
    """Each wrong answer is equally frequent."""
    answers = Counter(text for texts in drawn(NoisySampler(rehearse, 0.0), DRAWS // 8, 4) for text in texts)
    assert all(within(answers[text], DRAWS // 2, 1 / 3) for text in WRONG)


def test_correlation_leaves_p_as_it_is():
    """A share of common errors changes their distribution, not their number."""
    steps = drawn(NoisySampler(rehearse, 0.7, correlated=0.5), DRAWS, 1)
    assert within(sum(text not in WRONG for (text,) in steps), DRAWS, 0.7)


def test_the_correlated_share_makes_whole_steps_stuck():
    """With probability c (1 - p) all samples of a step give the same wrong answer.

    Otherwise they err independently.
    """
    steps = drawn(NoisySampler(rehearse, 0.7, correlated=0.5), DRAWS // 10, 10)
    stuck = sum(len(set(texts)) == 1 and texts[0] in WRONG for texts in steps)
    # ten samples that err apart are all wrong alike with chance 3 * (0.15 / 0.85 / 3)^10 < 2e-12
    assert within(stuck, DRAWS // 10, 0.5 * 0.3)
    apart = [text for texts in steps for text in texts if len(set(texts)) > 1 or text not in WRONG]
    assert within(sum(text in WRONG for text in apart), len(apart), 0.15 / 0.85)


def test_full_correlation_leaves_no_errors_apart():
    """At c = 1 the samples of a step are all right or all wrong in the same way."""
    assert all(len(set(texts)) == 1 for texts in drawn(NoisySampler(rehearse, 0.5, correlated=1.0), 500, 4))


def test_the_corners_of_the_probabilities_hold_exactly():
    """With p = 1 nothing is wrong, with p = 0 nothing right, and with v = 0 every text is cut short."""
    assert set(texts(NoisySampler(rehearse, 1.0), n=500)) == {"right answer to q"}
    assert not {"right answer to q"} & set(texts(NoisySampler(rehearse, 0.0), n=500))
    assert set(texts(NoisySampler(rehearse, 0.0, correlated=1.0), n=500)) < set(WRONG)
    assert set(texts(NoisySampler(rehearse, 1.0, 0.0), n=500)) == {"right an"}


@pytest.mark.parametrize("name", ["p", "v", "correlated"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf"), -float("inf")])
def test_what_is_no_probability_is_refused(name, value):
    """A probability outside 0 to 1 is an InputError that names it."""
    with pytest.raises(InputError, match=f"^{name} is a probability"):
        NoisySampler(rehearse, **{name: value})


def test_its_name_makes_the_same_sampler_again():
    """A journal keeps only the name: the sampler made from it draws the same samples."""
    chain = Words(1)
    sampler = NoisySampler(chain.rehearse, 1 / 3, 0.9, 0.123456789)
    with sampler_for(sampler.name, CheckedChain(chain), 0) as again:
        assert texts(again, n=200) == texts(sampler, n=200)


def test_stuck_steps_win_wrongly_whatever_k_is():
    """Voting cannot correct errors that all samples share: such a run finishes, and is wrong."""
    chain = Words(3)
    outcome = run(chain, NoisySampler(chain.rehearse, 0.0, correlated=1.0), Policy(rule=AheadBy(9)))
    assert outcome.error is None
    assert all(text[0] in "xy" for text in outcome.at)


def test_noise_that_is_always_flagged_ends_undecided():
    """With v = 0 there are no votes: the step is undecided at its flag cap, with nothing elected."""
    chain = Words(3)
    outcome = run(chain, NoisySampler(chain.rehearse, 1.0, 0.0), Policy(rule=AheadBy(2), flag_cap=5))
    assert isinstance(outcome.error, StepUndecided)
    assert outcome.votes == []
    assert len(outcome.flags) == 10
