"""Runs whose votes are weighed: by voter and log-probability, live and from a journal, stopped and resumed."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import unerring
from chain_runs import Words, resume, run
from doubling import exported
from unerring import Hanoi, Options, Policy
from unerring.api.journals.history import History
from unerring.core.journal.codec import decode, encode
from unerring.core.journal.state import RunState
from unerring.core.voting.race import LogOdds
from unerring.core.voting.sample import Sample
from unerring.core.voting.weights import VoterWeights, Weights
from unerring.errors import InputError, StepLimit, StepUndecided
from unerring.testing import NoisySampler, ScriptedSampler

EDGE = -0.01
ONE_VOTER = Weights((EDGE,), (("scripted", VoterWeights((1000, 3000), 30_000)),))


def said(text, logprob=None, voter="scripted"):
    return Sample(text, logprob=logprob, voter=voter)


def margins(entries):
    """The margin of each committed step, computed from the bytes of a journal."""
    state = RunState()
    decided = [state.apply(decode(encode(entry))) for entry in entries]
    return [step.margin for step in decided if step is not None]


# --- the log-probability that counts


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-1e-4, 1e-4).map(lambda off: EDGE * (1 + off)) | st.floats(-1.0, 0.0), min_size=6, max_size=6)
)
def test_votes_weigh_by_the_log_probability_that_is_journaled(logprobs):
    """A live run and its replay weigh alike, by three digits, however close to an edge the engine's own number was."""
    policy = Policy(LogOdds(5.5, ONE_VOTER))
    outcome = run(Words(1), ScriptedSampler([said("a", logprob) for logprob in logprobs]), policy)
    journaled = [reply.logprob for reply in outcome.replies]
    assert journaled == [float(f"{logprob:.3g}") for logprob in logprobs[: len(journaled)]]
    assert [step.margin for step in outcome.decided] == margins(outcome.entries)
    assert outcome.decided[0].margin == sum(3000 if logprob >= EDGE else 1000 for logprob in journaled)


def test_a_log_probability_just_below_an_edge_counts_as_it_is_written():
    """-0.0100004 is journaled as -0.01, which is the edge, so the vote is in the bin above."""
    outcome = run(Words(1), ScriptedSampler([said("a", -0.0100004)] * 2), Policy(LogOdds(5.0, ONE_VOTER)))
    assert outcome.decided[0].margin == 6000


# --- what decides


def test_a_choice_with_fewer_votes_wins_where_they_weigh_more():
    """Two votes of a voter measured as mostly right win over three of one measured as mostly wrong."""
    weights = Weights((), (("good", VoterWeights((3000,), 3000)), ("bad", VoterWeights((0,), 0))))
    script = [said("x", voter="bad"), said("a", voter="good"), said("x", voter="bad"), said("x", voter="bad")]
    outcome = run(Words(1), ScriptedSampler([*script, said("a", voter="good")]), Policy(LogOdds(6.0, weights)))
    (step,) = outcome.decided
    assert (step.value, step.tally, step.votes_for, step.margin) == ("a", (3, 2), 2, 6000)


def test_votes_of_equal_weight_are_margins_in_votes():
    """The margin of other rules is counted in votes."""
    (step,) = run(Words(1), ScriptedSampler(["a", "b", "a", "a"])).decided
    assert (step.tally, step.votes_for, step.margin) == ((3, 1), 3, 2)


def test_an_undecided_step_says_how_far_it_was_from_a_win():
    """If votes are weighed, the message has the lead and the rule, since votes alone do not show it."""
    weights = Weights((), (("scripted", VoterWeights((2500,), 100)),))
    outcome = run(Words(1), ScriptedSampler(["a"] * 4), Policy(LogOdds(9.0, weights), vote_cap=4))
    assert isinstance(outcome.error, StepUndecided)
    assert "4 votes (4, a lead of 2.8 nats where log-odds 9 wins)" in str(outcome.error)


