"""Run a chain: decide each step by a race, commit it in order to the journal, and advance the state.

This module takes one step after the other. `unerring.runtime.speculation.lookahead` asks ahead, and commits the same.
"""

import asyncio

from unerring.core.checked_chain import CheckedChain
from unerring.core.journal.state import RunState
from unerring.core.voting.canonical import Json
from unerring.core.voting.race import Continue, Undecided, Won
from unerring.errors import Interrupted
from unerring.runtime.acts import performed, require_known_act
from unerring.runtime.calls.ledger import Ledger
from unerring.runtime.config import RunConfig
from unerring.runtime.frontier import Frontier, pausing, undecided_error
from unerring.runtime.protocols import Journal, Sampler
from unerring.runtime.question import Question
from unerring.runtime.sampling import Sampling
from unerring.runtime.speculation.guesses import guesses_of
from unerring.runtime.speculation.lookahead import Lookahead

STEPS_PER_TURN = 8  # that a chain on an instant sampler takes before it yields to the event loop


async def run_chain(
    chain: CheckedChain, sampler: Sampler, journal: Journal, run_state: RunState, at: Json, config: RunConfig
) -> Json:
    """Run a chain to its end, from the state `at`, which the entries applied to `run_state` have reached.

    Returns the chain's last state. Raises `Stopped` where the run stops early, with everything decided so far in the
    journal. Errors of the user's own code are passed on after the journal is durable.
    """
    ledger = Ledger(run_state, journal, config)
    try:
        frontier = Frontier(chain, ledger, at, config)
        sampling = Sampling(sampler, ledger, config)
        async with pausing(ledger, config, sampling):
            sampling.require_weighed(voter.name for voter in run_state.voters.values())
            require_known_act(frontier)
            while (first := chain.subtask(frontier.at, run_state.committed)) is None and await performed(frontier):
                pass  # a function may begin with side effects
            if first is not None:
                await sampling.probe_endpoints(first)
            if config.speculation is None:
                await _one_by_one(frontier, sampling)
            else:
                guesses = guesses_of(config, ledger, sampling.remember)
                await Lookahead(frontier, sampling, config.speculation, guesses).run()
            frontier.finish(sampling.latency)
            await journal.commit()
        return frontier.at
    finally:
        ledger.close()


async def _one_by_one(frontier: Frontier, sampling: Sampling) -> None:
    while (question := frontier.question()) is not None or await performed(frontier):
        if question is None:  # a side effect was run instead
            continue
        choice = await _decided(question, sampling, frontier)
        if choice is not None:
            frontier.commit(question.step, choice)
        if question.step.step % STEPS_PER_TURN == 0:
            await asyncio.sleep(0)  # instant samplers never wait, and the event loop has to handle signals


async def _decided(question: Question, sampling: Sampling, frontier: Frontier) -> str | None:
    """Draw samples until the step has a winner; raises `StepUndecided` at its caps.

    Returns None where a function process continues after an undecided step.
    """
    step, stop = question.step, frontier.config.stop
    while True:
        frontier.shortlist(question)
        match step.verdict:
            case Won(candidate):
                return step.choice(candidate)
            case Undecided():
                error = undecided_error(step)
                if frontier.conceded(step, error):
                    return None
                raise error
            case Continue():
                if stop.reason is not None:
                    raise Interrupted(stop.reason)
                await sampling.draw(question)
