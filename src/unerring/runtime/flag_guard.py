"""Stop a run almost all of whose samples are flagged, and warn of voters whose samples all are.

`unerring.core.voting.flag_limit` has the criterion; this module counts a session's samples and raises.
"""

import logging
from collections.abc import Sequence

from unerring.core.journal.entries import Reply
from unerring.core.voting.flag_limit import FlaggedSample, FlagWatch, explanation_of
from unerring.core.voting.redflag import FLAGS_OF_TEXT, FlagKind
from unerring.core.voting.sample import Sample
from unerring.errors import SamplesFlagged
from unerring.runtime.calls.ledger import Ledger
from unerring.runtime.config import RunConfig
from unerring.runtime.ensemble import voters_of
from unerring.runtime.protocols import Sampler
from unerring.runtime.question import Question

log = logging.getLogger("unerring")


class FlagGuard:
    """Counts the votes and flags of one session."""

    def __init__(self, sampler: Sampler, ledger: Ledger, config: RunConfig) -> None:
        self._ledger = ledger
        self._notice = config.notice
        self._turns = voters_of(sampler)
        voted = [voter.name for voter in ledger.state.voters.values() if voter.votes]
        self._watch = FlagWatch(config.guards.flagged, voted)

    def count(self, question: Question, compact: bool, replies: Sequence[Reply], samples: Sequence[Sample]) -> None:
        """Count the samples of a call; raises `SamplesFlagged` where too many were flagged.

        `samples` are those of the replies, with their texts. `compact` says whether the call had the compact prompt.
        """
        step, names = question.step, self._ledger.state.voters
        voters = self._turns * len(question.subtask.wordings(compact))
        flags = False
        for reply, sample in zip(replies, samples, strict=True):
            if reply.flag is FlagKind.COPY:
                continue
            flagged = None if reply.flag is None else FlaggedSample(reply.flag, reply.reason or "", sample.text)
            flags = flags or flagged is not None
            self._watch.add(names[reply.voter].name, reply.slot - step.first, voters, flagged)
        if flags:
            self._require_votes(voters)

    def _require_votes(self, voters: int) -> None:
        watch, limit = self._watch, self._ledger.state.policy.flags.max_output_tokens
        if watch.all_flagged(voters):
            said = f"{watch.sentence()}: {explanation_of(watch.latest(), limit)}"
            stopped = SamplesFlagged(said, larger=("flagged", 1.0))
            stopped.unread = all(one.kind in FLAGS_OF_TEXT for one in watch.latest())
            raise stopped
        if (name := watch.silent_voter()) is not None:
            line = watch.sentence_about(name)
            log.warning("%s", line)
            if self._notice is not None:
                self._notice(line)
