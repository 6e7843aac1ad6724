"""The laws of replay: the fold of a journal's entries is the run, wherever it is cut and however replies arrive.

`Run` plays a runner: it asks for what is wanted, takes in replies in any order, and is killed, resumed with
higher caps and committed to at any moment. The outcome of a sample is a function of its step and number, as it
is with a seeded sampler.
"""

import random
from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unerring.core.entries import (
    Committed,
    Failed,
    Finished,
    Intent,
    Opened,
    Paused,
    Reply,
    Resumed,
    Voter,
    decode,
    digest_of,
    encode,
)
from unerring.core.policy import Policy
from unerring.core.race import AheadBy, FirstTo, Majority, Race, Undecided, Won
from unerring.core.redflag import FlagKind
from unerring.core.replay import OpenStep, RunState, replay
from unerring.core.report import Series, report_of
from unerring.core.sample import Finish, Usage

LAW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

WINDOW = 3
rules = st.one_of(
    st.builds(AheadBy, st.integers(1, 4)),
    st.builds(FirstTo, st.integers(1, 4)),
    st.builds(Majority, st.integers(1, 6)),
)


@st.composite
def policies(draw):
    rule = draw(rules)
    return Policy(rule, vote_cap=draw(st.integers(rule.lacking(0, 0), 12)), flag_cap=draw(st.integers(1, 3)))


class Outcomes:
    """What each sample turns out to be, for good: a choice, or None for a flagged one."""

    def __init__(self, seed, flagged):
        self.seed = seed
        self.flagged = flagged

    def of(self, step, slot):
        draw = random.Random(f"{self.seed}:{step}:{slot}")
        return None if draw.random() < self.flagged else draw.choice(('"a"', '"a"', '"a"', '"b"', '["c"]'))


outcomes = st.builds(Outcomes, st.integers(0, 1000), st.sampled_from([0.0, 0.1, 0.3, 0.6, 1.0]))


