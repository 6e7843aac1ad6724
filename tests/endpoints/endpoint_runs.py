"""A fast clock, scripts of mixed faults and figures, for tests of whole runs through an endpoint."""

import asyncio
import time
from collections import Counter

import unerring
from faults.faults import Fault
from faults.script import first_of, shares, spanning
from unerring.core.planning.costs import Price
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy
from unerring.core.voting.redflag import FlagRules
from unerring.runtime.calls.patience import Patience
from unerring.runtime.config import Guards

PRICE = Price(0.40, 1.60, cached=0.10)
POLICY = Policy(AheadBy(3), vote_cap=60, first_temperature=1.0, later_temperature=1.0, flags=FlagRules(400))

# Faults that end at a deadline come side by side, so that they are waited for together.
AWAITED = (Fault.HANG, Fault.ORPHAN_HANG, Fault.SILENCE, Fault.DRIP, Fault.SPACES)
QUICK = (
    *(Fault.RATE_LIMITED, Fault.RATE_LIMITED_1, Fault.RATE_LIMITED_GARBAGE, Fault.ERROR_500, Fault.BAD_GATEWAY),
    *(Fault.UNAVAILABLE, Fault.OVERLOADED, Fault.RESET, Fault.RESET_MID_BODY, Fault.ORPHAN, Fault.EMPTY_CHOICES),
    *(Fault.NULL_CONTENT, Fault.CUT_SHORT, Fault.CUT_OFF, Fault.GARBAGE, Fault.HTML_PAGE, Fault.DUPLICATE),
    *(Fault.CUT_AT_FIELD, Fault.REFUSAL, Fault.HTML_TYPE),
)


def mixed(share, seed, awaited=(600, 2600)):
    """A script by which this share of the requests fails, in all these ways; from `awaited` on, five that hang."""
    hanging = [
        spanning(first + offset, first + offset, fault) for first in awaited for offset, fault in enumerate(AWAITED)
    ]
    return first_of(*hanging, shares({fault: share / len(QUICK) for fault in QUICK}, seed=seed))


class QuickClock:
    """Time that passes so many times as fast, so that waits of minutes take a moment."""

    def __init__(self, times=100.0):
        self._times = times

    def time(self):
        return time.monotonic() * self._times

    async def sleep(self, seconds):
        await asyncio.sleep(seconds / self._times)


def options(spec, **given):
    """Options of a run on a fault server."""
    usual = {
        "policy": POLICY,
        "in_flight": 192,  # samples, three a call: 64 calls
        # a drafting model that costs nothing and is right: what is asked ahead is all asked, and never in vain
        "speculate": "noise/p=1",
        "waste": 0.9,
        "clock": QuickClock(),
        "patience": Patience(total=1e9),
        "prices": {spec: PRICE},
        "guards": Guards(copies=1.0),
    }
    return unerring.Options(**{**usual, **given})


def decisions(journal):
    """Every decided choice, in order."""
    return [decided.choice for decided in unerring.api.journals.history.History(journal).steps()]


def kinds(entries):
    """How many entries of each kind there are."""
    return Counter(type(entry).__name__ for entry in entries)
