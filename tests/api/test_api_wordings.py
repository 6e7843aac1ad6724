"""Escalation to another model, and questions in several wordings, from pilot to report."""

from dataclasses import replace

import pytest

import unerring
from doubling import Doubling, double
from unerring import Hanoi, InputError, Options, Policy, Sample, Subtask
from unerring.api.calibration.calibrating import calibrate
from unerring.api.planning import Target, plan, planned_policy
from unerring.core.chain import Rehearsal
from unerring.core.journal.spend import WORDING_SEPARATOR
from unerring.core.voting.race import AheadBy, LogOdds
from unerring.core.voting.weights import VoterWeights, Weights
from unerring.errors import StepUndecided
from unerring.testing import NoisySampler, ScriptedSampler

NAMES = ("sim", f"sim{WORDING_SEPARATOR}2", f"sim{WORDING_SEPARATOR}3")


class Reworded:
    """A chain that can start anywhere and knows the truth; `wordings` is the number of its wordings."""

    wordings = ("Is it {}?", "What of {}, please?", "Tell me of {}.")

    def __init__(self, steps=1000, wordings=3):
        self.steps, self.many = steps, wordings

    def start(self):
        return 0

    def length(self):
        return self.steps

    def state_at(self, step):
        return step

    def truth(self, state):
        return "a"

    def subtask(self, state):
        if state == self.steps:
            return None
        first, *others = (wording.format(state) for wording in self.wordings[: self.many])
        return Subtask(first, str, None, tuple(others))

    def advance(self, state, choice):
        return state + 1

    def rehearse(self, prompt):
        return Rehearsal("a", ("b",))


class Sim(NoisySampler):
    """A model that is often wrong in the second wording, and hardly ever in the others."""

    def __init__(self, name="sim", p=(0.999, 0.9, 0.999)):
        chances = dict(zip(("Is", "What", "Tell"), p, strict=True))
        self._worded = {
            start: NoisySampler(lambda _: Rehearsal("a", ("b",)), chance) for start, chance in chances.items()
        }
        self._called = name
        self.compact = False

    @property
    def name(self):
        return self._called

    async def sample(self, prompt, settings, n):
        drawn = await self._worded[prompt.split()[0]].sample(prompt, settings, n)
        return [replace(sample, voter=self.name) for sample in drawn]


# --- wordings


def test_each_wording_is_a_voter_of_its_own_in_the_report():
    """Votes, flags and dissents are counted by wording, which shows the misleading one."""
    result = unerring.run(Reworded(300), Sim(), k=3)
    voters = {voter["name"]: voter for voter in result.report["voters"]}
    assert tuple(sorted(voters)) == NAMES
    assert all(voters[name]["votes"] >= 300 for name in NAMES)
    assert voters[NAMES[1]]["dissent"] == pytest.approx(0.1, abs=0.05)
    assert voters[NAMES[0]]["dissent"] < 0.02


def test_several_models_meet_every_wording_by_turns():
    """Each pair of a model and a wording is a voter, and all vote equally often without dissent."""
    sure = (1.0, 1.0, 1.0)
    result = unerring.run(Reworded(10), [Sim("one", sure), Sim("two", sure)], k=6)
    assert {voter["name"]: voter["votes"] for voter in result.report["voters"]} == dict.fromkeys(
        [f"{name}{end}" for name in ("one", "two") for end in ("", f"{WORDING_SEPARATOR}2", f"{WORDING_SEPARATOR}3")],
        10,
    )


@pytest.fixture(scope="module")
def measured():
    return calibrate(Reworded(), Sim(), 4000)


def test_a_pilot_measures_each_wording_by_itself(measured):
    """A model that is asked in three wordings is three voters, each with its own p."""
    assert tuple(voter.name for voter in measured.voters) == NAMES
    assert [voter.votes for voter in measured.voters] == [measured.steps] * 3
    shares = [voter.wrong / voter.votes for voter in measured.voters]
    assert shares[1] == pytest.approx(0.1, abs=0.04)
    assert max(shares[0], shares[2]) < 0.02


def test_a_run_is_planned_from_a_pilot_of_its_wordings(measured):
    """Both rules use it: k asks in each wording at least once, and weights are by voter, so by wording."""
    (counted,) = plan([measured], 1000, 0.9, "ahead-by")
    assert counted.races.rule.k >= 3
    policy, _ = planned_policy(Reworded(), Sim(), Target(0.9, "ahead-by", measured))
    assert policy.rule == counted.races.rule
    result = unerring.run(Reworded(), Sim(), options=Options(target=Target(0.9, "ahead-by", measured)))
    assert [voter["planned"] is not None for voter in result.report["certificate"]["voters"]] == [True] * 3


def test_weights_are_by_wording():
    """Under log-odds a run in three wordings has the weights measured of each."""
    long = calibrate(Reworded(8000), Sim(p=(0.99, 0.8, 0.99)), 60_000)
    target = Target(0.9, "log-odds", long)
    policy, _ = planned_policy(Reworded(300), Sim(p=(0.99, 0.8, 0.99)), target)
    weights = {name: voter.bins[0] for name, voter in policy.rule.weights.voters}
    assert tuple(sorted(weights)) == NAMES
    assert weights[NAMES[1]] < 1600
    assert min(weights[NAMES[0]], weights[NAMES[2]]) > 4000
    result = unerring.run(Reworded(300), Sim(p=(0.99, 0.8, 0.99)), options=Options(target=target))
    assert result.steps == 300


