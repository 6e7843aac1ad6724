"""The report of a run as JSON data, computed from its state and its committed steps."""

from collections import Counter
from dataclasses import dataclass, field, replace

from unerring.core.certificate.certificate import CertifiedRun, certificate_of
from unerring.core.certificate.dissent_alarm import DissentWatch, watch_of
from unerring.core.certificate.expectations import Expectations, expectations_from
from unerring.core.certificate.vote_patterns import VotePatterns, keep_largest
from unerring.core.certificate.weighted_margins import WeightedMargins
from unerring.core.journal.decided_step import DecidedStep
from unerring.core.journal.spend import in_dollars, known_dollars
from unerring.core.journal.state import RunState
from unerring.core.reporting.doubtful import decided_step, doubt_rank, is_doubtful, open_step
from unerring.core.reporting.run_report import Report
from unerring.core.voting.canonical import Json
from unerring.core.voting.race import LogOdds
from unerring.core.voting.step import VoterRecord

MAX_HARDEST = 10  # steps that took most samples
MAX_RULED = 100  # numbers of steps that a person decided, and of those that stayed undecided


@dataclass
class RunSeries:
    """Distributions over the committed steps of a run. Add every `DecidedStep` in order.

    votes, rounds, tallies: how many steps had so many votes, so many rounds, this tally.
    disagreements: steps with votes for several choices.
    collisions: steps whose first two votes both lost (the paper's collisions).
    streaks_ahead: how many streaks of accepted steps ahead had this length.
    patterns: how votes fell, for steps that votes decided.
    watch: compares dissent with the band of the run's plan; None where it has none.
    leads: the margins of steps, where votes have weights; else None.
    ruled: steps that a person decided; neither `patterns` nor `leads` has these.
    shortlisted: steps whose choice is a shortlist; the same holds for them.
    undecided: steps that stayed undecided, and after which a function process continued; the same holds for them.
    first_ruled, first_undecided: the numbers of the first of these steps.
    """

    votes: Counter[int] = field(default_factory=Counter)
    rounds: Counter[int] = field(default_factory=Counter)
    tallies: Counter[tuple[int, ...]] = field(default_factory=Counter)
    disagreements: int = 0
    collisions: int = 0
    streaks_ahead: Counter[int] = field(default_factory=Counter)
    patterns: VotePatterns = field(default_factory=VotePatterns)
    watch: DissentWatch | None = None
    leads: WeightedMargins | None = None
    ruled: int = 0
    shortlisted: int = 0
    undecided: int = 0
    first_ruled: list[int] = field(default_factory=list)
    first_undecided: list[int] = field(default_factory=list)
    _outruled: dict[int, tuple[int, int]] = field(default_factory=dict)
    _expected: Expectations | None = None
    _streak_ahead: int = 0
    _dropped_before: bool = False
    _hardest: list[tuple[int, int, DecidedStep]] = field(default_factory=list)
    _doubtful: list[tuple[tuple[bool, int, int], DecidedStep]] = field(default_factory=list)

    def add(self, decided: DecidedStep, state: RunState | None = None) -> None:
        """Count one decided step; an inherited one, which had no votes in this run, is not counted.

        `state` is that of its run: rule, voters and plan.
        """
        if decided.inherited:
            return
        if self._expected is None and state is not None:
            self._begin(decided, state)
        votes = decided.votes
        self.votes[votes] += 1
        self.rounds[decided.rounds] += 1
        self.tallies[decided.tally] += 1
        self._count_streak(decided)
        if decided.ruled:
            self._count_ruled(decided)
        elif decided.undecided is not None:
            self._count_undecided(decided)
        elif decided.shortlisted:
            self.shortlisted += 1
        else:
            self.patterns.add(decided)
            if self.leads is not None:
                self.leads.add(decided)
        if self.watch is not None:
            self.watch.add(len(decided.tally) > 1)
        if len(decided.tally) > 1 and decided.undecided is None:
            self.disagreements += 1
            self.collisions += _first_two_lost(decided)
        self._keep(decided, votes + decided.flags)

    def _keep(self, decided: DecidedStep, effort: int) -> None:
        """Keep the steps that took most samples, and the most doubtful ones with their texts."""
        if len(self._hardest) < MAX_HARDEST or effort > self._hardest[0][0]:
            hard = (effort, -decided.step, decided._replace(replies=(), wordings=None, messages=None))
            keep_largest(self._hardest, hard, MAX_HARDEST)
        if is_doubtful(decided):
            keep_largest(self._doubtful, (doubt_rank(decided), decided), MAX_HARDEST)

    def _begin(self, decided: DecidedStep, state: RunState) -> None:
        self._expected = expectations_from(None if state.opened is None else state.opened.plan)
        self.watch = watch_of(self._expected, decided.step)
        if isinstance(state.policy.rule, LogOdds):
            self.leads = WeightedMargins()

    def _count_streak(self, decided: DecidedStep) -> None:
        """Count streaks of steps that were asked ahead, from guessed states that held at once.

        A wrong guess ends one. The steps after it, as far as the window reached, have samples for nothing as well.
        """
        dropped = decided.wasted > 0
        if self._streak_ahead and (not decided.ahead or (dropped and not self._dropped_before)):
            self.streaks_ahead[self._streak_ahead] += 1
            self._streak_ahead = 0
        if decided.ahead:
            self._streak_ahead += 1
        self._dropped_before = dropped

    def _count_ruled(self, decided: DecidedStep) -> None:
        self.ruled += 1
        if len(self.first_ruled) < MAX_RULED:
            self.first_ruled.append(decided.step)
        winner = decided.winner
        for vote in decided.cast:
            against, votes = self._outruled.get(vote.voter, (0, 0))
            self._outruled[vote.voter] = against + (vote.candidate != winner), votes + 1

    def _count_undecided(self, decided: DecidedStep) -> None:
        self.undecided += 1
        if len(self.first_undecided) < MAX_RULED:
            self.first_undecided.append(decided.step)

    def dissents(self, voter: int) -> tuple[int, int]:
        """A voter's votes against the committed choice, and all its votes, on all committed steps."""
        against, votes = self.patterns.dissents().get(voter, (0, 0))
        outruled, cast = self._outruled.get(voter, (0, 0))
        return against + outruled, votes + cast

    def accepted_runs(self) -> Counter[int]:
        """How many consecutive accepted steps there were, by the length of their run; the present run counts, too."""
        return self.streaks_ahead + Counter([self._streak_ahead] if self._streak_ahead else [])

    def hardest(self) -> list[DecidedStep]:
        """The steps that took the most samples, hardest first."""
        return [decided for _, _, decided in sorted(self._hardest, key=lambda item: item[:2], reverse=True)]

    def doubtful(self) -> list[DecidedStep]:
        """The most doubtful steps, with their samples: decided by people, with rival votes, with flags."""
        return [decided for _, decided in sorted(self._doubtful, key=lambda item: item[0], reverse=True)]


