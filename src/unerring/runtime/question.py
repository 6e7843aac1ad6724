"""A question: one step, asked from one state, with how its answers are parsed and checked."""

from dataclasses import dataclass, field

from unerring.core.chain import Subtask
from unerring.core.checked_chain import Check, CheckedChain
from unerring.core.journal.digests import question_change, question_digest
from unerring.core.journal.entries import QuestionText, Reply
from unerring.core.journal.review_entries import Judgement
from unerring.core.journal.state import RunState
from unerring.core.short_text import MAX_SHORT_CHARS, short, shortened
from unerring.core.user_code import OWN_ERRORS, not_json, raise_own, wrong_return
from unerring.core.voting.canonical import ForeignType, Json, NotJson, canonical, parsed
from unerring.core.voting.echo import require_echo
from unerring.core.voting.parsing import repeats_example
from unerring.core.voting.redflag import FLAGS_OF_TEXT, FlagKind, NullAnswer, RedFlag, require_usable
from unerring.core.voting.step import OpenStep
from unerring.errors import ChainChanged

MAX_REASON_CHARS = 300  # of a red flag's reason that the journal keeps
HOW_TO_CONTINUE = "continue with the code that started the run, or accept the change: `Options(accept_changes=True)`"


def how_to_rejudge(journal: str) -> str:
    """How to continue where only the reading of stored samples has changed; `journal` is written as in Python."""
    return (
        f"to count them as they are read now: `unerring.rejudge({journal})`; to set them aside and ask again: "
        "`Options(accept_changes=True)`"
    )


@dataclass(slots=True, eq=False)
class Question:
    """A step asked from a state.

    step: the step's samples and race.
    subtask: what is asked.
    state: what it is asked from; it may be guessed.
    at: the digest of the part of the state that the step depends on (`Chain.place`).
    check: the chain's check of choices, if any.
    request: the run's request settings as text, for the digest.
    """

    step: OpenStep
    subtask: Subtask
    state: Json
    at: str
    check: Check | None = None
    _read: dict[str, str | RedFlag] = field(default_factory=dict)
    request: str = ""
    _digest: str | None = None

    @property
    def digest(self) -> str:
        """The digest of what is asked (`question_digest`)."""
        if self._digest is None:
            self._digest = question_digest(self.subtask, self.request)
        return self._digest

    def text_entry(self, compact: bool, at: str | None) -> QuestionText:
        """The entry that keeps the text of the question, compact or not; `at` is as in `Intent.at`."""
        wordings, before = self.subtask.wordings(compact), self.subtask.messages_before(compact)
        return QuestionText(self.step.step, wordings, at, before)

    def require_same(self) -> None:
        """Raise `ChainChanged` where the question changed, or the stored samples are parsed differently now."""
        if (difference := self.difference()) is not None:
            how = HOW_TO_CONTINUE if self.is_reworded else how_to_rejudge("journal")
            raise ChainChanged(f"step {self.step.step} {difference}; {how}")

    @property
    def is_reworded(self) -> bool:
        """Whether the question itself changed since an earlier session asked it."""
        return self.step.question not in {None, self.digest}

    def difference(self) -> str | None:
        """Say what changed since an earlier session asked the step; None where nothing did."""
        before = self.step.question
        if before is not None and self.is_reworded:
            changed = question_change(before, self.digest, self.step.wordings, self.subtask)
            return f"is asked differently than before: {changed}"
        for reply in self.step.replies.values():
            if reply.slot < self.step.first:
                continue
            was = None if reply.candidate is None else self.step.choice(reply.candidate)
            now = self.judged(self.step.text(reply.slot), reply)
            if (now.choice, now.flag) != (was, reply.flag):
                return (
                    f"parses its stored samples differently now: sample {reply.slot} was "
                    f"{_verdict(was, reply.flag)}, and is now {_verdict(now.choice, now.flag)}; its parser or check "
                    "changed"
                )
        return None

    def judged(self, text: str, reply: Reply) -> Judgement:
        """Parse and check a stored sample again. A flag that does not follow from its text stays as it was."""
        if reply.flag is not None and reply.flag not in FLAGS_OF_TEXT:
            return Judgement(reply.slot, None, reply.flag, reply.reason)
        try:
            return Judgement(reply.slot, self.choice(text))
        except RedFlag as flag:
            return Judgement(reply.slot, None, flag.kind, flag.reason[:MAX_REASON_CHARS])

    def choice(self, text: str) -> str:
        """The canonical choice of a text; raises `RedFlag` where the parser or the check objects.

        Equal texts are parsed once: most samples of a step are equal, and a parser depends on the text alone.
        """
        if text not in self._read:
            try:
                self._read[text] = choice_of(text, self.subtask, self.state, self.step.step, self.check)
            except RedFlag as flag:
                self._read[text] = flag
        choice = self._read[text]
        if isinstance(choice, RedFlag):
            raise choice
        return choice

    def read_as(self, other: "Question") -> bool:
        """Whether another question has the same wordings, and parses all texts that were parsed here alike."""

        def read(question: Question, text: str) -> str | FlagKind:
            try:
                return question.choice(text)
            except RedFlag as flag:
                return flag.kind

        same = all(self.subtask.wordings(compact) == other.subtask.wordings(compact) for compact in (False, True))
        return same and all(read(self, text) == read(other, text) for text in tuple(self._read))


