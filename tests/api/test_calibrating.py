"""Calibrations from Python: what they store, plans from them, and the policy of a run that uses one."""

import asyncio
from dataclasses import replace
from random import Random

import pytest

import unerring
from doubling import Doubling, double
from pilots import Places, blank, looked, one_line, piloted, simulated
from unerring import FlagRules, Hanoi, InputError, Options, Policy
from unerring.api.calibration.calibrating import PilotOptions, acalibrate, calibrate
from unerring.api.calibration.calibration_files import read_calibration, shipped_calibration, write_calibration
from unerring.api.planning import Target, plan, planned_policy
from unerring.core.planning.costs import Price
from unerring.errors import NoKCanHelp
from unerring.testing import FakeClock, NoisySampler, ScriptedSampler

HANOI = Hanoi(disks=8)
NOISE = "noise/p=0.9,v=0.9,c=0.0"


class Rights(ScriptedSampler):
    """A sampler whose every answer is `a`, and which keeps its calls."""

    def __init__(self, name="rights"):
        super().__init__(["a"] * 50, paid=False)
        self._name = name

    @property
    def name(self):
        return self._name


# --- calibrate


@pytest.mark.parametrize("samples", [0, -1, 1.5, "5", True, None])
def test_an_invalid_number_of_samples_is_refused(samples):
    """Samples are a whole number from 1, checked before anything is asked."""
    sampler = Rights()
    with pytest.raises(InputError, match="samples"):
        calibrate(Places(), sampler, samples)
    assert sampler.calls == []


def test_an_invalid_number_of_samples_in_flight_is_refused():
    """`in_flight` is a whole number from 1, checked before anything is asked."""
    with pytest.raises(InputError, match="in_flight"):
        piloted(Places(), Rights(), in_flight=0)


@pytest.mark.parametrize(
    ("chain", "model"), [(object(), "embedded"), (Hanoi, "embedded"), (HANOI, "gpt-9"), (HANOI, 7), (HANOI, [])]
)
def test_what_is_no_chain_or_no_model_is_refused(chain, model):
    """An object that is no chain, and an unknown specification, are InputErrors."""
    with pytest.raises(InputError):
        calibrate(chain, model, 5)


def test_inside_an_event_loop_acalibrate_is_named():
    """On a running loop `calibrate` names `acalibrate`, which does the same."""

    async def main():
        with pytest.raises(InputError, match="acalibrate"):
            calibrate(HANOI, "noise/p=0.9", 20)
        return await acalibrate(HANOI, "noise/p=0.9", 20)

    found, expected = asyncio.run(main()), calibrate(HANOI, "noise/p=0.9", 20)
    assert replace(found, calls_seconds=0.0) == replace(expected, calls_seconds=0.0)


def test_a_function_can_be_measured():
    """A user's model is measured like a shipped one, by votes if the chain has no truth."""
    found = calibrate(Doubling(12), double, 1000)
    assert (found.steps, found.voters[0].wrong, found.judged_by, found.walked) == (12, 0, "votes", True)
    assert found.process == "doubling:Doubling"


def test_an_observer_gets_every_step():
    """`seen` gets the calibration after each step, in order."""
    steps = []
    piloted(Places(), Rights(), 15, seen=lambda calibration: steps.append(calibration.steps))
    assert steps == list(range(1, 16))


def test_the_policy_of_a_model_says_how_it_is_measured():
    """A model that recommends a policy is measured by its flags and at its temperature."""
    sampler = Rights()
    sampler.recommended_policy = Policy(later_temperature=0.6, flags=FlagRules(77))
    found = calibrate(Places(), sampler, 5)
    assert (found.temperature, found.flag_rules) == (0.6, FlagRules(77))
    assert {call[3] for call in sampler.calls} == {0.6}


# --- the file


def test_a_calibration_is_kept_as_it_grows(tmp_path):
    """The file is written again, whole, every few seconds, so a kill costs no more than that."""
    path, clock, held = tmp_path / "cal.json", FakeClock(), []

    def seen(calibration):
        held.append(read_calibration(path).steps if path.exists() else 0)
        clock.now += 6.0

    piloted(Places(), Rights(), 20, path, clock=clock, seen=seen)
    assert all(0 < number - there <= 12.0 / 6.0 for number, there in enumerate(held, 1))
    assert read_calibration(path).steps == 20


