"""Functions that run again after a wrong guess: their questions are made in full only where they are asked."""

from dataclasses import dataclass

import pytest

import unerring
from unerring import act, ask, gather
from unerring.core.answers import ask as asking
from unerring.core.functions import function_chain
from unerring.core.functions.function_chain import FunctionChain


@dataclass(frozen=True)
class Found:
    """A number, and whether it is even."""

    number: int
    even: bool = False


def odd_one_out(found):
    """A check that no right answer fails."""
    return found.even == (found.number % 2 == 0)


async def walk(steps, wrong_every):
    """Questions of several forms, one made long before it is awaited; some guesses are wrong."""
    number, kept = 0, ask("say at last", int)
    for step in range(steps):
        guess = Found(number + 1 + (step % wrong_every == 0), (number + 1 + (step % wrong_every == 0)) % 2 == 0)
        number = (await ask(f"after {number}", Found, check=odd_one_out, guess=guess)).number
    several = await gather(*[ask(f"say {word}", ["a", "b"], paraphrases=[f"tell {word}"]) for word in "ab"])
    return [number, several, await act(str, number), await kept]


def model(prompt):
    """Answers each of these questions; every seventh number is first said wrongly."""
    words = prompt.partition("\n")[0].split()
    if words[0] == "after":
        number = int(words[1]) + 1
        return f'{{"number": {number}, "even": {"true" if number % 2 == 0 else "false"}}}'
    return "7" if words[-1] == "last" else words[-1]


def run(journal, speculate):
    options = unerring.Options(speculate=speculate, progress=False)
    return unerring.run(walk, model, journal, k=2, args=[60, 5], options=options)


@pytest.mark.parametrize("source", ["guess", "leader"])
def test_a_function_that_runs_again_decides_the_same(tmp_path, source):
    """With wrong guesses, answers, tallies and questions are those of a run that asks one step after the other."""
    plain, ahead = run(tmp_path / "plain.db", "off"), run(tmp_path / "ahead.db", source)
    assert plain.answer == ahead.answer == [60, ["a", "b"], "60", 7]
    of_plain, of_ahead = (
        [(step.choice, step.tally, step.question) for step in unerring.steps(tmp_path / name)]
        for name in ("plain.db", "ahead.db")
    )
    assert of_plain == of_ahead


def test_a_function_that_runs_again_makes_few_questions_in_full(tmp_path, monkeypatch):
    """A wrong guess does not make all questions before it again."""
    made, make = [], asking.make_ask

    def counted(prompt, *args, **how):
        made.append(prompt)
        return make(prompt, *args, **how)

    monkeypatch.setattr("unerring.api.asking.make_ask", counted)
    monkeypatch.setattr(asking, "make_ask", counted)
    run(tmp_path / "run.db", "guess")
    assert len(made) < 3 * len(set(made))


def test_a_question_that_is_asked_again_is_whole(monkeypatch):
    """Where the function waits at a question that it asked before, the question has all that it was given."""
    monkeypatch.setattr(function_chain, "MAX_KNOWN_POINTS", 1)

    async def process():
        kept = ask("second", Found, check=odd_one_out, system="Be brief.", guess=Found(2, even=True))
        return [await ask("first", int), (await kept).number]

    chain = FunctionChain(process, {})
    after = chain.advance(chain.start(), 1)
    first, guess = chain.subtask(after), chain.guess(after)
    chain.subtask(chain.advance(chain.start(), 2))  # another course, for which the function runs again
    again = chain.subtask(after)
    assert again is not first
    assert (again.prompt, again.messages, again.schema) == (first.prompt, first.messages, first.schema)
    assert chain.guess(after) == guess == {"number": 2, "even": True}
    with pytest.raises(unerring.RedFlag, match="refuses"):
        again.parse('{"number": 2, "even": false}')
