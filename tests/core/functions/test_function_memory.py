"""The memory of a function process: what it keeps of its questions, and for how long."""

import tracemalloc

import unerring
from unerring import Subtask, json_answer
from unerring.core.functions import function_chain
from unerring.core.functions.awaitables import Ask
from unerring.core.functions.function_chain import FunctionChain

LONG = 1_000_000


def question(prompt, right=1):
    return Ask(Subtask(prompt, json_answer), int, right=str(right), wrong=("99",))


def test_long_questions_are_not_all_kept():
    """A hundred questions of a million characters take less than half of what they have together."""

    async def process():
        for number in range(100):
            await question(f"{number} " + LONG * "x")

    chain, state = FunctionChain(process, {}), None
    tracemalloc.start()
    while chain.subtask(state) is not None:
        state = chain.advance(state, 1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50 * LONG


def test_a_question_that_is_asked_again_keeps_its_right_answer(monkeypatch):
    """The noise sampler answers a question that was asked before, also when the earlier one is forgotten."""
    monkeypatch.setattr(function_chain, "MAX_KNOWN_POINTS", 3)

    async def process():
        for number in range(6):
            await question("even" if number % 2 == 0 else "odd", number % 2)

    chain, state = FunctionChain(process, {}), None
    while (subtask := chain.subtask(state)) is not None:
        for prompt in ("even", "odd")[: 1 if state is None else 2]:
            assert chain.rehearse(prompt).right == str(int(prompt == "odd"))
        state = chain.advance(state, int(subtask.prompt == "odd"))


def test_the_noise_sampler_answers_every_wording():
    """A question that is asked in several wordings has the same right answer in each."""

    async def process():
        return await unerring.ask("Well?", ["yes", "no"], truth="no", paraphrases=["Is it so?"])

    assert unerring.run(process, "noise/p=0.95", k=6, options=unerring.Options(progress=False)).answer == "no"