class Run:
    """A live run, the entries it wrote, and a snapshot after each."""

    def __init__(self, policy, outcomes):
        self.state, self.outcomes = RunState(), outcomes
        self.entries, self.snapshots, self.decided = [], [snapshot(self.state)], []
        self.write(Opened("made up", {}, "none", policy.to_json(), 0, "0", None, "test", 0.0))
        self.write(Voter(0, "first"))

    def write(self, entry):
        decided = self.state.apply(entry)
        self.entries.append(entry)
        self.snapshots.append(snapshot(self.state))
        if decided is not None:
            self.decided.append(decided)

    def act(self, number):
        """Do something legal, picked by a number."""
        if self.state.finished is not None:
            return
        action, detail = number % 16, number // 16
        if action < 8:
            self.reply(detail)
        elif action < 10:
            self.intend(detail)
        elif action < 13:
            self.commit(detail)
        elif action == 13:
            self.fail(detail)
        elif action == 14:
            self.resume(detail)
        elif detail < 4:
            self.write(Voter(len(self.state.voters), f"voter {detail}"))
        else:
            self.reply(detail)

    def wanted(self):
        first = self.state.committed
        return [(step, slot) for step in range(first, first + WINDOW) for slot in self.state.step(step).wanted()]

    def reply(self, detail):
        wanted = self.wanted()
        if wanted:
            self.receive(*wanted[detail % len(wanted)], voter=detail % len(self.state.voters))

    def receive(self, step, slot, voter=0):
        self.write(reply_to(self.state.step(step), slot, self.outcomes.of(step, slot), voter))

    def intend(self, detail):
        wanted = self.wanted()
        if wanted:
            step, slot = wanted[detail % len(wanted)]
            count = 1
            while (step, slot + count) in wanted and count <= detail % 4:
                count += 1
            self.write(Intent(step, slot, count))

    def fail(self, detail):
        if self.state.in_flight:
            step, slot = sorted(self.state.in_flight)[detail % len(self.state.in_flight)]
            self.write(Failed(step, slot, 1, "busy"))

    def commit(self, detail):
        """Commit the first open step, or bring it one reply nearer."""
        step = self.state.step(self.state.committed)
        if isinstance(step.verdict, Won):
            self.write(Committed(step.step, digest_of(str(step.step))))
        elif wanted := step.wanted():
            self.receive(step.step, wanted[detail % len(wanted)])

    def resume(self, detail):
        if detail % 2:
            self.write(Paused("interrupted", "asked to", 1.0))
        caps = self.state.policy
        raised = [None, caps.vote_cap + detail % 5, caps.vote_cap + 7]
        flags = [None, caps.flag_cap, caps.flag_cap + detail % 3]
        self.write(Resumed(2.0, raised[detail % 3], flags[detail // 3 % 3]))


def reply_to(step, slot, choice, voter=0):
    """A reply as a runner writes it: a text or a choice seen before in the step is given by its number."""
    text = f"I say {choice}" if choice else f"mumble {slot % 2}"
    return Reply(
        step.step,
        slot,
        step.texts.get(text, text),
        None if choice is None else step.choices.get(choice, choice),
        FlagKind.MALFORMED if choice is None else None,
        Usage(10, len(text)),
        Finish.STOP,
        None,
        voter,
    )


def snapshot(state):
    """All that a state holds, comparable. A step merely looked at, with no reply yet, is not part of it."""
    held = {name: value for name, value in vars(state).items() if name != "open"}
    held["voters"] = {number: (v.name, v.votes, v.flags) for number, v in state.voters.items()}
    held["flags"], held["in_flight"] = Counter(state.flags), set(state.in_flight)
    held["open"] = {number: unfolded(step) for number, step in state.open.items() if step.replies}
    return held


def unfolded(step):
    held = {name: getattr(step, name) for name in OpenStep.__slots__}
    race = held.pop("race")
    copied = {name: dict(value) if isinstance(value, dict) else value for name, value in held.items()}
    return copied, dict(race.tally), race.verdict, race.cap, step.verdict, step.wanted()


def listed(elements, longest):
    """Lists of every length alike; left to itself Hypothesis makes mostly short ones."""
    return st.integers(0, longest).flatmap(lambda size: st.lists(elements, min_size=size, max_size=size))


@st.composite
def runs(draw):
    run = Run(draw(policies()), draw(outcomes))
    for number in draw(listed(st.integers(0, 16 * 12 - 1), 90)):
        run.act(number)
    if draw(st.booleans()):
        run.write(Finished(run.state.committed, 9.0))
    return run


@LAW
@given(runs())
def test_the_fold_of_any_prefix_is_the_live_state_of_then(run):
    """fold(entries[:n]) equals the live state after n entries, at every n."""
    for n, expected in enumerate(run.snapshots):
        assert snapshot(replay(run.entries[:n])) == expected


@LAW
@given(runs(), st.data())
def test_going_on_from_a_fold_is_going_on(run, data):
    """A state folded from a prefix and given the rest, by way of bytes, is the state of the whole."""
    cut = data.draw(st.integers(0, len(run.entries)))
    state = replay(decode(encode(entry)) for entry in run.entries[:cut])
    for entry in run.entries[cut:]:
        state.apply(decode(encode(entry)))
    assert snapshot(state) == run.snapshots[-1]


@LAW
@given(runs())
def test_a_committed_step_is_its_votes_in_the_order_of_their_numbers(run):
    """Whatever the order of arrival, a step's winner and tally are a race over its samples by number."""
    for decided in run.decided:
        said = [run.outcomes.of(decided.step, slot) for slot in range(len(decided.replies))]
        votes = [choice for choice in said if choice is not None]
        race = Race(run.state.policy.rule)
        race.tell_all(votes)
        assert race.verdict == Won(decided.choice)
        assert race.votes == len(votes) == decided.votes
        assert decided.tally == tuple(sorted(Counter(votes).values(), reverse=True))
        assert decided.flags == len(said) - len(votes)
        assert [reply.slot for reply in decided.replies] == list(range(len(said)))


@LAW
@given(runs())
def test_the_figures_of_a_run_add_up(run):
    """Votes and flags of the voters are the samples, their tokens the usage, and nothing in flight is lost."""
    state = run.state
    replies = [entry for entry in run.entries if isinstance(entry, Reply)]
    flagged = [reply for reply in replies if reply.flag is not None]
    assert state.samples == len(replies)
    assert state.flags.total() == sum(voter.flags for voter in state.voters.values()) == len(flagged)
    assert sum(voter.votes for voter in state.voters.values()) == len(replies) - len(flagged)
    assert state.usage == sum((reply.usage for reply in replies), Usage())
    assert state.failures == sum(isinstance(entry, Failed) for entry in run.entries)
    assert state.sessions == 1 + sum(isinstance(entry, Resumed) for entry in run.entries)
    assert state.entries == len(run.entries)
    assert state.committed == len(run.decided) == sum(isinstance(entry, Committed) for entry in run.entries)


@LAW
@given(runs())
def test_every_intent_is_settled_once(run):
    """A sample asked for is received, failed, unknown after a crash, or in flight: exactly one of these."""
    open_, unknown = set(), 0
    for entry in run.entries:
        if isinstance(entry, Intent):
            open_ |= {(entry.step, entry.slot + i) for i in range(entry.count)}
        elif isinstance(entry, Failed):
            open_ -= {(entry.step, entry.slot + i) for i in range(entry.count)}
        elif isinstance(entry, Reply):
            open_ -= {(entry.step, entry.slot)}
        elif isinstance(entry, Resumed):
            unknown += len(open_)
            open_ = set()
    assert run.state.in_flight == open_
    assert run.state.unknown == unknown


@LAW
@given(runs())
def test_a_report_can_be_made_at_any_moment(run):
    """The report of any prefix is JSON data whose sums agree with the state."""
    state, series = RunState(), Series()
    for entry in run.entries:
        decided = state.apply(entry)
        if decided is not None:
            series.add(decided)
        report = report_of(state, series)
        samples = report["samples"]
        assert samples["voted"] + samples["flagged"] == samples["received"]
        assert samples["sent"] == samples["received"] + samples["unknown"] + len(state.in_flight)
        assert sum(report["votes_histogram"].values()) == sum(report["tallies"].values()) == report["steps"]
        assert report["collisions"] <= report["disagreements"] <= report["steps"]


def settled(step):
    """How a step stands, by the words of its choices rather than their numbers."""
    verdict = step.verdict
    return (
        step.choice(verdict.choice) if isinstance(verdict, Won) else verdict,
        {step.choice(candidate): votes for candidate, votes in step.race.tally.items()},
        (step.told, step.asked, step.flags, step.rounds),
    )


def play(policy, outcomes, arrival):
    """One step to its end, replies arriving in an order that a seed picks; None is the order of their numbers."""
    step, draw = OpenStep(0, policy), random.Random(arrival)
    while wanted := step.wanted():
        slot = wanted[0] if arrival is None else draw.choice(wanted)
        step.receive(reply_to(step, slot, outcomes.of(0, slot)))
    return step


@settings(LAW, max_examples=150)
@given(policies(), outcomes, st.integers(0, 2**32))
def test_the_order_of_arrival_never_changes_a_step(policy, outcomes, arrival):
    """Verdict, tally, flags, rounds and samples asked for are those of replies arriving by number."""
    assert settled(play(policy, outcomes, arrival)) == settled(play(policy, outcomes, None))


@settings(LAW, max_examples=150)
@given(policies(), outcomes)
def test_a_step_ends_won_or_undecided_and_only_by_its_caps(policy, outcomes):
    """With nothing left to ask, a step is won, or its votes or its flags have met their cap."""
    step = play(policy, outcomes, None)
    verdict = step.verdict
    if isinstance(verdict, Undecided):
        limit = min(policy.vote_cap, policy.rule.most_votes or policy.vote_cap)
        flag_limit = policy.flag_cap * (step.race.votes + step.race.missing())
        assert step.race.votes == limit or step.flags >= flag_limit
    else:
        assert isinstance(verdict, Won)
        assert step.choice(verdict.choice) in {'"a"', '"b"', '["c"]'}


@settings(LAW, max_examples=150)
@given(policies(), outcomes, st.integers(1, 20), st.integers(0, 5))
def test_a_raised_cap_goes_on_with_the_same_votes(policy, outcomes, more_votes, more_flags):
    """A won step stays as it is under higher caps; any other keeps every vote told."""
    step = play(policy, outcomes, None)
    verdict, told, tally = step.verdict, step.told, dict(step.race.tally)
    raised = Policy(policy.rule, policy.vote_cap + more_votes, policy.flag_cap + more_flags)
    step.recap(raised)
    assert step.told == told
    assert dict(step.race.tally) == tally
    if isinstance(verdict, Won):
        assert step.verdict == verdict
    elif step.flags == 0 and policy.rule.most_votes is None:
        assert 1 <= len(step.wanted()) <= step.race.missing()


@settings(LAW, max_examples=150)
@given(policies(), outcomes, st.integers(0, 2**32), st.integers(0, 30), st.integers(0, 12))
def test_raising_a_cap_halfway_is_starting_with_it(policy, outcomes, arrival, halfway, more):
    """A step interrupted at any point and resumed under a higher cap ends as if it had had that cap from the start."""
    raised = Policy(policy.rule, policy.vote_cap + more, policy.flag_cap)
    step, draw = OpenStep(0, policy), random.Random(arrival)
    for turn in range(10_000):
        if turn == halfway:
            step.recap(raised)
        wanted = step.wanted()
        if not wanted:
            if turn >= halfway:
                break
            continue
        slot = draw.choice(wanted)
        step.receive(reply_to(step, slot, outcomes.of(0, slot)))
    assert settled(step) == settled(play(raised, outcomes, None))