def test_nothing_counted_leaves_no_file(tmp_path):
    """A pilot that fails before its first step leaves no file."""

    def parse(text):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        piloted(Places(5, parse), Rights(), 5, tmp_path / "cal.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["no/such/folder/cal.json", "."])
def test_a_file_that_cannot_be_written_is_reported_before_anything_is_asked(tmp_path, monkeypatch, path):
    """No sample is drawn if it could not be kept."""
    monkeypatch.chdir(tmp_path)
    sampler = Rights()
    with pytest.raises((InputError, OSError)):
        piloted(Places(), sampler, 5, path)
    assert sampler.calls == []


def test_another_programs_file_is_refused_and_left_alone(tmp_path):
    """A file that is no calibration is not overwritten."""
    path = tmp_path / "cal.json"
    path.write_text("{}")
    with pytest.raises(InputError) as raised:
        piloted(Places(), Rights(), 5, path)
    assert "cal.json" in one_line(raised.value)
    assert path.read_text() == "{}"


OTHERS = {
    "the process": lambda path: calibrate(Doubling(), "noise/p=0.9", 5, path),
    "the parameters": lambda path: calibrate(Hanoi(disks=9), "noise/p=0.9", 5, path),
    "the model": lambda path: calibrate(HANOI, "noise/p=0.8", 5, path),
    "the seed": lambda path: calibrate(HANOI, "noise/p=0.9", 5, path, seed=1),
    "the temperature": lambda path: calibrate(
        HANOI, "noise/p=0.9", 5, path, options=PilotOptions(Policy(later_temperature=1.0))
    ),
    "the flags": lambda path: calibrate(
        HANOI, "noise/p=0.9", 5, path, options=PilotOptions(Policy(flags=FlagRules(9)))
    ),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_a_file_that_holds_another_calibration_is_refused_and_left_alone(tmp_path, other):
    """Counts of different pilots are never added: the file must be of the same one."""
    path = tmp_path / "cal.json"
    calibrate(HANOI, "noise/p=0.9", 5, path)
    before = path.read_bytes()
    with pytest.raises(InputError) as raised:
        other(path)
    one_line(raised.value)
    assert path.read_bytes() == before


def test_a_calibration_with_a_negative_seed_can_be_continued(tmp_path):
    """Any whole number is a seed, and is read back from its file."""
    path = tmp_path / "cal.json"
    calibrate(HANOI, "noise/p=0.9", 5, path, seed=-1)
    assert calibrate(HANOI, "noise/p=0.9", 10, path, seed=-1).seed == -1


# --- what ships


@pytest.mark.parametrize(
    ("model", "names"),
    [
        ("embedded", ["embedded/a", "embedded/b", "embedded/c"]),
        (["embedded"], ["embedded/a", "embedded/b", "embedded/c"]),
        ("embedded/b", ["embedded/b"]),
    ],
)
def test_the_embedded_models_calibration_ships(model, names):
    """The ensemble and each member have a calibration in the package."""
    found = shipped_calibration(model)
    assert [voter.name for voter in found.voters] == names
    assert min(voter.votes for voter in found.voters) > 1000


@pytest.mark.parametrize("model", ["noise/p=0.9", "embedded/z", "gpt-9", ["embedded", "noise/p=0.9"], double, 7, None])
def test_other_models_have_none(model):
    """No calibration ships for any other model."""
    assert shipped_calibration(model) is None


# --- plan


def measured_noise(p, samples=3000, seed=1, **changed):
    """A calibration of simulated votes."""
    calibration = simulated(lambda _: [1.0 - p], samples, Random(seed))
    return replace(calibration, **changed)


def test_models_are_planned_cheapest_first():
    """Each calibration has a plan with the given prices; the cheapest for the whole job is the first."""
    calibrations = [measured_noise(0.95, model="a/dear"), measured_noise(0.99, model="b/good")]
    prices = {"a/dear": Price(3.0, 3.0), "b/good": Price(1.0, 1.0)}
    plans = plan(calibrations, 100_000, prices=prices)
    assert [one.json["model"] for one in plans] == ["b/good", "a/dear"]
    assert plans[0].dollars < plans[1].dollars


def test_a_model_that_cannot_reach_the_target_is_left_out():
    """Models that can are planned; if none can, the reason of the first is raised."""
    good, bad = measured_noise(0.99, model="good"), measured_noise(0.3, model="bad")
    assert [one.json["model"] for one in plan([bad, good], 1000)] == ["good"]
    with pytest.raises(NoKCanHelp, match="bad"):
        plan([bad], 1000)


def test_a_higher_target_needs_more_votes():
    """Target and rule are the given ones."""
    calibration = measured_noise(0.99)
    votes = [plan([calibration], 10_000, target)[0].json["plan"]["k"] for target in (0.5, 0.95, 0.9999)]
    assert votes == sorted(votes)
    assert votes[0] < votes[-1]
    assert plan([calibration], 10_000, rule="log-odds")[0].json["plan"]["rule"].startswith("log-odds")


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"target": 1.0}, {"rule": "plurality"}, {"concurrency": 0}], ids=str)
def test_an_impossible_plan_is_refused(wrong):
    """Steps, target, rule and concurrency are checked."""
    with pytest.raises(InputError):
        plan([measured_noise(0.99, 500)], **({"steps": 100} | wrong))


