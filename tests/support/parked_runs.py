"""Runs that stop at an undecided step, for tests of reviews, and readers of their journals."""

from contextlib import contextmanager

import pytest

import unerring
from doubling import Doubling
from unerring import InputError, Options, Policy, Sample, Subtask
from unerring.adapters.sqlite.reader import JournalReader
from unerring.core.chain import Rehearsal
from unerring.core.voting.race import AheadBy, LogOdds
from unerring.core.voting.weights import VoterWeights, Weights
from unerring.errors import StepUndecided

CAPPED = Policy(rule=AheadBy(2), vote_cap=6, flag_cap=4)
WEIGHTS = Weights((), (("one", VoterWeights((1000,), 1000)), ("two", VoterWeights((1000,), 1000))))
WEIGHED = Policy(LogOdds(3.5, WEIGHTS), vote_cap=6)


class Rehearsed(Doubling):
    """A doubling chain that the noise sampler can answer."""

    def rehearse(self, prompt):
        value = int(prompt.split()[-1].rstrip("."))
        return Rehearsal(str(2 * value), (str(2 * value + 1), "eh"))


class Reworded(Rehearsed):
    """The same chain, asked in two wordings."""

    def subtask(self, state):
        if state["done"] == self.steps:
            return None
        return Subtask(f"Double {state['value']}.", self.parse, None, (f"Twice this, please: {state['value']}.",))


def torn(prompt, settings):
    """A model whose votes on the second step are split, and which sometimes gives no answer to it."""
    value = int(prompt.split()[-1].rstrip("."))
    if value != 2 or settings.slot % 3 == 0:
        return Sample(str(2 * value), voter="one")
    return Sample("5" if settings.slot % 3 == 1 else "well...", voter="two")


def parked(path, chain=None, model=torn, policy=CAPPED, **options):
    """The journal of a run that stopped at an undecided step."""
    with pytest.raises(StepUndecided):
        unerring.run(chain or Doubling(), model, path, options=Options(policy=policy, speculate="off", **options))
    return path


def entries(path, kind=object):
    return [entry for entry in JournalReader(path).entries() if isinstance(entry, kind)]


@contextmanager
def refused(path, match, error=InputError):
    """Assert that an operation is refused and leaves the journal unchanged."""
    before = entries(path)
    with pytest.raises(error, match=match):
        yield
    assert entries(path) == before
