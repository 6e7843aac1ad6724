"""One member of the embedded ensemble: it writes likeliest answers, and samples are drawn from its logits.

The engine's own sampling would tie a sample to chance company: CTranslate2 has one random generator a thread,
seeded once, so what a prompt is answered depends on everything answered before it. Here the engine only ever
writes the likeliest continuation, with its logits, and numbers that belong to the sample decide, token by
token, whether it keeps to that path. Where it departs, the engine writes the likeliest continuation from there.
By the chain rule that is sampling token by token from the model's own distribution, exactly; and samples of one
prompt share one pass of the engine. Departures are rare, so all this costs a few percent of the engine's time.

Why int8: the weights are a quarter the size of float32, a lone prompt takes half the time, and a row's logits
come out bit for bit the same in any batch of rows of its length (measured; float32's differ in the last digits).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import ctranslate2
import numpy as np
from numpy.typing import NDArray

from unerring.adapters.tokenizer import read_tokenizer

Floats = NDArray[np.float64]

LONGEST = 64  # tokens of an answer, the end token included; a right one of 20 disks has 29
BATCH = 32  # prompts in one pass of the engine: larger batches leave the processor's cache and are slower


@dataclass(frozen=True, slots=True)
class Written:
    """An answer's tokens, with the end token if it came to that, and their log-probabilities.

    Log-probabilities are in nats, under the model's own distribution (temperature 1), whatever temperature the
    answer was drawn at.
    """

    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()

    def cut(self, most: int) -> "Written":
        """The first `most` tokens."""
        return self if len(self.tokens) <= most else Written(self.tokens[:most], self.logprobs[:most])

    def mean_logprob(self) -> float:
        """Mean log-probability of the tokens."""
        return sum(self.logprobs) / len(self.logprobs)


@dataclass(frozen=True, eq=False)
class Likeliest:
    """The likeliest continuation of `start`: its tokens, and the logits of every word at each of them."""

    start: tuple[int, ...]
    tokens: tuple[int, ...]
    logits: Floats

    @cached_property
    def relative(self) -> Floats:
        """Logits less the largest of their place: 0 for the path's own token."""
        relative: Floats = self.logits - self.logits.max(axis=1, keepdims=True)
        return relative

    @cached_property
    def _sums(self) -> dict[float, Floats]:
        return {}

    def sums(self, temperature: float) -> Floats:
        """Summed weights of all words at each place, where the path's own word weighs 1."""
        if temperature not in self._sums:
            self._sums[temperature] = np.exp(self.relative / temperature).sum(axis=1)
        return self._sums[temperature]

    @cached_property
    def whole(self) -> Written:
        """The path itself, as an answer."""
        return Written(self.tokens, tuple((-np.log(self.sums(1.0))).tolist()))

    def departure(self, temperature: float, numbers: Floats) -> tuple[int, int] | None:
        """The place where a sample leaves the path, and the word it takes there; None if it keeps to it.

        At each place the sample's number, uniform in [0, 1), picks a word by its probability, the path's own
        word first and then the others by id.
        """
        if temperature == 0:
            return None
        sums = self.sums(temperature)[: len(numbers)]
        marks = numbers[: len(sums)] * sums
        places = np.flatnonzero(marks >= 1.0)  # the path's own word weighs 1
        if not places.size:
            return None
        place = int(places[0])
        others = np.exp(self.relative[place] / temperature)
        others[self.tokens[place]] = 0.0
        word = np.searchsorted(np.cumsum(others), marks[place] - 1.0, side="right")
        # rounding may put the mark past the last word that has any weight
        return place, min(int(word), int(np.flatnonzero(others)[-1]))

    def up_to(self, place: int, word: int) -> Written:
        """The path's first `place` tokens and then another word."""
        logprob = float(self.relative[place, word] - np.log(self.sums(1.0)[place]))
        return Written((*self.tokens[:place], word), (*self.whole.logprobs[:place], logprob))


class Member:
    """A model of the ensemble, on one core. Not for several threads at once."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = read_tokenizer(folder)
        self._engine = ctranslate2.Generator(str(folder), device="cpu", inter_threads=1, intra_threads=1)
        self.arithmetic = str(self._engine.compute_type)

    def likeliest(self, starts: Sequence[tuple[int, ...]]) -> list[Likeliest]:
        """The likeliest continuation of each start; starts that are equal share one."""
        # only rows of equal length go together: padding could change the last bits of a row's logits
        found: dict[tuple[int, ...], Likeliest] = {}
        by_length: dict[int, list[tuple[int, ...]]] = {}
        for start in dict.fromkeys(starts):
            by_length.setdefault(len(start), []).append(start)
        for rows in by_length.values():
            for at in range(0, len(rows), BATCH):
                found.update((path.start, path) for path in self._pass(rows[at : at + BATCH]))
        return [found[start] for start in starts]

    def _pass(self, rows: list[tuple[int, ...]]) -> list[Likeliest]:
        results = self._engine.generate_batch(
            [self.tokenizer.words(row) for row in rows],
            include_prompt_in_result=False,
            max_length=LONGEST,
            sampling_topk=1,
            return_end_token=True,
            return_logits_vocab=True,
        )
        paths = []
        for row, result in zip(rows, results, strict=True):
            logits = np.stack([np.asarray(place) for place in result.logits[0]]).astype(np.float64)
            paths.append(Likeliest(row, tuple(result.sequences_ids[0]), logits))
        return paths

    def draw(
        self, paths: Sequence[Likeliest], temperatures: Sequence[float], numbers: Sequence[Floats]
    ) -> list[Written]:
        """One sample of each path's start, from its `LONGEST` uniform numbers, one for each place of an answer."""
        answers = [Written()] * len(paths)
        going = dict(enumerate(paths))
        while going:
            departed: dict[int, tuple[int, ...]] = {}
            for sample, path in going.items():
                before = answers[sample]
                left = path.departure(temperatures[sample], numbers[sample][len(before.tokens) :])
                further = path.whole if left is None else path.up_to(*left)
                tokens = (before.tokens + further.tokens)[:LONGEST]
                answers[sample] = Written(tokens, (before.logprobs + further.logprobs)[:LONGEST])
                if left is not None and tokens[-1] != self.tokenizer.end and len(tokens) < LONGEST:
                    departed[sample] = path.start + further.tokens
            going = dict(zip(departed, self.likeliest(list(departed.values())), strict=True))
        return answers


def uniforms(name: str) -> Floats:
    """`LONGEST` numbers, uniform in [0, 1), that a name stands for; the same on every machine."""
    words = np.frombuffer(hashlib.shake_128(name.encode()).digest(8 * LONGEST), dtype="<u8")
    numbers: Floats = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return numbers
