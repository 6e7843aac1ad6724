"""Run a model without voting, for comparison: one sample a step, carried forward whatever it is."""

from unerring.core.chain import Chain
from unerring.core.chain_form import own_method
from unerring.core.voting.canonical import NotJson, canonical
from unerring.core.voting.redflag import RedFlag
from unerring.core.voting.sample import Settings
from unerring.errors import InputError
from unerring.runtime.protocols import Sampler

BASELINE_OUTPUT_TOKENS = 750


async def derailed_at(
    chain: Chain, sampler: Sampler, temperature: float, seed: int, most_steps: int | None = None
) -> int | None:
    """Find the first step whose only sample is wrong or unreadable; None if the first `most_steps` are all right.

    Needs a chain with `truth(state)`, which judges the samples.
    """
    truth = own_method(chain, "truth")
    if truth is None:
        raise InputError("to find where a model derails, the process needs a method truth(state)")
    state, step = chain.start(), 0
    while step != most_steps and (subtask := chain.subtask(state)) is not None:
        prompt = subtask.first_wording(sampler.compact)
        (sample,) = await sampler.sample(prompt, Settings(temperature, BASELINE_OUTPUT_TOKENS, seed, step, 0), 1)
        try:
            choice = subtask.parse(sample.text)
            if canonical(choice) != canonical(truth(state)):
                return step
        except (RedFlag, NotJson):
            return step
        state, step = chain.advance(state, choice), step + 1
    return None
