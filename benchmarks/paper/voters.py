"""The embedded members, asked fast: many samples of a step are drawn from one likeliest answer.

A sample here is the very one that `unerring.adapters.embedded.sampler.EmbeddedSampler` gives for the same seed, step
and number. It costs little, because a member works out its likeliest answer to a step once, and nearly all its samples
of the step keep to that path (see `unerring.adapters.embedded.engine`).
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import ctranslate2

from unerring.adapters.embedded.catalog import EMBEDDED_POLICY, MEMBERS, WEIGHTS_FOLDER
from unerring.adapters.embedded.engine import (
    MAX_ANSWER_TOKENS,
    Drafter,
    EnsembleMember,
    GreedyAnswer,
    ScoredAnswer,
    Tokens,
    uniforms,
)
from unerring.core.voting.canonical import canonical
from unerring.core.voting.race import Race
from unerring.core.voting.redflag import RedFlag
from unerring.core.voting.sample import Finish, Sample, Settings, Usage
from unerring.processes.hanoi import MOVE_PARSERS, Hanoi

TOGETHER = 512  # questions drafted at once: the drafter keeps that many for the members that follow
T = TypeVar("T")


@dataclass
class Question:
    """One step of a game: what is asked, the right choice, and what each answer to it was found to hold."""

    disks: int
    number: int
    prompt: str
    truth: str
    _found: dict[tuple[str, Tokens], str | None] = field(default_factory=dict)

    def choice(self, parser: str, member: EnsembleMember, written: ScoredAnswer) -> str | None:
        """The canonical choice that a parser finds in an answer, None if it flags the answer."""
        key = (parser, written.tokens)
        if key not in self._found:
            try:
                value = MOVE_PARSERS[parser](member.tokenizer.decode(written.tokens), self.disks)
                self._found[key] = canonical(value)
            except RedFlag:
                self._found[key] = None
        return self._found[key]


def question(chain: Hanoi, number: int) -> Question:
    """The question at step `number` of a game, asked from the true state there."""
    state = chain.state_at(number)
    subtask = chain.subtask(state)
    if subtask is None or subtask.compact is None:
        raise ValueError(f"the game of {chain.disks} disks has no step {number}")
    return Question(chain.disks, number, subtask.compact, canonical(chain.truth(state)))


class Voter:
    """One member, with its name."""

    def __init__(self, name: str, drafter: Drafter) -> None:
        self.name = f"embedded/{name}"
        self.member = EnsembleMember(WEIGHTS_FOLDER / name, drafter)

    def paths(self, starts: Sequence[Tokens]) -> list[GreedyAnswer]:
        """The likeliest answer to each prompt."""
        return self.member.likeliest(starts)

    def samples(
        self, asked: Iterable[tuple[Question, GreedyAnswer, int]], seed: int, temperature: float = 1.0
    ) -> list[ScoredAnswer]:
        """One sample for each question, its likeliest answer, and the number of the sample within the step."""
        asked = list(asked)
        numbers = [uniforms(_name(seed, q.number, slot)) for q, _, slot in asked]
        return self.member.draw([path for _, path, _ in asked], [temperature] * len(asked), numbers)

    def vote(self, asked: Question, written: ScoredAnswer) -> str | None:
        """What a sample votes for under the embedded model's own red flags and the strict parser, None if flagged."""
        finish = Finish.STOP if written.tokens[-1] == self.member.tokenizer.end else Finish.LENGTH
        sample = Sample("", Usage(0, len(written.tokens)), finish, written.mean_logprob())
        flagged = EMBEDDED_POLICY.flags.screen(sample) is not None
        return None if flagged else asked.choice("strict", self.member, written)


def _name(seed: int, step: int, slot: int) -> str:
    return f"{seed}:{Settings(1.0, MAX_ANSWER_TOKENS, seed, step, slot).sample_seed()}"


class Ensemble:
    """The three members, side by side."""

    def __init__(self) -> None:
        self._drafter = Drafter(WEIGHTS_FOLDER / "draft")
        self.voters = [Voter(name, self._drafter) for name in MEMBERS]
        self.engine = f"ctranslate2 {ctranslate2.__version__}, {self.voters[0].member.arithmetic}"

    def each(self, asked: Sequence[Question], work: Callable[[Voter, Sequence[GreedyAnswer]], T]) -> list[T]:
        """Call `work` for every member with its likeliest answers to the questions, at most `TOGETHER` of them."""
        tokenizer = self._drafter.tokenizer
        starts = [(tokenizer.begin, *tokenizer.encode(one.prompt)) for one in asked]
        # drafted by one thread, so that the members only look up what it keeps
        self._drafter.drafts(starts)
        with ThreadPoolExecutor(len(self.voters)) as threads:
            return list(threads.map(lambda voter: work(voter, voter.paths(starts)), self.voters))


def parts(asked: Sequence[T]) -> list[Sequence[T]]:
    """Some questions in parts of at most `TOGETHER`."""
    return [asked[at : at + TOGETHER] for at in range(0, len(asked), TOGETHER)]


def hold(race: Race[str], votes: Iterable[str | None]) -> Race[str]:
    """Tell a race the votes of a step's samples, None for a flagged one, until it is over or flags are too many."""
    flagged = 0
    for vote in votes:
        if vote is None:
            flagged += 1
        else:
            race.tell(vote)
        if not race.missing() or flagged >= EMBEDDED_POLICY.flag_cap * (race.votes + race.missing()):
            break
    return race