def test_a_raised_cap_counts_the_same_votes_with_the_same_weights():
    """On resuming, each voter's earlier votes are counted again from the start of the race."""
    weights = Weights((), (("scripted", VoterWeights((2500,), 600)),))
    policy = Policy(LogOdds(3.9, weights), vote_cap=3)
    script = ScriptedSampler(["a", "a", "a", "a"])
    stopped = run(Words(1), script, policy)
    assert isinstance(stopped.error, StepUndecided)
    assert "a lead of 3.7 nats" in str(stopped.error)
    outcome = resume(Words(1), script, stopped.entries, caps=(8, None))
    assert [step.margin for step in outcome.decided] == margins(outcome.entries) == [2500 + 3 * 600]


@pytest.mark.parametrize("script", [[said("a", voter="new")], [said("a"), said("a", voter="new")]])
def test_a_voter_that_was_not_measured_stops_the_run_at_its_first_sample(script):
    """Its votes would weigh nothing, up to the cap. Its sample is kept, and resuming says the same."""
    outcome = run(Words(1), ScriptedSampler(script), Policy(LogOdds(len(script) * 3.0, ONE_VOTER)))
    assert isinstance(outcome.error, InputError)
    assert "votes of new weigh nothing: the weights of this run were measured of scripted" in str(outcome.error)
    assert len(outcome.replies) == len(script)
    assert str(resume(Words(1), ScriptedSampler(script), outcome.entries).error) == str(outcome.error)


# --- through the public functions


class Voter:
    """A noise sampler with a name of its own and higher log-probabilities for right answers than for wrong ones."""

    paid = False
    compact = True

    def __init__(self, chain, name, p):
        self._chain, self._noise, self.name = chain, NoisySampler(chain.rehearse, p), name

    async def sample(self, prompt, settings, n):
        samples = await self._noise.sample(prompt, settings, n)
        return [self._signed(prompt, sample, settings.sample_seed(i)) for i, sample in enumerate(samples)]

    def _signed(self, prompt, sample, seed):
        sure = Random(seed).random() < (0.95 if sample.text == self._chain.rehearse(prompt).right else 0.2)
        return replace(sample, voter=self.name, logprob=-0.001 if sure else -0.5)


HANOI = Hanoi(disks=5)
VOTERS = [Voter(HANOI, "one", 0.9), Voter(HANOI, "poor", 0.3), Voter(HANOI, "two", 0.8)]
WEIGHTS = Weights(
    (-0.1,),
    (
        ("one", VoterWeights((0, 3700), 3700, 3700, 3700)),
        ("poor", VoterWeights((0, 0), 0)),
        ("two", VoterWeights((0, 2900), 2900)),
    ),
)
POLICY = Policy(LogOdds(9.21, WEIGHTS), vote_cap=100)


@pytest.mark.parametrize("speculate", ["off", "auto"])
def test_a_run_of_weighed_votes_is_stopped_resumed_and_reported(tmp_path, speculate):
    """It solves the process with the same votes, stopped or not; the report has the rule and its weights."""
    whole, parts = tmp_path / "whole.db", tmp_path / "parts.db"
    options = Options(policy=POLICY, speculate=speculate)
    unerring.run(HANOI, VOTERS, whole, options=options)
    with pytest.raises(StepLimit):
        unerring.run(HANOI, VOTERS, parts, options=replace(options, max_steps=11))
    result = unerring.resume(parts, model=VOTERS, options=Options(speculate=speculate))
    assert result.state["pegs"][:2] == [[], []]
    assert exported(parts) == exported(whole)
    assert unerring.verify(parts).problem is None
    report = unerring.report(parts)
    assert (report["steps"], report["sessions"]) == (31, 2)
    assert (report["policy"]["rule"], report["policy"]["weights"]) == ("log-odds 9.21", WEIGHTS.to_json())


def test_every_step_was_won_by_the_lead_that_the_rule_asks_for(tmp_path):
    """Each margin reaches the threshold, by less than one vote, also if the choice had fewer than half of them."""
    unerring.run(HANOI, VOTERS, tmp_path / "run.db", options=Options(policy=POLICY))
    steps = list(History(tmp_path / "run.db").steps())
    assert all(9210 <= step.margin < 9210 + WEIGHTS.heaviest for step in steps)
    assert any(2 * step.votes_for < step.votes for step in steps)
