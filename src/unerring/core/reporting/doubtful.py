"""Doubtful steps as JSON data: steps whose samples differed, were flagged, or did not decide the step.

Each has the question, the rival answers with their votes, and the flagged samples by the reason of the flag.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from unerring.core.journal.decided_step import DecidedStep, texts_of, votes_by_voter
from unerring.core.journal.entries import Reply
from unerring.core.reporting.reasons import without_details
from unerring.core.request import Request
from unerring.core.short_text import shortened
from unerring.core.voting.canonical import Json
from unerring.core.voting.race import Undecided
from unerring.core.voting.redflag import FlagKind
from unerring.core.voting.sample import Message
from unerring.core.voting.step import OpenStep, VoterRecord

MAX_QUESTION_CHARS = 4000  # of a wording that a report holds
MAX_REPORTED_WORDINGS = 4
MAX_MESSAGES = 8  # before a question
MAX_REPORTED_TEXT_CHARS = 600  # of a choice, a reason or a sample's text
MAX_ANSWERS = 8  # of one step
MAX_VOTERS = 8  # of one answer
MAX_GROUPS = 8  # of one step's flagged samples


def is_doubtful(decided: DecidedStep) -> bool:
    """Whether a step is doubtful: votes differed, samples were flagged, or votes did not decide it.

    An inherited step (`DecidedStep.inherited`) belongs to the report of the run that decided it.
    """
    by_votes = not decided.ruled and not decided.shortlisted and decided.undecided is None
    return len(decided.tally) > 1 or decided.flags > 0 or not by_votes


def doubt_rank(decided: DecidedStep) -> tuple[bool, int, int]:
    """The rank of a doubtful step, highest for the most doubtful: not decided by votes, rival votes, flags.

    A rival vote counts as two flags: it takes another vote to be outvoted. Of equal steps the earlier one ranks
    higher.
    """
    apart = decided.ruled or decided.undecided is not None
    rivals = decided.votes if apart else decided.votes - decided.votes_for
    return apart, 2 * rivals + decided.flags, -decided.step


def decided_step(
    decided: DecidedStep, voters: Mapping[int, VoterRecord], request: Request, full: bool = False
) -> dict[str, Json]:
    """A decided step as JSON data; texts are shortened unless `full`."""
    how = "people" if decided.ruled else "shortlist" if decided.shortlisted else "votes"
    choice: str | None = decided.choice
    if decided.undecided is not None:  # a function process continued nevertheless
        how, choice = "undecided", None
    head = _head(decided.step, how, choice, decided.tally, decided.rounds)
    asked = _asked(decided.wordings, request.with_system_message(decided.messages or ()), full)
    return head | asked | _samples(decided.replies, voters, full)


def open_step(
    step: OpenStep, voters: Mapping[int, VoterRecord], request: Request, full: bool = False
) -> dict[str, Json] | None:
    """The next step to decide as JSON data; None where nothing about it is doubtful so far."""
    how = "undecided" if isinstance(step.verdict, Undecided) else "open" if step.ruled is None else "people"
    tally = tuple(sorted(step.race.tally.values(), reverse=True))
    if how == "open" and len(tally) < 2 and not step.flags:
        return None
    head = _head(step.step, how, step.ruled, tally, step.rounds)
    asked = _asked(step.wordings, request.with_system_message(step.messages or ()), full)
    return head | asked | _samples(step.kept, voters, full)


def _head(step: int, how: str, choice: str | None, tally: Iterable[int], rounds: int) -> dict[str, Json]:
    return {
        "step": step,
        "decided_by": how,
        "choice": None if choice is None else shortened(choice, MAX_REPORTED_TEXT_CHARS),
        "tally": list(tally),
        "rounds": rounds,
    }


def _asked(wordings: tuple[str, ...] | None, before: tuple[Message, ...], full: bool) -> dict[str, Json]:
    """The question and the messages before it, where the journal has them."""
    most = None if full else MAX_QUESTION_CHARS
    if wordings is None:
        return {"messages": None, "more_messages": 0, "question": None}
    shown = before if full else before[:MAX_MESSAGES]
    return {
        "messages": [{"role": role, "content": shortened(content, most)} for role, content in shown],
        "more_messages": len(before) - len(shown),
        "question": [shortened(one, most) for one in (wordings if full else wordings[:MAX_REPORTED_WORDINGS])],
    }


def _samples(replies: Sequence[Reply], voters: Mapping[int, VoterRecord], full: bool) -> dict[str, Json]:
    """The answers that had votes, and the flagged samples."""
    most = None if full else MAX_REPORTED_TEXT_CHARS
    texts = texts_of(replies)
    choices = {reply.slot: reply.choice for reply in replies if isinstance(reply.choice, str)}
    votes = votes_by_voter(replies, voters)
    flagged: dict[tuple[FlagKind, str | None], list[Reply]] = {}
    for reply in replies:
        if reply.flag is not None:
            flagged.setdefault((reply.flag, without_details(reply.reason)), []).append(reply)
    grouped = sorted(flagged.values(), key=lambda group: (-len(group), group[0].slot))
    return {
        "answers": [
            {
                "choice": shortened(choices[one], most),
                "votes": by_voter.total(),
                "voters": dict(by_voter.most_common(None if full else MAX_VOTERS)),
            }
            for one, by_voter in islice(votes.items(), None if full else MAX_ANSWERS)
        ],
        "more_answers": 0 if full else max(0, len(votes) - MAX_ANSWERS),
        "flags": sum(map(len, grouped)),
        "flagged": [
            {
                "flag": None if group[0].flag is None else group[0].flag.value,
                "reason": group[0].reason,
                "varies": any(one.reason != group[0].reason for one in group),
                "samples": len(group),
                "example": shortened(texts[group[0].slot], most),
            }
            for group in (grouped if full else grouped[:MAX_GROUPS])
        ],
    }
