"""Rejudge a run: read its stored samples again by the present parser and check of its process.

No model is made or asked, so it costs nothing. Open steps continue with the new verdicts; committed steps are only
compared, and keep their choices.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from unerring.adapters.sqlite.reader import JournalReader
from unerring.adapters.sqlite.writer import reopened
from unerring.api.journals.compared_run import ComparedRun, parameter_changes
from unerring.api.journals.replayer import ReplayedRun
from unerring.core.arguments import require_path
from unerring.core.checked_chain import GivenChain
from unerring.core.functions.function_chain import GivenProcess
from unerring.core.journal.decided_step import DecidedStep
from unerring.core.journal.entries import Committed, Entry
from unerring.core.journal.function_entries import Conceded
from unerring.core.journal.review_entries import Judgement, Rejudged
from unerring.core.voting.canonical import Json, parsed
from unerring.core.voting.race import Undecided, Won
from unerring.core.voting.step import OpenStep
from unerring.errors import ChainChanged
from unerring.runtime.config import SYSTEM_CLOCK
from unerring.runtime.protocols import Clock
from unerring.runtime.question import Question, stored_question

MAX_LISTED = 1000  # differences, and steps, that a result lists


@dataclass(frozen=True, slots=True)
class SampleReading:
    """How a sample counts: as a vote, or flagged.

    choice: the value that it votes for; None where it is flagged.
    flag: why it is flagged, such as `malformed`; None for a vote.
    """

    choice: Json
    flag: str | None


@dataclass(frozen=True, slots=True)
class Difference:
    """A stored sample that the present parser and check read differently.

    step: the number of its step.
    sample: its number within the step.
    was: how it counted when it was received.
    now: how it is read now.
    committed: whether its step is committed, so that nothing changes for the run.
    """

    step: int
    sample: int
    was: SampleReading
    now: SampleReading
    committed: bool


@dataclass(frozen=True, slots=True)
class Overturned:
    """A committed step that its samples, as they are read now, would decide differently.

    step: its number.
    was: the value that was decided and carried forward; it stays.
    now: the value that would be decided; None where votes would not decide.
    decided: whether the stored samples would decide it at all.
    was_decided: False for a step that stayed undecided, after which a function process continued.
    """

    step: int
    was: Json
    now: Json
    decided: bool
    was_decided: bool = True


@dataclass(frozen=True, slots=True)
class OpenChange:
    """An open step whose samples are read differently now, and count as they are read now.

    step: its number.
    ahead: whether it was asked ahead, from a state that the run has not reached yet.
    changed: the number of samples that are read differently.
    verdict: the state of its race with them: `won`, `undecided`, or `open` where samples are to be drawn.
    """

    step: int
    ahead: bool
    changed: int
    verdict: str


@dataclass(frozen=True, slots=True)
class Rejudgement:
    """The outcome of judging the stored samples of a journal again.

    process: the name of the process.
    finished: whether the run is finished; then nothing is written.
    steps: the number of committed steps that were compared.
    samples: the number of samples that were read again, of committed and open steps.
    changed: the number of samples that are read differently now.
    differences: the first 1,000 of these samples.
    overturned: the number of committed steps that would be decided differently.
    overturns: the first 1,000 of these steps.
    open: the open steps whose samples are read differently.
    recorded: whether the new verdicts of open steps were written to the journal.
    notes: what could not be judged again, a sentence each.
    accept_changes: whether `resume` requires `accept_changes`, as the process has changed for committed steps.
    """

    process: str
    finished: bool
    steps: int
    samples: int
    changed: int
    differences: tuple[Difference, ...]
    overturned: int
    overturns: tuple[Overturned, ...]
    open: tuple[OpenChange, ...]
    recorded: bool
    notes: tuple[str, ...]
    accept_changes: bool


def rejudge(
    journal: str | Path,
    chain: GivenProcess = None,
    trust: bool = False,
    dry_run: bool = False,
    clock: Clock = SYSTEM_CLOCK,
) -> Rejudgement:
    """Judge the stored samples of a journal again, by the present parser and check of its process.

    Open steps continue with the new verdicts, which become entries of the journal; with `dry_run` nothing is written.
    Committed steps keep their choices: their samples that are read differently are listed, and the steps that would be
    decided differently. Flags that do not depend on the text alone, such as `too long` or `copy`, stay. `chain` and
    `trust` are as for `verify`; `clock` tells when they were judged.

    Raises `ChainChanged` where more than the reading of answers has changed: steps lead to other states, or the
    process has other parameters. Raises `JournalBusy` where a runner has the journal, except with `dry_run`.
    """
    require_path("journal", journal)
    path = Path(journal)
    if dry_run:
        run = RejudgedRun(path, JournalReader(path).entries(), chain, trust)
        return run.result(run.judge_open(clock.time()), recorded=False)
    with reopened(path) as (writer, entries):
        run = RejudgedRun(path, entries, chain, trust)
        new = run.judge_open(clock.time())
        result = run.result(new, recorded=bool(new))
        for entry in new:
            writer.append(entry)
    return result


class _RunToResume(ComparedRun):
    """A run as `resume` would compare it after its open steps are judged again; it reads so many entries."""

    def __init__(self, path: Path, given: GivenChain, trust: bool, count: int) -> None:
        super().__init__(path, given, trust)
        self._count = count

    def entries(self) -> Iterable[Entry]:
        """The entries that were judged again: the journal of a run in progress has more by now."""
        return islice(super().entries(), self._count)

    def has_changed(self, new: Iterable[Rejudged]) -> bool:
        """Whether the process is not the one that the journal is of, once these entries are in it."""
        self.read(self.entries())
        for entry in new:
            self.state.apply(entry)
        self.compare_end()
        return bool(self.changes)


class RejudgedRun(ReplayedRun):
    """A replayed run whose samples are read again: of committed steps to compare, of open steps to count."""

    def __init__(self, path: Path, entries: Iterable[Entry], given: GivenChain, trust: bool) -> None:
        super().__init__(path, given, trust)
        self.read(entries)
        self._count = self.state.entries
        self._require_same()

    def clear(self) -> None:
        """Forget the entries that were read, and what was counted."""
        super().clear()
        self._steps = self._samples = self._changed = self._overturned = self._skipped = self._reworded = 0
        self._differences: list[Difference] = []
        self._overturns: list[Overturned] = []
        self._notes: list[str] = []
        self._closing: OpenStep | None = None

    def incoming(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Keep the voting on a step, with all its samples, just before the step ends."""
        for entry in entries:
            if isinstance(entry, Committed | Conceded):
                self._closing = self.state.frontier
            yield entry

    def commit(self, decided: DecidedStep, choice: Json) -> None:
        """Compare a committed step, and advance the chain over it."""
        if not decided.inherited:
            if self.changes:
                self._skipped += 1
            else:
                self._compare(decided)
        super().commit(decided, choice)

    def _compare(self, decided: DecidedStep) -> None:
        step = self._closing
        assert step is not None
        question = self._question(step, self.at)
        if question is None:
            self.changes.append(f"the process now {self.chain.instead_of_step(self.at)} before step {decided.step}")
            self._skipped += 1
            return
        self._steps += 1
        self._reworded += step.question is not None and step.question != question.digest
        changes = self._read_again(question, committed=True)
        if not changes:
            return
        step.rejudge(changes)
        if decided.shortlisted and not isinstance(step.verdict, Won) and len(step.race.tally) > 1:
            step.shortlist()
        verdict = step.verdict
        now = step.choice(verdict.choice) if isinstance(verdict, Won) else None
        was_decided = decided.undecided is None
        if now != (decided.choice if was_decided else None):
            self._overturned += 1
            if len(self._overturns) < MAX_LISTED:
                was, value = decided.value, None if now is None else parsed(now)
                self._overturns.append(Overturned(decided.step, was, value, now is not None, was_decided))

    def _question(self, step: OpenStep, state: Json) -> Question | None:
        """How the process asks a step now; None where it ends there."""
        return stored_question(self.chain, step, state, self.state.request.question_text)

    def _read_again(self, question: Question, committed: bool) -> list[Judgement]:
        """Read the samples of a step again; returns the judgements that differ."""
        step, changes = question.step, []
        for reply in step.kept:
            was = None if reply.candidate is None else step.choice(reply.candidate)
            now = question.judged(step.text(reply.slot), reply)
            self._samples += 1
            if (now.choice, now.flag) == (was, reply.flag):
                continue
            changes.append(now)
            self._changed += 1
            if len(self._differences) < MAX_LISTED:
                before = Judgement(reply.slot, was, reply.flag)
                self._differences.append(Difference(step.step, reply.slot, _reading(before), _reading(now), committed))
        return changes

    def _require_same(self) -> None:
        """Raise `ChainChanged` where open steps cannot be judged, because their states or parameters have changed."""
        changes = [*self.changes, *parameter_changes(self.state.parameters, self.chain)]
        if changes:
            raise ChainChanged(
                f"{self.path}: {changes[0]}: more has changed than how answers are read; rejudge with the code and "
                "parameters that the run continues with"
            )

    def judge_open(self, time: float) -> list[Rejudged]:
        """Judge the samples of open steps again, and count them as they are read now; returns the entries to write."""
        new: list[Rejudged] = []
        reached = 0
        for question, at in self._reachable():
            step = question.step
            reached += 1
            if step.question not in {None, question.digest}:
                self._notes.append(f"step {step.step} is now asked another question: its samples were not read again")
            elif changes := self._read_again(question, committed=False):
                recorded_at = None if step is self.state.frontier else at
                new.append(Rejudged(step.step, tuple(changes), time, recorded_at))
        for entry in new:
            self.state.apply(entry)
        left = sum(bool(step.replies) for at_step in self.state.open.values() for step in at_step.values()) - reached
        if left:
            steps = "step was" if left == 1 else "steps were"
            self._notes.append(
                f"{left:,} {steps} asked ahead from states that the stored samples do not lead to, and not judged "
                "again: if the run reaches such a state, it stops there; rejudge it then"
            )
        return sorted(new, key=lambda entry: entry.step)

    def _reachable(self) -> Iterator[tuple[Question, str]]:
        """Yield the questions of open steps that have samples, with the digests of their states.

        States are made again from the frontier on: from choices of stored samples, the process's own `guess`, and its
        `beside`. Steps whose states cannot be made again are left out.
        """
        state, frontier = self.state, (self.state.committed, self.state.last_digest)
        seen = {frontier}
        waiting: list[tuple[int, str, Json]] = [(*frontier, self.at)]
        while waiting:
            number, at, asked_from = waiting.pop()
            step, question = state.open.get(number, {}).get(at), None
            if step is not None and step.replies:
                ask = self._question if step is state.frontier else self._readable
                question = ask(step, asked_from)
                if question is not None:
                    yield question, at
            following = state.open.get(number + 1, {})
            for reached, digest in self._following(number, question, asked_from) if following else ():
                if digest in following and (number + 1, digest) not in seen:
                    seen.add((number + 1, digest))
                    waiting.append((number + 1, digest, reached))

    def _readable(self, step: OpenStep, state: Json) -> Question | None:
        """The question of a step that was asked ahead; None where the user's code fails on its state."""
        with suppress(Exception):
            question = self._question(step, state)
            for slot, reply in step.replies.items() if question is not None else ():
                assert question is not None
                question.judged(step.text(slot), reply)
            return question
        return None

    def _following(self, number: int, question: Question | None, state: Json) -> list[tuple[Json, str]]:
        """The states that may follow one, with their digests; those on which the user's code fails are left out."""
        chain = self.chain
        states: list[tuple[Json, str]] = []
        choices = [] if question is None else [parsed(choice) for choice in _choices(question)]
        guess = chain.guess
        with suppress(Exception):
            if (beside := chain.beside(state)) is not None:
                states.append((beside, chain.digest(beside, number + 1, "beside")))
        with suppress(Exception):
            choices += [] if guess is None else [guess(state)]
        for choice in choices:
            with suppress(Exception):
                reached = chain.advance(state, choice, number)
                states.append((reached, chain.digest(reached, number + 1)))
        return states

    def result(self, new: list[Rejudged], recorded: bool) -> Rejudgement:
        """The outcome, for the user."""
        if self._skipped:
            self._notes.append(f"{self._skipped:,} steps from before accepted changes were not compared")
        if self._reworded:
            self._notes.append(f"{self._reworded:,} committed steps are now asked another question")
        return Rejudgement(
            process=self.opened.process,
            finished=self.state.finished is not None,
            steps=self._steps,
            samples=self._samples,
            changed=self._changed,
            differences=tuple(self._differences),
            overturned=self._overturned,
            overturns=tuple(self._overturns),
            open=tuple(map(self._open_change, new)),
            recorded=recorded,
            notes=tuple(self._notes),
            accept_changes=_RunToResume(self.path, self.given, self.trust, self._count).has_changed(new),
        )

    def _open_change(self, entry: Rejudged) -> OpenChange:
        step = self.state.step(entry.step, entry.at)
        verdict = {Won: "won", Undecided: "undecided"}.get(type(step.verdict), "open")
        return OpenChange(entry.step, entry.at is not None, len(entry.judgements), verdict)


def _choices(question: Question) -> list[str]:
    """The choices of a step's samples, as they were read before and as they are read now."""
    step = question.step
    now = (question.judged(step.text(slot), reply).choice for slot, reply in step.replies.items())
    return list(dict.fromkeys([*step.choices, *(choice for choice in now if choice is not None)]))


def _reading(judgement: Judgement) -> SampleReading:
    flag = None if judgement.flag is None else judgement.flag.value
    return SampleReading(None if judgement.choice is None else parsed(judgement.choice), flag)
