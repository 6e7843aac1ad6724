"""Steps that reserves answer after some rounds, and questions in several wordings: who is asked what, by number."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain_runs import K1, K2, Words, resume, run, word
from unerring.core.chain import Subtask
from unerring.core.journal.entries import Finished
from unerring.core.journal.review_entries import Redrawn
from unerring.core.journal.spend import WORDING_SEPARATOR
from unerring.core.journal.state import RunState
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy
from unerring.core.voting.sample import Sample
from unerring.errors import StepUndecided
from unerring.runtime.config import Speculation
from unerring.runtime.ensemble import Ensemble, member_for, reserves_of, turns_before, voter_name


class Speaks:
    """A sampler that answers `answer(step, slot)`, and keeps step, number and prompt of each sample."""

    compact = False

    def __init__(self, name, answer, paid=False):
        self.name = name
        self.paid = paid
        self.asked = []
        self._answer = answer if callable(answer) else lambda step, slot: answer

    async def sample(self, prompt, settings, n):
        slots = range(settings.slot, settings.slot + n)
        self.asked += [(settings.step, slot, prompt) for slot in slots]
        return [Sample(self._answer(settings.step, slot)) for slot in slots]

    @property
    def slots(self):
        """Step and number of each sample, in order."""
        return sorted((step, slot) for step, slot, _ in self.asked)


class Worded(Words):
    """A chain whose steps are asked in three wordings."""

    def subtask(self, state):
        if len(state) == self.steps:
            return None
        asked = f"word {len(state)}"
        return Subtask(asked, word, None, (f"{asked}, please", f"kindly: {asked}"))


def torn(at=0, paid=False):
    """Two members that disagree on one step, and a reserve that agrees with the first."""
    one = Speaks("one", "a", paid)
    other = Speaks("other", lambda step, slot: "b" if step == at else "a", paid)
    return one, other, Speaks("reserve", "a", paid)


AFTER_TWO = replace(K2, escalate_after=2)


# --- who is asked


def test_a_reserve_answers_once_the_rounds_before_it_are_over():
    """After two rounds of the members the reserve alone answers; steps that members decide never get there."""
    one, other, reserve = torn(at=1)
    outcome = run(Words(3), Ensemble([one, other], [reserve]), AFTER_TWO)
    assert outcome.at == ["a", "a", "a"]
    assert reserve.slots == [(1, 4), (1, 5)]
    assert one.slots == [(0, 0), (1, 0), (1, 2), (2, 0)]
    assert other.slots == [(0, 1), (1, 1), (1, 3), (2, 1)]
    assert [decided.rounds for decided in outcome.decided] == [1, 3, 1]


def test_without_a_number_of_rounds_a_reserve_is_never_asked():
    """A panel may have a reserve that is not used: members continue until the step is decided or at its cap."""
    one, other, reserve = torn()
    outcome = run(Words(1), Ensemble([one, other], [reserve]), replace(K2, vote_cap=8))
    assert isinstance(outcome.error, StepUndecided)
    assert reserve.asked == []


def test_flagged_rounds_count_as_rounds():
    """Rounds in which all samples are flagged count before a reserve is asked."""
    reserve = Speaks("reserve", "a")
    outcome = run(Words(1), Ensemble([Speaks("mute", "!")], [reserve]), replace(K1, escalate_after=3))
    assert outcome.at == ["a"]
    assert reserve.slots == [(0, 3)]
    assert [reply.slot for reply in outcome.decided[0].replies] == [0, 1, 2, 3]


def test_a_step_that_the_reserve_cannot_settle_stays_undecided():
    """If votes of members and reserve together reach the cap, the run stops and nothing is elected."""
    one, other, _ = torn()
    reserve = Speaks("reserve", lambda step, slot: "ab"[slot % 2])
    outcome = run(Words(1), Ensemble([one, other], [reserve]), replace(AFTER_TWO, vote_cap=10))
    assert isinstance(outcome.error, StepUndecided)
    assert outcome.paused.kind == "undecided"
    assert reserve.slots == [(0, slot) for slot in range(4, 10)]
    assert len(outcome.votes) == 10


def test_several_reserves_take_turns():
    """They take turns by the sample's number, as members do."""
    one, other, first = torn()
    second = Speaks("second", "b")
    run(Words(1), Ensemble([one, other], [first, second]), replace(AFTER_TWO, vote_cap=12))
    assert {slot % 2 for _, slot in first.slots} == {0}
    assert {slot % 2 for _, slot in second.slots} == {1}