@pytest.mark.parametrize("rule", ["ahead-by", "log-odds"])
@pytest.mark.parametrize("wordings", [1, 2])
def test_a_pilot_of_other_wordings_is_refused(measured, rule, wordings, tmp_path):
    """A pilot of three wordings does not measure one or two of them; no run is begun."""
    options = Options(target=Target(0.9, rule, measured))
    with pytest.raises(InputError, match=f"asked in 3 wordings, and here it is asked in {wordings}: calibrate it so"):
        unerring.run(Reworded(100, wordings), Sim(), tmp_path / "run.db", options=options)
    assert list(tmp_path.iterdir()) == []


def test_a_pilot_of_one_wording_is_refused_for_several():
    """A pilot of one wording does not measure several."""
    plain = calibrate(Reworded(1000, 1), Sim(), 1000)
    with pytest.raises(InputError, match="asked in 1 wording, and here it is asked in 3"):
        planned_policy(Reworded(), Sim(), Target(0.9, "ahead-by", plain))


def test_a_pilot_continues_in_its_own_wordings_only(tmp_path):
    """A calibration begun in three wordings is not continued in two."""
    path = tmp_path / "cal.json"
    calibrate(Reworded(), Sim(), 500, path)
    with pytest.raises(InputError, match="in other wordings"):
        calibrate(Reworded(1000, 2), Sim(), 900, path)


def test_models_of_different_numbers_of_wordings_are_not_measured_in_turns():
    """A model with compact prompts has one wording, and does not take turns with one that is asked in three."""

    class Compact(Reworded):
        def subtask(self, state):
            subtask = super().subtask(state)
            return subtask and replace(subtask, compact=f"Is {state}")

    compact = Sim("compact")
    compact.compact = True
    with pytest.raises(InputError, match="not all asked in as many wordings"):
        calibrate(Compact(), [compact, Sim()], 500)
    assert unerring.run(Compact(5), [compact, Sim(p=(1.0, 1.0, 1.0))], k=4).steps == 5


# --- escalation


def either(answers):
    """A model whose sample number i has answer i modulo their number."""

    def model(prompt, settings):
        return Sample(answers[settings.slot % len(answers)], voter="torn")

    return model


def test_a_hard_step_goes_to_another_model(tmp_path):
    """After the given rounds `escalate` answers; the journal names it, and its votes are counted separately."""
    path = tmp_path / "run.db"
    asked = []

    def better(prompt, settings):
        asked.append((settings.step, settings.slot))
        return Sample(double(prompt, settings), voter="better")

    def torn(prompt, settings):
        right = double(prompt, settings)
        return Sample("5" if right == "4" and settings.slot % 2 else right, voter="torn")

    options = Options(policy=Policy(AheadBy(2)), escalate=better, escalate_after=2)
    result = unerring.run(Doubling(), torn, path, options=options)
    assert result.state["value"] == 16
    assert sorted(asked) == [(1, 4), (1, 5)]
    assert result.report["policy"]["escalate_after"] == 2
    assert " > " in result.report["model"]
    assert {voter["name"]: voter["votes"] for voter in result.report["voters"]} == {"torn": 10, "better": 2}


def test_a_step_that_no_model_settles_is_parked(tmp_path):
    """If the other model does not decide it either, the run stops at the cap, with all votes kept."""
    path = tmp_path / "run.db"
    options = Options(policy=Policy(AheadBy(2), vote_cap=8), escalate=either("23"), escalate_after=2)
    with pytest.raises(StepUndecided, match="step 0 is undecided after 8 votes"):
        unerring.run(Doubling(), either("23"), path, options=options)
    assert unerring.report(path)["stopped"]["kind"] == "undecided"


def test_a_specification_may_have_its_reserve_in_it(tmp_path):
    """`a > b` is a with b in reserve, as the journal has it for resuming."""
    path, chain = tmp_path / "run.db", Hanoi(disks=3)
    result = unerring.run(chain, "noise/v=0 > noise/p=1", path, k=2, options=Options(escalate_after=1))
    assert result.report["model"] == "noise/p=0.99,v=0.0,c=0.0 > noise/p=1.0,v=1.0,c=0.0"
    assert result.report["policy"]["escalate_after"] == 1
    assert unerring.verify(path).problem is None


@pytest.mark.parametrize(
    ("model", "escalate", "message"),
    [
        ("noise/p=0.9 > noise/p=1", "noise/p=1", "leave one of the two out"),
        ("noise/p=0.9", "noise/p=0.9 > noise/p=1", "names a model that escalates further"),
        ("noise/p=0.9", "gpt-5", "no model is called"),
    ],
)
def test_an_impossible_reserve_is_refused(tmp_path, model, escalate, message):
    """Two reserves, a reserve of a reserve and an unknown model are refused before a journal is made."""
    with pytest.raises(InputError, match=message):
        unerring.run(Hanoi(3), model, tmp_path / "run.db", k=2, options=Options(escalate=escalate))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rounds", [0, -1, 1.5, "2"])
def test_an_impossible_number_of_rounds_is_refused(rounds):
    """Rounds are whole numbers from 1."""
    with pytest.raises(InputError, match="escalate_after must be a whole number, at least 1; got"):
        unerring.run(Doubling(), double, k=2, options=Options(escalate=double, escalate_after=rounds))


def test_a_reserve_whose_votes_would_weigh_nothing_is_refused(tmp_path):
    """If votes are weighed, a reserve that was not measured could decide nothing, and is refused without a journal."""
    weights = Weights((), (("scripted", VoterWeights((3000,), 3000)),))
    options = Options(policy=Policy(LogOdds(5.0, weights)), escalate="noise/p=1")
    chain = Hanoi(3)
    with pytest.raises(InputError, match=r"votes of noise/p=1\.0.* would weigh nothing"):
        unerring.run(chain, ScriptedSampler([]), tmp_path / "run.db", options=options)
    assert list(tmp_path.iterdir()) == []