def _first_two_lost(decided: DecidedStep) -> bool:
    """Whether the step's first two votes both went against its verdict (the paper's collisions)."""
    winner = decided.winner
    return all(vote.candidate != winner for vote in decided.cast[:2])


def status_of(state: RunState) -> str:
    """One word: finished, paused, or unfinished (running, or killed)."""
    if state.finished is not None:
        return "finished"
    return "paused" if state.paused is not None else "unfinished"


def report_of(state: RunState, series: RunSeries, full: bool = False) -> Report:
    """The report of a run; its names are stable. The texts of doubtful steps are shortened unless it is `full`."""
    opened = state.opened
    assert opened is not None
    own_steps = state.committed - state.inherited
    return Report(
        process=opened.process,
        parameters=state.parameters,
        model=opened.model,
        seed=opened.seed,
        software=opened.software,
        policy=replace(state.policy, min_replies=state.policy.replies_to_win).to_json(),  # as it is applied
        request=state.request.to_json(),
        plan=opened.plan,
        status=status_of(state),
        stopped=None if state.paused is None else {"kind": state.paused.kind, "reason": state.paused.reason},
        steps=state.committed,
        length=opened.length,
        sessions=state.sessions,
        started=opened.time,
        ended=state.finished.time if state.finished else None,
        samples=_samples(state),
        flags={kind.value: count for kind, count in sorted(state.flags.items(), key=lambda item: item[0].value)},
        flag_reasons=state.reasons.to_json(),
        failure_reasons=state.calls.failure_reasons.to_json(20, "kind", "calls"),
        tokens={"input": state.calls.usage.input_tokens, "output": state.calls.usage.output_tokens},
        spend=spend_of(state),
        served={state.voters[number].name: list(models) for number, models in state.served.items()},
        findings=[*state.calls.findings, *(one.sentence for one in state.account.overbilled)],
        voters=[_voter(voter, *series.dissents(number)) for number, voter in state.voters.items()],
        votes_per_step=sum(n * steps for n, steps in series.votes.items()) / own_steps if own_steps else None,
        votes_histogram={str(votes): series.votes[votes] for votes in sorted(series.votes)},
        rounds_histogram={str(rounds): series.rounds[rounds] for rounds in sorted(series.rounds)},
        tallies={"-".join(map(str, tally)) or "none": count for tally, count in series.tallies.most_common()},
        speculation=_speculation(state, series),
        disagreements=series.disagreements,
        collisions=series.collisions,
        ruled={"count": series.ruled, "steps": list(series.first_ruled)},
        undecided=undecided_of(series),
        acts=acts_of(state),
        redrawn=state.redrawn,
        changes=[{"time": one.time, "changes": list(one.changes)} for one in state.changes],
        set_aside=state.set_aside,
        rejudged=state.rejudged,
        inherited=state.inherited,
        origin=opened.origin,
        shortlisted=series.shortlisted,
        hardest=[
            {"step": d.step, "tally": list(d.tally), "flags": d.flags, "rounds": d.rounds} for d in series.hardest()
        ],
        doubtful=[decided_step(decided, state.voters, state.request, full) for decided in series.doubtful()],
        open_step=_open_step(state, full),
        certificate=certificate_of(series.patterns, _certified(state, series)),
    )