def test_redrawn_samples_begin_with_the_members():
    """A redraw is a new race: its first rounds are the members', with further numbers."""
    one, other, reserve = torn()
    reserve._answer = lambda step, slot: "ab"[slot % 2]
    panel = Ensemble([one, other], [reserve])
    stopped = run(Words(1), panel, replace(AFTER_TWO, vote_cap=6))
    again = resume(Words(1), panel, [*stopped.entries, Redrawn(0, 1.0)])
    assert isinstance(again.error, StepUndecided)
    assert one.slots == [(0, 0), (0, 2), (0, 6), (0, 8)]
    assert reserve.slots == [(0, 4), (0, 5), (0, 10), (0, 11)]


def test_a_substitute_draws_all_samples_of_its_step():
    """A model that a person named for a step answers it in every round; the members answer the others."""
    one, other, reserve = torn()
    stopped = run(Words(2), Ensemble([one, other], [reserve]), replace(AFTER_TWO, vote_cap=4))
    halves = [Speaks("left", lambda step, slot: "a" if slot > 7 else "b"), Speaks("right", "a")]
    again = resume(
        Words(2),
        Ensemble([one, other], [reserve]),
        [*stopped.entries, Redrawn(0, 1.0, "left + right")],
        caps=(20, None),
        substitutes={"left + right": Ensemble(halves)},
    )
    assert again.at == ["a", "a"]
    assert halves[0].slots == [(0, 4), (0, 6), (0, 8)]
    assert halves[1].slots == [(0, 5), (0, 7), (0, 9)]
    assert reserve.asked == []
    assert (1, 0) in one.slots


# --- wordings


