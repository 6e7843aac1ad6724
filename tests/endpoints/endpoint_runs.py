"""What the tests of whole runs through an endpoint share: a clock whose waits are short, shares of faults, figures."""

import asyncio
import time
from collections import Counter

from faults.faults import Fault
from faults.script import shares

import unerring
from unerring.core.planning.costs import Price
from unerring.core.policy import Policy
from unerring.core.race import AheadBy
from unerring.core.redflag import FlagRules
from unerring.runtime.limits import Guards, Patience

PRICE = Price(0.40, 1.60, cached=0.10)
POLICY = Policy(AheadBy(3), vote_cap=60, first_temperature=1.0, later_temperature=1.0, flags=FlagRules(400))

# Faults that end at a deadline are rare, so that the test does not wait long; the others make up the rest.
AWAITED = (Fault.HANG, Fault.ORPHAN_HANG, Fault.SILENCE, Fault.DRIP, Fault.SPACES)
QUICK = (
    *(Fault.RATE_LIMITED, Fault.RATE_LIMITED_1, Fault.RATE_LIMITED_GARBAGE, Fault.ERROR_500, Fault.BAD_GATEWAY),
    *(Fault.UNAVAILABLE, Fault.OVERLOADED, Fault.RESET, Fault.RESET_MID_BODY, Fault.ORPHAN, Fault.EMPTY_CHOICES),
    *(Fault.NULL_CONTENT, Fault.CUT_SHORT, Fault.CUT_OFF, Fault.GARBAGE, Fault.HTML_PAGE, Fault.DUPLICATE),
    *(Fault.CUT_AT_FIELD, Fault.REFUSAL, Fault.HTML_TYPE),
)


def mixed(share, seed, awaited=0.005):
    """A script by which this share of the requests fails, in all these ways."""
    each = {fault: awaited / len(AWAITED) for fault in AWAITED}
    each |= {fault: (share - awaited) / len(QUICK) for fault in QUICK}
    return shares(each, seed=seed)


class QuickClock:
    """Time that passes so many times as fast: what is waited out for minutes takes a moment."""

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
        "in_flight": 64,
        "clock": QuickClock(),
        "patience": Patience(total=1e9),
        "prices": {spec: PRICE},
        "guards": Guards(copies=1.0),
    }
    return unerring.Options(**{**usual, **given})


def decisions(journal):
    """Every decided choice, in order."""
    return [decided.choice for decided in unerring.reading.History(journal).steps()]


def kinds(entries):
    """How many entries of each kind there are."""
    return Counter(type(entry).__name__ for entry in entries)
