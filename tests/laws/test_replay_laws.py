"""The laws of replay: the fold of a journal's entries is the run, wherever it is cut and however replies arrive.

The runs are those of `replay_runs`: steps are open from several states at once, and most guesses are wrong.
"""

from collections import Counter, defaultdict

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from replay_runs import START, after, runs, snapshot

from replay import replay
from unerring.core.journal.codec import decode, encode
from unerring.core.journal.entries import (
    DRAFT_SLOT,
    Cancelled,
    Committed,
    Drafted,
    Failed,
    Finished,
    Inherited,
    Intent,
    Probed,
    Replies,
    Resumed,
)
from unerring.core.journal.review_entries import Redrawn, Rejudged
from unerring.core.journal.spend import Charge
from unerring.core.journal.state import RunState
from unerring.core.reporting.report import RunSeries, report_of
from unerring.core.voting.race import LogOdds, Race, Won
from unerring.core.voting.sample import Usage
from unerring.errors import FailureKind

UNSENT = FailureKind.UNSENT
LAW = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@LAW
@given(runs())
def test_the_fold_of_any_prefix_is_the_live_state_at_that_time(run):
    """fold(entries[:n]) equals the live state after n entries, at every n."""
    for n, expected in enumerate(run.snapshots):
        assert snapshot(replay(run.entries[:n])) == expected


@LAW
@given(runs(), st.data())
def test_continuing_from_a_fold_is_continuing(run, data):
    """A state computed from a prefix, given the rest through bytes, is the state of the whole."""
    cut = data.draw(st.integers(0, len(run.entries)))
    state = replay(decode(encode(entry)) for entry in run.entries[:cut])
    for entry in run.entries[cut:]:
        state.apply(decode(encode(entry)))
    assert snapshot(state) == run.snapshots[-1]


@LAW
@given(runs())
def test_a_committed_step_is_its_votes_in_the_order_of_their_numbers(run):
    """In any order of arrival, a step's winner and tally are a race over its samples by number.

    Those that were set aside have no part in it; a person's decision holds whatever the votes.
    """
    for decided, at in zip(run.decided, run.path, strict=False):
        if decided.inherited:
            continue
        slots = [reply.slot for reply in decided.replies]
        said = [run.outcomes.of(decided.step, slot, at) for slot in slots]
        votes = [choice for choice in said if choice is not None]
        race = Race(run.state.policy.rule)
        for choice, weight in zip(votes, weights_by_definition(run, decided), strict=True):
            race.tell(choice, weight)
        if decided.ruled:
            assert decided.margin == 0
        else:
            assert race.verdict == Won(decided.choice)
            assert decided.margin == race.margin
        assert decided.votes_for == votes.count(decided.choice)
        assert race.votes == len(votes) == decided.votes
        assert decided.tally == tuple(sorted(Counter(votes).values(), reverse=True))
        assert decided.flags == len(said) - len(votes)
        assert slots == list(range(slots[0], slots[0] + len(said))) if slots else decided.ruled


def weights_by_definition(run, decided):
    """The weight of each vote of a step, by number. Written without looking at `Weights.of`."""
    rule, said = run.state.policy.rule, defaultdict(list)
    for reply in decided.replies:
        if reply.choice is None:
            continue
        name = run.state.voters[reply.voter].name
        if not isinstance(rule, LogOdds):
            yield 1
        elif name not in (known := dict(rule.weights.voters)):
            yield 0
        else:
            candidate = reply.slot if isinstance(reply.choice, str) else reply.choice
            yield weight_by_definition(known[name], rule.weights.edges, reply.logprob, candidate, said[name])


def weight_by_definition(voter, edges, logprob, candidate, said):
    """The weight of a vote after those that its voter has `said` on the step, as (candidate, own weight)."""
    own = min(voter.bins) if logprob is None else voter.bins[sum(edge <= logprob for edge in edges)]
    said.append((candidate, own))
    (before, first), count = said[0], len(said)
    if count == 1:
        return own
    if not voter.again:
        return min(own, voter.repeat)
    return min(voter.again if candidate == before else voter.turn, first) if count == 2 else 0


@LAW
@given(runs())
def test_the_chain_is_the_one_its_choices_lead_through(run):
    """Each step is decided by samples asked from the state that the choices before it lead to."""
    at = START
    for decided, before in zip(run.decided, run.path, strict=False):
        assert at == before
        at = after(at, decided.choice)
    assert run.state.last_digest == at


