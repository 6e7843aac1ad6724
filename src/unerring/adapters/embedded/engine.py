"""The embedded models' inference: a drafter proposes answers, and members check them token by token.

A member's answer is sampled token by token from its own distribution, in three exact steps. The drafter, a model that
gives a whole answer at once, proposes one. One pass of the member over prompt and proposal gives its logits at every
place, and so its likeliest answer, up to the first place where it differs from the proposal; CTranslate2 continues
from there. The sample's random numbers then decide, place by place, whether it keeps to that path, by the chain rule.
This is speculative decoding (Leviathan et al., arXiv:2211.17192): the drafter changes the speed, never a sample.

CTranslate2's own sampling is not used: it has one random generator a thread, so that a sample would depend on all
samples drawn before it.

The weights are int8: a quarter the size of float32, and a row's logits are bit for bit the same in any batch of rows
of its length (measured; those of float32 differ in the last digits). On some processors (seen on AMD's without
AVX-512) later tokens change a place's logits in their last digits, which may decide a tie differently: so a token
that one pass has fixed is never changed by a later one.
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

MAX_ANSWER_TOKENS = 64  # with the end token; a right answer of 20 disks has 29
MAX_PASS_PROMPTS = 8  # with fewer Python takes more of the time, with more than 32 the processor's cache is too small
MAX_KEPT_DRAFTS = 2048


@dataclass(frozen=True, slots=True)
class ScoredAnswer:
    """An answer and its log-probabilities.

    tokens: the tokens, with the end token where the answer is complete.
    logprobs: the log-probability of each token, in nats, at temperature 1 whatever temperature it was drawn at.
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
    """The likeliest continuation of a start, with the logits of all words at each place.

    start: the prompt, and tokens of an answer after it.
    tokens: the likeliest continuation.
    relative: logits minus that of the continuation's own word, shape [tokens, words].
    own: summed weights of all words at each place at temperature 1, where the continuation's own word weighs 1.
    """

    start: Tokens
    tokens: Tokens
    relative: Floats
    own: Floats

    def sums(self, temperature: float) -> Floats:
        """Summed weights of all words at each place, where the continuation's own word weighs 1."""
        if temperature == 1.0:
            return self.own
        sums: Floats = np.exp(self.relative / temperature).sum(axis=1)
        return sums

    @cached_property
    def whole(self) -> ScoredAnswer:
        """The whole continuation as an answer."""
        return ScoredAnswer(self.tokens, tuple((-np.log(self.own)).tolist()))

    def departure(self, temperature: float, numbers: Floats) -> tuple[int, int] | None:
        """The place where a sample leaves the continuation, and its word there; None if it is the continuation.

        At each place the sample's number, uniform in [0, 1), picks a word by its probability: the continuation's own
        word first, and then the others by id.
        """
        if temperature == 0:
            return None
        sums = self.sums(temperature)[: len(numbers)]
        marks = numbers[: len(sums)] * sums
        places = np.flatnonzero(marks >= 1.0)  # the continuation's own word weighs 1
        if not places.size:
            return None
        place = int(places[0])
        others = np.exp(self.relative[place] / temperature)
        others[self.tokens[place]] = 0.0
        word = np.searchsorted(np.cumsum(others), marks[place] - 1.0, side="right")
        # rounding may put the mark after the last word with a weight
        return place, min(int(word), int(np.flatnonzero(others)[-1]))

    def up_to(self, place: int, word: int) -> ScoredAnswer:
        """The continuation's first `place` tokens, and then another word."""
        logprob = float(self.relative[place, word] - np.log(self.own[place]))
        return ScoredAnswer((*self.tokens[:place], word), (*self.whole.logprobs[:place], logprob))