def _samples(state: RunState) -> dict[str, int]:
    """The number of requested samples with each outcome."""
    flagged = state.flags.total()
    return {
        "sent": state.samples + state.calls.unknown + len(state.calls.in_flight),
        "received": state.samples,
        "voted": state.samples - flagged,
        "flagged": flagged,
        "unknown": state.calls.unknown,
        "given_up": state.calls.given_up,
        "failed_calls": state.calls.failures,
    }


def _certified(state: RunState, series: RunSeries) -> CertifiedRun:
    """What a certificate takes from a run besides how its votes fell."""
    return CertifiedRun(
        voters={number: voter.name for number, voter in state.voters.items()},
        expected=expectations_from(None if state.opened is None else state.opened.plan),
        leads=series.leads,
        alarms=series.watch.alarms if series.watch is not None else (),
        ruled=series.ruled,
        redrawn=state.redrawn,
        inherited=state.inherited,
        undecided=series.undecided,
    )


def undecided_of(series: RunSeries) -> dict[str, Json]:
    """How many steps stayed undecided, after which the function continued, and the first of their numbers."""
    return {"count": series.undecided, "steps": list(series.first_undecided)}


def acts_of(state: RunState) -> dict[str, Json]:
    """How many side effects were run, and the one of which no end is known."""
    acts, begun = state.acts, state.acts.pending
    unknown: Json = None
    if begun is not None:
        unknown = {"step": begun.step, "name": begun.name, "key": begun.key, "once": begun.once, "time": begun.time}
    counts: dict[str, Json] = {name: getattr(acts, name) for name in ("ended", "failed", "again", "inherited")}
    return counts | {"unknown": unknown}


def _open_step(state: RunState, full: bool) -> dict[str, Json] | None:
    """The next step to decide; None where nothing about it is doubtful."""
    step = None if state.finished is not None else state.frontier
    return None if step is None else open_step(step, state.voters, state.request, full)


def _voter(voter: VoterRecord, dissents: int, votes: int) -> dict[str, Json]:
    """A voter's samples, and how many of its votes on committed steps went against the committed choice.

    `dissent` is their share of these votes, which can be fewer than `votes`: some are wasted or set aside.
    """
    return {
        "name": voter.name,
        "votes": voter.votes,
        "flags": voter.flags,
        "dissents": dissents,
        "dissent": dissents / votes if votes else None,
    }


def spend_of(state: RunState) -> dict[str, Json]:
    """What paid calls cost, or may have cost. Dollars are None where a price is not known; `priced` are those known.

    `forecast` is the cost of the whole chain at the present cost of a step: None before the first step, and where the
    chain does not say how long it is.
    """
    account, opened = state.account, state.opened
    spent, limits = account.spent, account.limits
    length = None if opened is None else opened.length
    forecast = None
    own_steps = state.committed - state.inherited
    if length and own_steps and spent.money is not None:
        forecast = in_dollars(spent.money) / own_steps * (length - state.inherited)
    return {
        "calls": account.calls,
        "dollars": known_dollars(spent.money),
        "priced": in_dollars(account.priced),
        "settled": {"tokens": account.settled.tokens, "dollars": known_dollars(account.settled.money)},
        "unknown": {
            "calls": account.lost,
            "given_up": account.given_up,
            "tokens": account.unknown.tokens,
            "dollars": known_dollars(account.unknown.money),
        },
        "under_way": {"tokens": account.reserved.tokens, "dollars": known_dollars(account.reserved.money)},
        "limits": {
            "dollars": known_dollars(limits.money),
            "tokens": limits.tokens,
            "calls": limits.calls,
            "hours": None if limits.seconds is None else limits.seconds / 3600.0,
            "strict": limits.strict,
        },
        "forecast": forecast,
    }


def _speculation(state: RunState, series: RunSeries) -> dict[str, Json]:
    """The effect of speculation: what was accepted, what was wasted, and the speed-up."""
    runs = series.accepted_runs()
    ahead = sum(length * count for length, count in runs.items())
    return {
        "steps_ahead": ahead,
        "accepted_runs": runs.total(),
        "mean_run": ahead / runs.total() if runs else None,
        "longest_run": max(runs, default=0),
        "wasted": state.wasted,
        "waste": state.wasted / state.samples if state.samples else 0.0,
        "drafts": state.calls.drafts,
        "speed_up": state.speedup.gain,
    }