def placed(entries):
    """Each entry with the state that its step was asked from, named or the one reached by then.

    None without a step.
    """
    last = START
    for entry in entries:
        if isinstance(entry, Committed | Inherited):
            last = entry.state
        yield entry, (getattr(entry, "at", None) or last)


def step_of(entry):
    return entry.replies[0].step if isinstance(entry, Replies) else entry.step


ASKED = (Replies, Intent, Failed, Cancelled, Drafted)


@LAW
@given(runs())
def test_samples_from_wrong_states_decide_nothing(run):
    """Without the samples asked from wrong states, the same steps are decided by the same samples."""
    came = dict(enumerate(run.path))
    kept = [
        entry
        for entry, at in placed(run.entries)
        if not isinstance(entry, (*ASKED, Rejudged)) or at == came.get(step_of(entry), at)
    ]
    state = RunState()
    decided = [found for entry in kept if (found := state.apply(entry)) is not None]
    assert [step._replace(wasted=0) for step in run.decided] == decided
    assert state.last_digest == run.state.last_digest


@LAW
@given(runs())
def test_the_figures_of_a_run_add_up(run):
    """The voters' votes and flags add up to the samples, and their tokens and those of drafts to the usage."""
    state = run.state
    replies = [reply for entry in run.entries if isinstance(entry, Replies) for reply in entry.replies]
    drafts = [entry for entry in run.entries if isinstance(entry, Drafted)]
    came = [(entry, at) for entry, at in placed(run.entries) if isinstance(entry, Replies)]
    read = [run.outcomes.of(reply.step, reply.slot, at) for entry, at in came for reply in entry.replies]
    flagged = [choice for choice in read if choice is None]
    assert state.samples == len(replies)
    assert state.flags.total() == sum(voter.flags for voter in state.voters.values()) == len(flagged)
    assert sum(voter.votes for voter in state.voters.values()) == len(replies) - len(flagged)
    probes = [entry.charge for entry in run.entries if isinstance(entry, Probed)]
    assert state.calls.usage == sum(
        (Usage(one.input_tokens, one.output_tokens) for one in probes),
        sum((paid.usage for paid in [*replies, *drafts]), Usage()),
    )
    assert state.calls.drafts == len(drafts)
    assert state.calls.failures == sum(isinstance(entry, Failed) and entry.kind is not UNSENT for entry in run.entries)
    assert state.sessions == 1 + sum(isinstance(entry, Resumed) for entry in run.entries)
    assert state.entries == len(run.entries)
    committed = sum(isinstance(entry, Committed | Inherited) for entry in run.entries)
    assert state.committed == len(run.decided) == committed
    assert state.inherited == sum(decided.inherited for decided in run.decided)
    assert state.redrawn == sum(isinstance(entry, Redrawn) for entry in run.entries)
    assert state.calls.findings == [found for entry in run.entries if (found := getattr(entry, "finding", ""))]


@LAW
@given(runs())
def test_every_sample_decides_is_wasted_or_waits(run):
    """Received samples are those of decided steps, wasted ones, those set aside, and those of open steps."""
    state = run.state
    used = sum(len(decided.replies) for decided in run.decided)
    waiting = sum(step.samples for places in state.open.values() for step in places.values())
    assert state.samples == used + state.wasted + state.set_aside + waiting
    assert sum(decided.wasted for decided in run.decided) <= state.wasted
    if state.finished is not None:
        assert waiting == 0


@LAW
@given(runs())
def test_nothing_is_open_behind_the_frontier(run):
    """Once a step is committed, no voting on it is kept, from any state."""
    assert all(step >= run.state.committed for step in run.state.open)


@LAW
@given(runs())
def test_a_step_is_ahead_where_a_sample_of_it_named_its_state(run):
    """A decided step was asked ahead exactly if some of its samples have the state they were asked from."""
    named = set()
    for entry, at in placed(run.entries):
        if isinstance(entry, Replies) and entry.at is not None:
            named.add((step_of(entry), at))
    assert [decided.ahead for decided in run.decided] == [
        (step, at) in named for step, at in enumerate(run.path[: len(run.decided)])
    ]


def lost(entry):
    """Whether the outcome of a call will never be known."""
    unknown = isinstance(entry, Failed) and entry.kind is FailureKind.UNKNOWN and entry.charge is None
    return unknown or isinstance(entry, Cancelled)