def test_every_member_meets_every_wording_in_turn():
    """Three wordings and two members rotate once in six samples, by number."""
    members = [Speaks("one", lambda step, slot: f"{slot}"), Speaks("other", lambda step, slot: f"{slot}")]
    run(Worded(1), Ensemble(members), replace(K2, vote_cap=12))
    wordings = ["word 0", "word 0, please", "kindly: word 0"]
    for number, member in enumerate(members):
        assert sorted(member.asked) == sorted((0, slot, wordings[slot // 2 % 3]) for slot in range(number, 12, 2))


def test_members_and_their_wordings_are_voters_of_their_own():
    """A voter is a member and a wording: the first wording has the member's name, each further one its number."""
    outcome = run(Worded(1), Ensemble([Speaks("one", "a"), Speaks("other", "b")]), replace(K2, vote_cap=12))
    names = {voter.name: voter.votes for voter in outcome.state.voters.values()}
    assert names == dict.fromkeys(
        [
            f"{name}{end}"
            for name in ("one", "other")
            for end in ("", f"{WORDING_SEPARATOR}2", f"{WORDING_SEPARATOR}3")
        ],
        2,
    )


class Turning:
    """A sampler of several that take turns, like the embedded model's members."""

    compact = paid = False

    def __init__(self, name, rotation):
        self.name = name
        self.rotation = rotation

    def voter(self, slot):
        return f"{self.name}/{slot % self.rotation}"


samplers = st.lists(st.integers(1, 3), min_size=1, max_size=4)


@given(samplers, st.lists(st.integers(1, 3), max_size=3), st.integers(1, 4), st.booleans())
@settings(max_examples=200, deadline=None)
def test_no_common_factor_keeps_a_member_from_a_wording(members, reserves, wordings, escalated):
    """For any numbers, all members are asked in every wording equally often, also members within members."""
    panel = Ensemble(
        [Turning(f"m{number}", rotation) for number, rotation in enumerate(members)],
        [Turning(f"r{number}", rotation) for number, rotation in enumerate(reserves)],
    )
    drawing = reserves if escalated and reserves else members
    met = Counter()
    for slot in range(720 * 4):
        sampler = member_for(panel, slot, escalated)
        met[sampler.voter(slot), turns_before(panel, slot, escalated) % wordings] += 1
    voters = {voter for voter, _ in met}
    assert len(met) == len(voters) * wordings
    assert {voter.partition("/")[0][1:] for voter in voters} == {str(number) for number in range(len(drawing))}
    for voter in voters:
        assert len({met[voter, wording] for wording in range(wordings)}) == 1


# --- killed and resumed


class Seeded(Speaks):
    """A sampler whose answers follow from its name, the question and the sample's number, like a seeded model's."""

    def __init__(self, name, seed, right, paid=False):
        super().__init__(name, "", paid)
        self._seed, self._right = seed, right

    async def sample(self, prompt, settings, n):
        await super().sample(prompt, settings, n)
        slots = range(settings.slot, settings.slot + n)
        return [self._said(prompt, settings.step, slot) for slot in slots]

    def _said(self, prompt, step, slot):
        draw = Random(f"{self._seed}:{self.name}:{prompt}:{step}:{slot}")
        answer = "a" if draw.random() < self._right else draw.choice("bc!")
        return Sample(answer, reply_id=f"{self.name}:{step}:{slot}")


def votes_of(entries):
    """For each committed step the voters and their votes, by sample number."""
    state, found = RunState(), []
    for entry in entries:
        decided = state.apply(entry)
        if decided is not None:
            votes = [(reply.slot, state.voters[reply.voter].name, reply.flag) for reply in decided.replies]
            found.append((decided.choice, decided.tally, decided.rounds, votes))
    return found


@pytest.mark.parametrize("speculation", [None, Speculation()], ids=["one by one", "ahead"])
@pytest.mark.parametrize("paid", [False, True], ids=["free", "paid"])
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_a_run_that_was_killed_at_any_entry_draws_the_same_votes(speculation, paid, seed, members, reserves, after):
    """Resumed from every prefix of its journal, a run with reserves and wordings equals the uninterrupted one."""
    policy = Policy(AheadBy(3), vote_cap=200, flag_cap=50, escalate_after=after)

    def panel():
        return Ensemble(
            [Seeded(f"m{number}", seed, 0.6, paid) for number in range(members)],
            [Seeded(f"r{number}", seed, 0.9, paid) for number in range(reserves)],
        )

    whole = run(Worded(3), panel(), policy, speculation=speculation)
    assert whole.error is None
    expected = votes_of(whole.entries)
    assert isinstance(whole.entries[-1], Finished)
    for cut in range(1, len(whole.entries)):
        again = resume(Worded(3), panel(), whole.entries[:cut], speculation=speculation)
        assert again.error is None
        assert votes_of(again.entries) == expected, cut


@pytest.mark.parametrize("paid", [False, True], ids=["free", "paid"])
@given(st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_a_redraw_that_was_killed_at_any_entry_draws_the_same_votes(paid, seed):
    """A step redrawn from another model has the same votes if the run is killed and resumed again."""
    policy = Policy(AheadBy(2), vote_cap=4, flag_cap=1)

    def going(before):
        others = Ensemble([Seeded("left", seed, 0.99, paid), Seeded("right", seed, 0.99, paid)])
        one = Speaks("one", lambda step, slot: "ab"[slot % 2] if step == 1 and slot < 8 else "a", paid)
        return resume(Worded(3), one, before, caps=(60, 60), substitutes={"others": others})

    torn_apart = Speaks("one", lambda step, slot: "ab"[slot % 2] if step == 1 else "a", paid)
    stopped = run(Worded(3), torn_apart, policy)
    assert isinstance(stopped.error, StepUndecided)
    before = [*stopped.entries, Redrawn(1, 1.0, "others")]
    whole = going(before)
    assert whole.error is None
    expected = votes_of(whole.entries)
    assert {name.partition(WORDING_SEPARATOR)[0] for _, name, _ in expected[1][3]} == {"left", "right"}
    for cut in range(len(before), len(whole.entries)):
        assert votes_of(going(whole.entries[:cut]).entries) == expected, cut


def test_the_runs_of_that_law_reach_the_reserve():
    """With the seeds of that law, reserves are sometimes asked, in wordings beyond the first."""
    reached = Counter()
    for seed in range(30):
        policy = Policy(AheadBy(3), vote_cap=200, flag_cap=50, escalate_after=1)
        outcome = run(Worded(3), Ensemble([Seeded("m", seed, 0.6)], [Seeded("r", seed, 0.9)]), policy)
        reached.update(voter.name for voter in outcome.state.voters.values())
    assert reached["r"] + reached[f"r{WORDING_SEPARATOR}2"] > 10
    assert reached[f"r{WORDING_SEPARATOR}3"] > 3


def test_a_panel_names_its_reserves():
    """The name of a panel makes it again: members, and after them the reserves."""
    one, other, reserve = torn()
    panel = Ensemble([one, other], [reserve])
    assert panel.name == "one + other > reserve"
    assert reserves_of(panel) == (reserve,)
    assert reserves_of(one) == ()
    assert voter_name(Sample("a"), reserve, 1) == "reserve wording 2"
