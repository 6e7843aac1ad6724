"""Undecided steps whose samples are drawn again, from the same model or another one."""

from contextlib import contextmanager

import pytest

import unerring
from doubling import Doubling, double
from parked_runs import WEIGHED, Rehearsed, Reworded, entries, parked, refused, torn
from unerring import Sample
from unerring.api.budget import Budget
from unerring.api.journals.review import decide, review
from unerring.core.journal.entries import Allowed
from unerring.core.journal.review_entries import Redrawn
from unerring.core.planning.costs import Price
from unerring.errors import StepUndecided
from unerring.runtime.config import Guards
from unerring.testing import ScriptedSampler


def test_samples_are_drawn_again(tmp_path):
    """The step's samples are set aside, and new ones decide it; the report counts both."""
    path = parked(tmp_path / "run.db")
    recorded = decide(path, resample=True)
    assert (recorded.step, recorded.choice, recorded.model) == (1, None, None)
    assert "step 1 is to be answered again" in review(path).note
    result = unerring.resume(path, model=double)
    assert result.state["value"] == 16
    assert (result.report["redrawn"], result.report["ruled"]["count"]) == (1, 0)
    assert [decided.tally for decided in unerring.steps(path)] == [(2,)] * 4


def test_a_step_that_stays_undecided_can_be_reviewed_again(tmp_path):
    """If new samples do not decide it, it is parked again with them; those set aside are counted."""
    path = parked(tmp_path / "run.db")
    decide(path, resample=True)
    with pytest.raises(StepUndecided, match="step 1 is undecided after 6 votes"):
        unerring.resume(path, model=torn)
    step = review(path).parked
    assert (step.votes, step.set_aside) == (6, 8)
    assert min(one.number for one in step.samples) >= 8
    decide(path, choose=next(one.number for one in step.candidates if one.choice == "4"))
    assert unerring.resume(path, model=torn).state["value"] == 16


def test_another_model_answers_the_step_and_no_other(tmp_path):
    """A named model draws all samples of that step; the run's own continues after it."""
    path = parked(tmp_path / "run.db", Reworded())
    assert decide(path, model="noise/p=1").model == "noise/p=1"
    result = unerring.resume(path, model=torn)
    assert result.state["value"] == 16
    voters = {voter["name"]: voter["votes"] for voter in result.report["voters"]}
    assert voters["noise/p=1.0,v=1.0,c=0.0"] == 1
    assert voters["noise/p=1.0,v=1.0,c=0.0 wording 2"] == 1


def test_another_model_can_be_named_where_the_process_cannot_be_made(tmp_path):
    """The model is recorded without the process, unless it needs one, like the noise sampler."""

    class Local(Doubling):
        pass

    path = parked(tmp_path / "run.db", Local())
    with refused(path, "the noise sampler needs the right answers"):
        decide(path, model="noise/p=1")
    assert decide(path, model="embedded").model == "embedded"


def test_another_model_can_be_named_after_one_that_does_not_answer(tmp_path):
    """A substitute that draws only flags, or never answers, can be replaced."""
    path = parked(tmp_path / "run.db", Rehearsed())
    decide(path, model="noise/v=0")
    decide(path, model="noise/p=1")
    assert [entry.model for entry in entries(path, Redrawn)] == ["noise/v=0", "noise/p=1"]
    assert unerring.resume(path, model=torn).state["value"] == 16


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("gpt-5", "no model is called"),
        ("noise/q=1", "noise is written"),
        ("embedded/z", "embedded"),
        ("noise/p=1 > noise/p=0.9", "name the model that is to answer"),
    ],
)
def test_an_unknown_model_is_refused(tmp_path, spec, message):
    """A specification is checked before anything is written."""
    path = parked(tmp_path / "run.db", Rehearsed())
    with refused(path, message):
        decide(path, model=spec)


def test_a_model_whose_votes_would_weigh_nothing_is_refused(tmp_path):
    """If votes are weighed, a model that was not measured could decide nothing."""
    path = parked(tmp_path / "run.db", Rehearsed(), policy=WEIGHED)
    with refused(path, "would weigh nothing: the weights of this run were measured of one, two"):
        decide(path, model="noise/p=1")


class Paid(ScriptedSampler):
    """A paid endpoint, as a specification makes one."""

    name = "paid"
    account = "nowhere"

    def __init__(self, replies=()):
        super().__init__(replies, paid=True)

    def worst(self, prompt, settings, n):
        return unerring.Usage(10, 10)

    async def aclose(self):
        pass


def test_a_paid_model_needs_a_price_where_the_run_has_a_budget(tmp_path, monkeypatch):
    """With a budget in dollars a model of unknown price is refused, unless its price is given."""
    path = parked(tmp_path / "run.db", model=Paid([Sample(text, voter="paid") for text in "232323"]), **PAYING)
    other = Paid()
    other.name = "other"

    @contextmanager
    def sampler_for(model, chain, seed):
        yield other

    monkeypatch.setattr("unerring.api.journals.review.sampler_for", sampler_for)
    with refused(path, "needs the price of other"):
        decide(path, model="other")
    decide(path, model="other", prices={"other": Price(2.0, 3.0)})
    assert set(entries(path, Allowed)[-1].tariffs) == {"paid", "other"}
    assert entries(path, Allowed)[-1].limits.money == 10**12


PAYING = {"budget": Budget(usd=1.0), "prices": {"paid": Price(1.0, 1.0)}, "guards": Guards(probe=False)}