def choice_of(text: str, subtask: Subtask, state: Json, step: int, check: Check | None) -> str:
    """The canonical choice of a text that answers a subtask; raises `RedFlag` where parser or check objects."""
    parse = subtask.parse
    if subtask.echo is not None:
        require_echo(text, subtask.echo)
    try:
        value = parse(text)
    except NullAnswer:
        if not subtask.nullable:
            raise
        value = None
    except RedFlag as raised:
        require_usable(raised, "parse", step, parse)
        raise
    except OWN_ERRORS as error:
        unread = isinstance(error, ValueError | LookupError)  # mostly a parser that did not expect the answer
        hint = "; for an answer in the wrong form a parser raises RedFlag" if unread else ""
        raise_own(error, "parse", step, parse, hint)
    if value is None and not subtask.nullable:
        said = "returned None: is a return missing? Where null is an answer, say Subtask(nullable=True)"
        raise wrong_return("parse", said, step, parse)
    try:
        choice = canonical(value)
    except ForeignType as error:
        raise not_json(error, "parse", "choice", step, parse) from None
    except NotJson as error:  # NaN, a lone surrogate: the fault of the answer, not of the parser
        raise RedFlag(str(error)) from None
    example = subtask.example
    if example is not None and (copied := repeats_example(example, text, value)) is not None:
        raise RedFlag(f"the answer repeats the example of the form: {short(copied)}", FlagKind.REJECTED)
    if check is not None and (flag := check(state, parsed(choice), step)) is not None:
        raise RedFlag(flag.reason, FlagKind.REJECTED)
    return choice


def _verdict(choice: str | None, flag: FlagKind | None) -> str:
    if flag is not None:
        return f"flagged as {flag.value}"
    return f"a vote for {shortened(choice or '', MAX_SHORT_CHARS)}"


def stored_question(chain: CheckedChain, step: OpenStep, state: Json, request: str) -> Question | None:
    """The present question of a stored step, to compare with the stored one; None where the chain ends there now."""
    subtask = chain.subtask(state, step.step)
    return None if subtask is None else Question(step, subtask, state, "", chain.check, request=request)


def question_of(chain: CheckedChain, run_state: RunState, number: int, state: Json, at: str) -> Question | None:
    """The question of step `number` from a state; None where the chain ends there."""
    subtask = chain.subtask(state, number)
    if subtask is None:
        return None
    question = Question(
        run_state.step(number, at), subtask, state, at, chain.check, request=run_state.request.question_text
    )
    if question.step.left_open:
        question.require_same()
    return question