@LAW
@given(runs())
def test_every_intent_is_settled_once(run):
    """A requested sample is exactly one of received, failed, unknown (abandoned, or lost in a crash) and in flight."""
    open_, unknown = set(), 0
    for entry, at in placed(run.entries):
        if isinstance(entry, Resumed):
            unknown += len(open_)
            open_ = set()
        elif isinstance(entry, Drafted | Probed):
            open_ -= {(entry.step, getattr(entry, "slot", DRAFT_SLOT), at)}
        elif isinstance(entry, Replies):
            open_ -= {(reply.step, reply.slot, at) for reply in entry.replies}
        elif isinstance(entry, ASKED):
            call = {(entry.step, entry.slot + i, at) for i in range(entry.count)}
            unknown += len(open_ & call) if lost(entry) else 0
            open_ = open_ | call if isinstance(entry, Intent) else open_ - call
    assert run.state.calls.in_flight == open_
    assert run.state.calls.unknown == unknown


@LAW
@given(runs())
def test_a_call_costs_its_worst_until_it_is_known_what_it_took(run):
    """A call's worst case is reserved until it is settled; if its cost stays unknown, the reservation stays.

    Calls are those of intents that were sent. After a bill above what was reserved it is a whole multiple of that, at
    least once and at most as was noticed.
    """
    reserved, lost_ones, calls = {}, [], 0
    for entry, at in placed(run.entries):
        if isinstance(entry, Intent):
            calls += 1
            if entry.worst is not None:
                reserved[entry.step, entry.slot, at] = entry.worst
        elif isinstance(entry, Resumed | Finished):
            lost_ones += reserved.values() if isinstance(entry, Resumed) else ()
            reserved = {} if isinstance(entry, Resumed) else reserved
        elif isinstance(entry, ASKED):
            calls -= isinstance(entry, Failed) and entry.kind is UNSENT
            first = entry.replies[0].slot if isinstance(entry, Replies) else getattr(entry, "slot", DRAFT_SLOT)
            worst = reserved.pop((step_of(entry), first, at), None)
            lost_ones += [worst] if worst is not None and lost(entry) else []
        elif isinstance(entry, Probed):
            reserved.pop((entry.step, entry.slot, at), None)
    account = run.state.account
    assert account.calls == calls
    most = max(account.multiples.values(), default=1)
    for kept, worsts in ((account.unknown, lost_ones), (account.reserved, list(reserved.values()))):
        once = sum(worsts, Charge())
        assert once.tokens <= kept.tokens <= most * once.tokens
        assert (once.money is None) == (kept.money is None)
        assert once.money is None or once.money <= kept.money <= most * once.money


@settings(LAW, max_examples=15)
@given(runs())
def test_a_report_can_be_made_at_any_moment(run):
    """The report of any prefix is JSON data whose sums agree with the state."""
    state, series = RunState(), RunSeries()
    for entry in run.entries:
        decided = state.apply(entry)
        if decided is not None:
            series.add(decided, state)
        report = report_of(state, series)
        samples = report["samples"]
        assert samples["voted"] + samples["flagged"] == samples["received"]
        assert samples["sent"] == samples["received"] + samples["unknown"] + len(state.calls.in_flight)
        own_steps = report["steps"] - report["inherited"]
        assert sum(report["votes_histogram"].values()) == sum(report["tallies"].values()) == own_steps
        assert report["collisions"] <= report["disagreements"] <= report["steps"]
        assert all(voter["dissents"] <= voter["votes"] for voter in report["voters"])
        ahead = report["speculation"]
        assert ahead["longest_run"] <= ahead["steps_ahead"] <= report["steps"]
        assert ahead["accepted_runs"] <= ahead["steps_ahead"] <= ahead["accepted_runs"] * ahead["longest_run"]
        assert 0 <= ahead["wasted"] <= samples["received"]
        assert 0.0 <= ahead["waste"] <= 1.0
    assert report["speculation"]["steps_ahead"] == sum(decided.ahead for decided in run.decided)
    assert report["ruled"]["steps"] == [decided.step for decided in run.decided if decided.ruled]
    assert [voter["dissents"] for voter in report["voters"]] == [
        sum(
            vote.voter == number and vote.candidate != decided.winner
            for decided in run.decided
            for vote in decided.cast
        )
        for number in state.voters
    ]
