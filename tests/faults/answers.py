"""The models behind the server: functions from (prompt, temperature, seed, index, max_tokens) to an `Answer`.

Those that ship are functions of (prompt, seed, index) alone, so a request that is repeated with its seed gets the same
answers; without a seed they draw on the operating system. They may be async. A prompt that a model does not understand
is answered with random letters.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil
from random import Random, SystemRandom
from typing import TypeAlias

from unerring.core.chain import Rehearsal
from unerring.core.voting.sample import Settings
from unerring.errors import InputError
from unerring.processes.hanoi import Hanoi

TOKEN_CHARACTERS = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """One choice of a reply. `logprobs` are (token, log-probability) pairs, or one number that all tokens have.

    `calls` are tool calls, each the name of a tool and its arguments as text; they have other ids in each reply.
    """

    text: str
    input_tokens: int
    output_tokens: int
    finish: str = "stop"
    logprobs: Sequence[tuple[str, float]] | float = -0.02
    calls: Sequence[tuple[str, str]] = ()


Model: TypeAlias = Callable[[str, float, int | None, int, int | None], Answer | Awaitable[Answer]]


def tokens(text: str) -> int:
    """Count tokens as this server bills them: four characters each, rounded up."""
    return -(-len(text) // TOKEN_CHARACTERS)


def written(prompt: str, text: str, max_tokens: int | None, logprob: float = -0.02) -> Answer:
    """Make an answer, cut off if it is longer than the request allows."""
    whole = tokens(text)
    if max_tokens is not None and whole > max_tokens:
        return Answer(text[: max_tokens * TOKEN_CHARACTERS], tokens(prompt), max_tokens, "length", logprob)
    return Answer(text, tokens(prompt), whole, "stop", logprob)


def chance(name: str, prompt: str, seed: int | None, index: int) -> Random:
    """The random numbers of one sample."""
    return SystemRandom() if seed is None else Random(f"{name}:{seed}:{index}:{prompt}")


_WHOLE = re.compile(
    r"one peg further along 0 -> (?P<next>[12])"
    r".*^Previous move: (?P<last>none|\[.*?\])"
    r".*^Current state: (?P<pegs>\[\[.*?\]\])$",
    re.DOTALL | re.MULTILINE,
)


def compacted(prompt: str) -> str:
    """Rewrite a whole Towers of Hanoi prompt as the compact one; return any other prompt unchanged."""
    asked = _WHOLE.search(prompt)
    if asked is None:
        return prompt
    turn = "clockwise" if asked["next"] == "1" else "counterclockwise"
    return f"{turn} last = {asked['last']} state = {asked['pegs']}\n"


@lru_cache(maxsize=4096)
def rehearsal(prompt: str) -> Rehearsal | None:
    """Right and wrong answers to a Towers of Hanoi prompt, whole or compact; None for any other prompt."""
    try:
        return Hanoi().rehearse(compacted(prompt))
    except (InputError, ValueError):
        return None


_LETTERS = re.compile(r"(\d+) (?:random |lower-?case )*letters")


def letters(prompt: str, temperature: float, seed: int | None, index: int, max_tokens: int | None) -> Answer:
    """Answer with random lower-case letters: as many as the prompt says, or 32."""
    asked = _LETTERS.search(prompt)
    count = min(int(asked[1]), 10_000) if asked else 32
    drawn = chance("letters", prompt, seed, index).choices("abcdefghijklmnopqrstuvwxyz", k=count)
    return written(prompt, "".join(drawn), max_tokens)


def noise(p: float = 0.99, v: float = 1.0) -> Model:
    """Answer Towers of Hanoi: malformed with probability 1 - v, and otherwise correctly with probability p."""

    def model(prompt: str, temperature: float, seed: int | None, index: int, max_tokens: int | None) -> Answer:
        known = rehearsal(prompt)
        if known is None:
            return letters(prompt, temperature, seed, index, max_tokens)
        own = chance("noise", prompt, seed, index)
        if own.random() >= v:
            return written(prompt, known.right[: len(known.right) // 2], max_tokens, -0.3)
        if own.random() >= p:
            return written(prompt, own.choice(known.wrong), max_tokens, -0.2)
        return written(prompt, known.right, max_tokens)

    return model


def echoing(model: Model) -> Model:
    """Answer as a model does, and end with the word that a prompt asks for there."""

    def echoed(
        prompt: str, temperature: float, seed: int | None, index: int, max_tokens: int | None
    ) -> Answer | Awaitable[Answer]:
        answer = model(prompt, temperature, seed, index, max_tokens)
        asked = re.search(r"nothing after it: (\w+)\s*\Z", prompt)
        return answer if asked is None else replace(answer, text=f"{answer.text}\n{asked[1]}")

    return echoed


def stubborn(r: float = 0.4, share: float = 1.0, p: float = 1.0, v: float = 1.0) -> Model:
    """Answer a share of the prompts correctly with probability r, and otherwise with one fixed wrong answer.

    Which prompts these are, and the wrong answer, follow from the prompt (`is_stubborn`). The others are answered as
    by `noise(p, v)`.
    """
    noisy = noise(p, v)

    def model(
        prompt: str, temperature: float, seed: int | None, index: int, max_tokens: int | None
    ) -> Answer | Awaitable[Answer]:
        known = rehearsal(prompt)
        if known is None or not is_stubborn(prompt, share):
            return noisy(prompt, temperature, seed, index, max_tokens)
        own = chance("stubborn", prompt, seed, index)
        if own.random() >= v:
            return written(prompt, known.right[: len(known.right) // 2], max_tokens, -0.3)
        return written(prompt, known.right if own.random() < r else stubborn_answer(prompt), max_tokens)

    return model


def is_stubborn(prompt: str, share: float) -> bool:
    """Whether a prompt is one that `stubborn` answers wrongly again and again, whole or compact alike."""
    return Random(f"stubborn:{compacted(prompt)}").random() < share


def stubborn_answer(prompt: str) -> str:
    """The wrong answer that `stubborn` gives to a Towers of Hanoi prompt."""
    known = rehearsal(prompt)
    assert known is not None
    return Random(f"wrong:{compacted(prompt)}").choice(known.wrong)


def scripted(texts: Sequence[str | Answer]) -> Model:
    """Answer from a list, one item a sample in the order of asking, and again from its start after its end."""
    asked = 0

    def model(prompt: str, temperature: float, seed: int | None, index: int, max_tokens: int | None) -> Answer:
        nonlocal asked
        item = texts[asked % len(texts)]
        asked += 1
        return item if isinstance(item, Answer) else written(prompt, item, max_tokens)

    return model


class Embedded:
    """The embedded model, loaded at the first question; simultaneous questions are answered in batches.

    Its three members take turns by (seed + index). Whole prompts are put to it as compact ones.
    """

    def __init__(self, spec: str = "embedded") -> None:
        self._spec = spec
        self._sampler = None

    async def __call__(
        self, prompt: str, temperature: float, seed: int | None, index: int, max_tokens: int | None
    ) -> Answer:
        from unerring.adapters.embedded.sampler import EmbeddedSampler

        if self._sampler is None:
            self._sampler = EmbeddedSampler(self._spec)
        seed = SystemRandom().getrandbits(62) if seed is None else seed
        slot = seed % self._sampler.rotation + index
        settings = Settings(temperature, max_tokens or 64, seed, step=0, slot=slot)
        try:
            [sample] = await self._sampler.sample(compacted(prompt), settings, 1)
        except InputError:
            return letters(prompt, temperature, seed, index, max_tokens)
        usage = sample.usage
        answer = Answer(sample.text, usage.input_tokens, usage.output_tokens, sample.finish.value)
        return answer if sample.logprob is None else replace(answer, logprobs=sample.logprob)

    def close(self) -> None:
        """Stop its threads."""
        if self._sampler is not None:
            self._sampler.close()


def shipped() -> dict[str, Model]:
    """The models a server has by default: noise, stubborn and embedded, by these names."""
    return {"noise": noise(), "stubborn": stubborn(), "embedded": Embedded()}


def overbilled(model: Model, times: float) -> Model:
    """A model whose answers are billed at a multiple of the output tokens that the request allows."""

    def answer(prompt: str, temperature: float, seed: int | None, index: int, max_tokens: int | None) -> Answer:
        said = model(prompt, temperature, seed, index, max_tokens)
        assert isinstance(said, Answer)
        return replace(said, output_tokens=ceil(times * (max_tokens or said.output_tokens)))

    return answer
