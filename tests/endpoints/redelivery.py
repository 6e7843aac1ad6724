"""Runs of six disks on an endpoint that sends earlier replies again, while many guesses are wrong.

A run may be killed, for real, and resumed: those runs are in processes of their own, and the endpoint outlives them.
"""

import multiprocessing
import multiprocessing.connection
import os
import signal
from contextlib import suppress

import unerring
from faults.answers import echoing, noise
from faults.faults import Fault
from faults.limits import Latency
from faults.script import shares
from faults.server import serving
from unerring import Hanoi
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy
from unerring.core.voting.redflag import FlagRules
from unerring.errors import StepLimit
from unerring.runtime.calls.patience import Patience
from unerring.runtime.config import Guards

DISKS = 6
POLICY = Policy(AheadBy(3), first_temperature=1.0, later_temperature=1.0, flags=FlagRules(400))
CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["unerring", "unerring.adapters.openai", "redelivery"])


def options(probe=False, wrong=0.4, **given):
    """Options of a run whose guesses are wrong with a probability of `wrong`."""
    usual = {
        "policy": POLICY,
        "speculate": f"noise/p={1 - wrong:g}",
        "waste": 0.9,
        "in_flight": 24,
        "patience": Patience(total=1e9, first=0.01),
        "guards": Guards(copies=1.0, probe=probe),
    }
    return unerring.Options(**{**usual, **given})


def decided_wrongly(journal, disks=DISKS):
    """The numbers of the steps that were decided wrongly, judged from the state that each was asked from."""
    chain = Hanoi(disks)
    state, wrong = chain.start(), []
    for decided in unerring.api.journals.history.History(journal).steps():
        if decided.value != chain.truth(state):
            wrong.append(decided.step)
        state = chain.advance(state, decided.value)
    return wrong


def run(journal, n, seed, fault=Fault.DUPLICATE, share=0.4, kills=(), disks=DISKS, nameless=False, **given):
    """The steps decided wrongly in a run at `n` samples a call, killed after so many further requests each time.

    A run with a wrong decision continues beyond its length, and is stopped there: it is judged like any other.
    """
    script = shares({fault: share}, seed=seed)
    latency = Latency(0.001, 0.002)
    with serving(models={"m": echoing(noise(p=1.0))}, script=script, latency=latency, seed=seed) as server:
        server.setup.named = not nameless
        spec = f"openai/m@{server.url},timeout=5" + (",n=1" if n == 1 else "")
        for requests in kills:
            _killed(journal, spec, seed, disks, server, requests, given)
        with suppress(StepLimit):
            _life(str(journal), spec, seed, disks, given)
    return decided_wrongly(journal, disks)


def _life(journal, spec, seed, disks, given):
    """A session of the run: its first, or the next."""
    if os.path.exists(journal):
        unerring.resume(journal, options=options(**given | {"policy": None, "request": unerring.Request()}))
    else:
        unerring.run(Hanoi(disks), spec, journal, seed=seed, options=options(**given))


def _killed(journal, spec, seed, disks, server, requests, given):
    """A session that is killed once the server has had so many requests more."""
    come, coming = multiprocessing.Pipe(duplex=False)
    script, until = server.setup.script, server.ledger.totals.requests + requests

    def counted(turn, question):
        if turn + 1 == until:
            coming.send_bytes(b"come")
        return script(turn, question)

    server.setup.script = counted
    child = CHILDREN.Process(target=_life, args=(str(journal), spec, seed, disks, given))
    child.start()
    multiprocessing.connection.wait([come, child.sentinel])
    server.setup.script = script
    with suppress(ProcessLookupError):
        os.kill(child.pid, signal.SIGKILL)
    child.join()
