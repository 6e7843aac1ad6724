"""The embedded models at work: a drafter proposes answers, and members judge them token by token.

A member's answer is sampled token by token from its own distribution, in three exact steps. The drafter, a model that
gives a whole answer at once, proposes one. One pass of the member over prompt and proposal gives its logits at every
place, and so its likeliest answer, up to the first place where it differs; from there the engine writes on. Numbers
that belong to the sample then decide, place by place, whether it keeps to that path, by the chain rule. This is
speculative decoding (Leviathan et al., arXiv:2211.17192): the drafter's quality changes the speed, never a sample.

Why not the engine's own sampling: it would tie a sample to chance company, since CTranslate2 has one random generator
a thread, so that what a prompt is answered depends on everything answered before it.

Why int8: the weights are a quarter the size of float32, and a row's logits come out bit for bit the same in any batch
of rows of its length (measured; float32's differ in the last digits). What stands behind a place may move its logits
in their last digits on some processors (seen on AMD's without AVX-512), and so decide a tie again: what one pass has
settled, no later one takes back.
"""

import ctypes
import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import ctranslate2
import numpy as np
from numpy.typing import NDArray

from unerring.adapters.embedded.tokenizer import Tokenizer, read_tokenizer

Floats = NDArray[np.float64]
Tokens = tuple[int, ...]

MAX_ANSWER_TOKENS = 64  # tokens of an answer, the end token included; a right one of 20 disks has 29
MAX_PASS_PROMPTS = 8  # prompts in one pass: fewer leave more to Python, more than 32 leave the processor's cache
MAX_KEPT_DRAFTS = 2048


@dataclass(frozen=True, slots=True)
class ScoredAnswer:
    """An answer's tokens, with the end token if it came to that, and their log-probabilities.

    Log-probabilities are in nats, under the model's own distribution (temperature 1), whatever temperature the
    answer was drawn at.
    """

    tokens: Tokens = ()
    logprobs: tuple[float, ...] = ()

    def cut(self, most: int) -> "ScoredAnswer":
        """The first `most` tokens."""
        return self if len(self.tokens) <= most else ScoredAnswer(self.tokens[:most], self.logprobs[:most])

    def mean_logprob(self) -> float:
        """Mean log-probability of the tokens."""
        return sum(self.logprobs) / len(self.logprobs)


@dataclass(frozen=True, eq=False)
class GreedyAnswer:
    """The likeliest continuation of `start`: its tokens, and what else was expected at each of them.

    `relative` are logits less that of the path's own word, shape [tokens, words].
    `own` are the summed weights of all words at each place at temperature 1, where the path's own word weighs 1.
    """

    start: Tokens
    tokens: Tokens
    relative: Floats
    own: Floats

    def sums(self, temperature: float) -> Floats:
        """Summed weights of all words at each place, where the path's own word weighs 1."""
        if temperature == 1.0:
            return self.own
        sums: Floats = np.exp(self.relative / temperature).sum(axis=1)
        return sums

    @cached_property
    def whole(self) -> ScoredAnswer:
        """The path itself, as an answer."""
        return ScoredAnswer(self.tokens, tuple((-np.log(self.own)).tolist()))

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

    def up_to(self, place: int, word: int) -> ScoredAnswer:
        """The path's first `place` tokens and then another word."""
        logprob = float(self.relative[place, word] - np.log(self.own[place]))
        return ScoredAnswer((*self.tokens[:place], word), (*self.whole.logprobs[:place], logprob))