def _keep_freed_memory() -> None:
    """Let glibc keep the memory that a pass frees (mallopt(3)).

    By default it returns such blocks to the kernel and requests them again at once, in a thread's arena even small
    ones, which took a third of the inference time.
    """
    with suppress(AttributeError, OSError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        for option in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
            mallopt(option, 1 << 28)


def core_count() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Engine:
    """A model loaded into memory; several threads may use it at once, each on one core."""

    def __init__(self, folder: Path) -> None:
        _keep_freed_memory()
        self.tokenizer: Tokenizer = read_tokenizer(folder)
        self._model = ctranslate2.Generator(str(folder), device="cpu", inter_threads=core_count(), intra_threads=1)
        self.arithmetic = str(self._model.compute_type)

    def logits(self, rows: Sequence[Tokens]) -> NDArray[np.float32]:
        """Logits of the next word at every place of rows of one length, shape [rows, places, words]."""
        logits: NDArray[np.float32] = np.asarray(self._model.forward_batch([self.tokenizer.words(r) for r in rows]))
        return logits

    def continuations(self, rows: Sequence[Tokens], max_tokens: int) -> list[Tokens]:
        """CTranslate2's likeliest continuations of rows of one length, of `max_tokens` at most."""
        results = self._model.generate_batch(
            [self.tokenizer.words(row) for row in rows],
            include_prompt_in_result=False,
            max_length=max_tokens,
            sampling_topk=1,
            return_end_token=True,
        )
        return [tuple(result.sequences_ids[0]) for result in results]


class Drafter:
    """A model that gives a whole answer at once, from blanks in the place of the answer's tokens.

    This is non-autoregressive decoding (Gu et al., arXiv:1711.02281). Drafts are kept for a while, since speculation
    often drafts a step before it is asked.
    """

    def __init__(self, folder: Path, beyond: int = 3) -> None:
        """A right answer has at most `beyond` tokens more than its prompt."""
        self._engine = Engine(folder)
        self._beyond = beyond
        self.tokenizer = self._engine.tokenizer
        self._kept: dict[Tokens, Tokens] = {}

    def drafts(self, starts: Sequence[Tokens]) -> list[Tokens]:
        """A proposed answer to each prompt, up to the end token."""
        kept = self._kept  # another thread may replace the dictionary; entries are never removed from this one
        missing: dict[int, list[Tokens]] = {}
        for start in dict.fromkeys(starts):
            if start not in kept:
                missing.setdefault(len(start), []).append(start)
        drafted: dict[Tokens, Tokens] = {}
        for length, rows in missing.items():
            # one blank less than places: the prompt's last token predicts the answer's first
            blanks = (self.tokenizer.pad,) * min(length + self._beyond - 1, MAX_ANSWER_TOKENS - 1)
            words = self._engine.logits([row + blanks for row in rows])[:, length - 1 :].argmax(axis=2)
            drafted.update((row, self._ended(tuple(own))) for row, own in zip(rows, words.tolist(), strict=True))
        answers = [drafted.get(start) or kept[start] for start in starts]
        self._keep(drafted)
        return answers

    def _ended(self, tokens: Tokens) -> Tokens:
        end = self.tokenizer.end
        return tokens[: tokens.index(end) + 1] if end in tokens else tokens

    def _keep(self, drafted: dict[Tokens, Tokens]) -> None:
        if len(self._kept) + len(drafted) > MAX_KEPT_DRAFTS:
            self._kept = {}
        self._kept.update(drafted)


class EnsembleMember:
    """A voting model of an ensemble."""

    def __init__(self, folder: Path, drafter: Drafter | None = None) -> None:
        self._engine = Engine(folder)
        self._drafter = drafter
        self.tokenizer = self._engine.tokenizer
        self.arithmetic = self._engine.arithmetic

    def likeliest(self, starts: Sequence[Tokens], fresh: bool = True) -> list[GreedyAnswer]:
        """The likeliest continuation of each start; equal starts share one.

        Fresh starts are whole prompts, which the drafter can answer; others end with tokens of an answer.
        """
        complete: dict[Tokens, GreedyAnswer] = {}
        rows = list(dict.fromkeys(starts))
        if self._drafter is not None and fresh:
            proposed = dict(zip(rows, self._drafter.drafts(rows), strict=True))
        else:
            proposed = self._continued(dict.fromkeys(rows, ()))
        fixed: dict[Tokens, Tokens] = {}
        while proposed:
            paths = self._judged(proposed, fixed)
            fixed = {path.start: path.tokens for path in paths if not self._is_whole(path)}
            complete.update((path.start, path) for path in paths if path.start not in fixed)
            proposed = self._continued(fixed)
        return [complete[start] for start in starts]

    def _is_whole(self, path: GreedyAnswer) -> bool:
        return path.tokens[-1] == self.tokenizer.end or len(path.tokens) == MAX_ANSWER_TOKENS

    def _continued(self, fixed: dict[Tokens, Tokens]) -> dict[Tokens, Tokens]:
        """Proposals that begin with the fixed tokens, continued by CTranslate2."""
        proposed = {}
        for starts in _alike(fixed):
            rows = [start + fixed[start] for start in starts]
            max_tokens = MAX_ANSWER_TOKENS - len(fixed[starts[0]])
            for start, tokens in zip(starts, self._engine.continuations(rows, max_tokens), strict=True):
                proposed[start] = fixed[start] + tokens
        return proposed

    def _judged(self, proposed: dict[Tokens, Tokens], fixed: dict[Tokens, Tokens]) -> list[GreedyAnswer]:
        """The likeliest continuation of each start as far as one pass gives it: a token more than fixed at least."""
        judged = []
        for starts in _alike(proposed):
            proposals = [proposed[start] for start in starts]
            judged += self._pass(starts, proposals, [len(fixed.get(start, ())) for start in starts])
        return judged

    def _pass(self, starts: list[Tokens], proposals: list[Tokens], fixed: list[int]) -> list[GreedyAnswer]:
        """The likeliest continuation of each start until it departs from the proposal; all have one length."""
        # the last token of a proposal is only compared with the one that is expected in its place
        rows = [start + proposal[:-1] for start, proposal in zip(starts, proposals, strict=True)]
        logits = self._engine.logits(rows)[:, len(starts[0]) - 1 :].astype(np.float64)
        own = np.array(proposals)
        expected = np.where(np.arange(own.shape[1]) < np.array(fixed)[:, None], own, logits.argmax(axis=2))
        agreeing = (expected == own).cumprod(axis=1).sum(axis=1)  # leading places that agree
        logits -= np.take_along_axis(logits, expected[:, :, None], axis=2)
        sums = np.exp(logits).sum(axis=2)
        paths = []
        for row, start in enumerate(starts):
            length = int(agreeing[row]) + 1
            paths.append(
                GreedyAnswer(start, tuple(expected[row, :length].tolist()), logits[row, :length], sums[row, :length])
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
    """Starts in groups of `MAX_PASS_PROMPTS` at most, equal in length and in the length of their answers so far.

    A pass takes rows of one length, since padding could change the last bits of a row's logits.
    """
    alike: dict[tuple[int, int], list[Tokens]] = {}
    for start, answer in answers.items():
        alike.setdefault((len(start), len(answer)), []).append(start)
    return [
        group[at : at + MAX_PASS_PROMPTS] for group in alike.values() for at in range(0, len(group), MAX_PASS_PROMPTS)
    ]


def uniforms(name: str) -> Floats:
    """`MAX_ANSWER_TOKENS` numbers, uniform in [0, 1), derived from a name; the same on every machine."""
    words = np.frombuffer(hashlib.shake_128(name.encode()).digest(8 * MAX_ANSWER_TOKENS), dtype="<u8")
    numbers: Floats = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return numbers