# --- the policy of a run


def test_a_run_takes_its_policy_from_a_calibration(tmp_path):
    """Margin, cap, temperature and flags are those planned and measured; the journal keeps the plan."""
    calibration = calibrate(HANOI, NOISE, 3000, options=PilotOptions(Policy(later_temperature=0.3)))
    write_calibration(calibration, tmp_path / "cal.json")
    policy, kept = planned_policy(HANOI, NOISE, Target(calibration=tmp_path / "cal.json"))
    assert policy.rule.k == kept["k"] == plan([calibration], 255)[0].json["plan"]["k"]
    assert (policy.first_temperature, policy.later_temperature, policy.flags) == (0.3, 0.3, calibration.flag_rules)
    assert policy.vote_cap >= 60
    assert (kept["steps"], kept["target"]) == (255, 0.95)


def test_a_run_planned_by_what_was_measured_has_no_error():
    """Measured, planned and run: every step of the chain is right. Seeded; 5 % of other seeds may fail."""
    calibration = calibrate(HANOI, NOISE, 3000)
    result = unerring.run(HANOI, NOISE, options=Options(target=Target(calibration=calibration)))
    assert (result.steps, len(result.state["pegs"][2])) == (255, 8)


def test_the_shipped_calibration_plans_the_embedded_models_runs():
    """Without a k, the embedded model's own calibration gives the margin for a chain."""
    policy, kept = planned_policy(Hanoi(disks=20), "embedded", Target())
    assert policy.rule.k == kept["k"] >= 3
    assert kept["success"] >= 0.95
    assert set(kept["p"]) == {"embedded/a", "embedded/b", "embedded/c"}


def test_nothing_is_planned_where_nothing_is_known():
    """A model that was not measured, or a chain without a length, has no planned policy."""
    assert planned_policy(HANOI, "noise/p=0.9", Target()) is None

    class Endless(Places):
        length = None

    assert planned_policy(Endless(), "embedded", Target()) is None


@pytest.mark.parametrize(
    ("chain", "model", "named"),
    [(HANOI, "noise/p=0.8", "noise/p=0.9"), (Doubling(), "noise/p=0.9,v=1.0,c=0.0", "hanoi")],
)
def test_a_calibration_of_something_else_is_refused(chain, model, named):
    """A run is planned from measurements of its own model and process."""
    calibration = calibrate(HANOI, "noise/p=0.9", 50)
    with pytest.raises(InputError, match=named):
        planned_policy(chain, model, Target(calibration=calibration))


def test_the_same_model_in_other_words_is_the_same():
    """A specification that omits the defaults names the model that was measured."""
    calibration = calibrate(HANOI, "noise/p=0.9", 500)
    assert planned_policy(HANOI, "noise/p=0.9", Target(0.5, calibration=calibration)) is not None


def test_a_calibration_of_other_parameters_of_the_process_will_do():
    """A pilot on a small puzzle may plan a larger one of the same process."""
    calibration = calibrate(HANOI, "noise/p=0.95", 1000)
    model = NoisySampler(HANOI.rehearse, 0.95)
    assert planned_policy(Hanoi(disks=10), model, Target(calibration=calibration)) is not None


def test_a_run_without_a_plan_says_how_to_give_k_by_hand():
    """If no margin reaches the target, the message ends with how to give one by hand."""
    calibration = calibrate(HANOI, "noise/p=0.3", 500)
    with pytest.raises(NoKCanHelp) as raised:
        planned_policy(HANOI, NoisySampler(HANOI.rehearse, 0.3), Target(calibration=calibration))
    assert one_line(raised.value).endswith("give `k`")


def test_a_calibration_without_votes_plans_no_run():
    """A pilot whose samples were all flagged is refused for a run, as for a plan."""
    empty = blank(process="hanoi")
    empty.add(looked(0, None))
    with pytest.raises(InputError, match="more samples"):
        planned_policy(HANOI, NoisySampler(HANOI.rehearse, 0.9), Target(calibration=empty))


@pytest.mark.parametrize("success", [0.0, 1.0, 2.0])
def test_a_target_of_0_or_1_is_refused(success):
    """A run's target is a probability strictly between 0 and 1."""
    with pytest.raises(InputError, match="success must be"):
        Target(success)