def _keep_freed_memory() -> None:
    """Have glibc keep what a pass of the engine frees (mallopt(3)).

    By default it gives such blocks back to the kernel and asks for them again at once, in a thread's arena even small
    ones: a third of the engine's time went into that.
    """
    with suppress(AttributeError, OSError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        for option in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
            mallopt(option, 1 << 28)


def core_count() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Engine:
    """A model loaded for the processor; several threads may use it at once, each on one core."""

    def __init__(self, folder: Path) -> None:
        _keep_freed_memory()
        self.tokenizer: Tokenizer = read_tokenizer(folder)
        self._model = ctranslate2.Generator(str(folder), device="cpu", inter_threads=core_count(), intra_threads=1)
        self.arithmetic = str(self._model.compute_type)

    def logits(self, rows: Sequence[Tokens]) -> NDArray[np.float32]:
        """What the model expects next at every place of rows of one length, shape [rows, places, words]."""
        logits: NDArray[np.float32] = np.asarray(self._model.forward_batch([self.tokenizer.words(r) for r in rows]))
        return logits

    def written_on(self, rows: Sequence[Tokens], most: int) -> list[Tokens]:
        """The likeliest continuations of rows of one length, of at most so many tokens, as the engine writes them."""
        results = self._model.generate_batch(
            [self.tokenizer.words(row) for row in rows],
            include_prompt_in_result=False,
            max_length=most,
            sampling_topk=1,
            return_end_token=True,
        )
        return [tuple(result.sequences_ids[0]) for result in results]


class Drafter:
    """A model that gives a whole answer at once: it reads blanks in the place of the answer's tokens.

    (Non-autoregressive decoding, Gu et al., arXiv:1711.02281.) Its drafts are kept for a while, since a step is often
    drafted to look ahead before it is asked.
    """

    def __init__(self, folder: Path, beyond: int = 3) -> None:
        """A right answer has at most `beyond` tokens more than its prompt."""
        self._engine = Engine(folder)
        self._beyond = beyond
        self.tokenizer = self._engine.tokenizer
        self._kept: dict[Tokens, Tokens] = {}

    def drafts(self, starts: Sequence[Tokens]) -> list[Tokens]:
        """A proposed answer to each prompt, up to the end token."""
        kept = self._kept  # another thread may begin a new one meanwhile; nothing is ever taken out of this one
        missing: dict[int, list[Tokens]] = {}
        for start in dict.fromkeys(starts):
            if start not in kept:
                missing.setdefault(len(start), []).append(start)
        found: dict[Tokens, Tokens] = {}
        for length, rows in missing.items():
            # one fewer than places: the prompt's last token gives the answer's first
            blanks = (self.tokenizer.pad,) * min(length + self._beyond - 1, MAX_ANSWER_TOKENS - 1)
            words = self._engine.logits([row + blanks for row in rows])[:, length - 1 :].argmax(axis=2)
            found.update((row, self._ended(tuple(own))) for row, own in zip(rows, words.tolist(), strict=True))
        answers = [found.get(start) or kept[start] for start in starts]
        self._keep(found)
        return answers

    def _ended(self, tokens: Tokens) -> Tokens:
        end = self.tokenizer.end
        return tokens[: tokens.index(end) + 1] if end in tokens else tokens

    def _keep(self, found: dict[Tokens, Tokens]) -> None:
        if len(self._kept) + len(found) > MAX_KEPT_DRAFTS:
            self._kept = {}
        self._kept.update(found)


class EnsembleMember:
    """A model of the ensemble."""

    def __init__(self, folder: Path, drafter: Drafter | None = None) -> None:
        self._engine = Engine(folder)
        self._drafter = drafter
        self.tokenizer = self._engine.tokenizer
        self.arithmetic = self._engine.arithmetic

    def likeliest(self, starts: Sequence[Tokens], fresh: bool = True) -> list[GreedyAnswer]:
        """The likeliest continuation of each start; starts that are equal share one.

        Fresh starts are whole prompts, which the drafter can answer; others have some of an answer behind them.
        """
        found: dict[Tokens, GreedyAnswer] = {}
        rows = list(dict.fromkeys(starts))
        if self._drafter is not None and fresh:
            proposed = dict(zip(rows, self._drafter.drafts(rows), strict=True))
        else:
            proposed = self._continued(dict.fromkeys(rows, ()))
        settled: dict[Tokens, Tokens] = {}
        while proposed:
            paths = self._judged(proposed, settled)
            settled = {path.start: path.tokens for path in paths if not self._is_whole(path)}
            found.update((path.start, path) for path in paths if path.start not in settled)
            proposed = self._continued(settled)
        return [found[start] for start in starts]

    def _is_whole(self, path: GreedyAnswer) -> bool:
        return path.tokens[-1] == self.tokenizer.end or len(path.tokens) == MAX_ANSWER_TOKENS

    def _continued(self, settled: dict[Tokens, Tokens]) -> dict[Tokens, Tokens]:
        """Proposals that begin with what is settled already, written on by the engine."""
        proposed = {}
        for starts in _alike(settled):
            rows = [start + settled[start] for start in starts]
            most = MAX_ANSWER_TOKENS - len(settled[starts[0]])
            for start, tokens in zip(starts, self._engine.written_on(rows, most), strict=True):
                proposed[start] = settled[start] + tokens
        return proposed

    def _judged(self, proposed: dict[Tokens, Tokens], settled: dict[Tokens, Tokens]) -> list[GreedyAnswer]:
        """The likeliest path of each start as far as one pass tells: at least a token more than was settled."""
        judged = []
        for starts in _alike(proposed):
            proposals = [proposed[start] for start in starts]
            judged += self._pass(starts, proposals, [len(settled.get(start, ())) for start in starts])
        return judged

    def _pass(self, starts: list[Tokens], proposals: list[Tokens], settled: list[int]) -> list[GreedyAnswer]:
        """The likeliest path of each start up to where it departs from the proposal; all of one length."""
        # the last token of a proposal is only compared with what is expected in its place
        rows = [start + proposal[:-1] for start, proposal in zip(starts, proposals, strict=True)]
        logits = self._engine.logits(rows)[:, len(starts[0]) - 1 :].astype(np.float64)
        own = np.array(proposals)
        expected = np.where(np.arange(own.shape[1]) < np.array(settled)[:, None], own, logits.argmax(axis=2))
        agreeing = (expected == own).cumprod(axis=1).sum(axis=1)  # leading places that agree
        logits -= np.take_along_axis(logits, expected[:, :, None], axis=2)
        sums = np.exp(logits).sum(axis=2)
        paths = []
        for row, start in enumerate(starts):
            most = int(agreeing[row]) + 1
            paths.append(
                GreedyAnswer(start, tuple(expected[row, :most].tolist()), logits[row, :most], sums[row, :most])
            )
        return paths

    def draw(
        self, paths: Sequence[GreedyAnswer], temperatures: Sequence[float], numbers: Sequence[Floats]
    ) -> list[ScoredAnswer]:
        """One sample of each path's start; `numbers` are uniform, one for each place of an answer."""
        answers = [ScoredAnswer()] * len(paths)
        going = dict(enumerate(paths))
        while going:
            departed: dict[int, Tokens] = {}
            for sample, path in going.items():
                before = answers[sample]
                left = path.departure(temperatures[sample], numbers[sample][len(before.tokens) :])
                further = path.whole if left is None else path.up_to(*left)
                tokens = (before.tokens + further.tokens)[:MAX_ANSWER_TOKENS]
                answers[sample] = ScoredAnswer(tokens, (before.logprobs + further.logprobs)[:MAX_ANSWER_TOKENS])
                if left is not None and tokens[-1] != self.tokenizer.end and len(tokens) < MAX_ANSWER_TOKENS:
                    departed[sample] = path.start + further.tokens
            going = dict(zip(departed, self.likeliest(list(departed.values()), fresh=False), strict=True))
        return answers


def _alike(answers: dict[Tokens, Tokens]) -> list[list[Tokens]]:
    """Starts in groups of at most `MAX_PASS_PROMPTS`, alike in length and in that of their answers so far.

    A pass takes rows of one length: padding could change a row's last bits.
    """
    alike: dict[tuple[int, int], list[Tokens]] = {}
    for start, answer in answers.items():
        alike.setdefault((len(start), len(answer)), []).append(start)
    return [
        group[at : at + MAX_PASS_PROMPTS] for group in alike.values() for at in range(0, len(group), MAX_PASS_PROMPTS)
    ]


def uniforms(name: str) -> Floats:
    """`MAX_ANSWER_TOKENS` numbers, uniform in [0, 1), that a name stands for; the same on every machine."""
    words = np.frombuffer(hashlib.shake_128(name.encode()).digest(8 * MAX_ANSWER_TOKENS), dtype="<u8")
    numbers: Floats = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return numbers
