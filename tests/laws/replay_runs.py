"""Random runs for the laws of replay: every history of entries that a run can write.

`Run` asks for samples at the frontier and ahead of it from guessed states, takes in replies in any order and late,
abandons calls, asks for drafts, probes the provider, and is killed, resumed with higher caps or other limits, and
committed to at any moment. A person decides steps that stay undecided, or has them drawn again, has samples judged
again, or accepts a change; the run may be a fork. The outcome of a sample is a function of its step, its number and
the state it was asked from, as it is with a seeded sampler.
"""

import random
from collections import Counter
from copy import deepcopy
from dataclasses import astuple, replace

from hypothesis import strategies as st

from unerring.core.journal.entries import (
    DRAFT_SLOT,
    PROBE_SLOT,
    Allowed,
    Cancelled,
    Committed,
    Drafted,
    Failed,
    Finished,
    Inherited,
    Intent,
    Opened,
    Paused,
    Probed,
    Replies,
    Reply,
    Resumed,
    Served,
    Voter,
    digest_of,
)
from unerring.core.journal.review_entries import Accepted, Judgement, Redrawn, Rejudged, Ruled
from unerring.core.journal.spend import Charge, SpendLimits, Tariff
from unerring.core.journal.state import RunState
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy, FirstTo, LogOdds, Majority, Undecided, Won
from unerring.core.voting.redflag import FlagKind
from unerring.core.voting.sample import Finish, Usage
from unerring.core.voting.step import OpenStep
from unerring.core.voting.weights import VoterWeights, Weights
from unerring.errors import FailureKind

ACTIONS = 34
WINDOW = 4
START = digest_of("0")
CHOICES = ('"a"', '"a"', '"a"', '"b"', '["c"]')
VOTERS = ("first", "voter 1", "voter 2")
LOGPROBS = (None, -0.5, -0.1, -0.03, -0.01, 0.0)


@st.composite
def log_odds(draw):
    """Rules that weigh votes: of one to three bins, by voters some of which are unknown or weigh nothing."""
    edges = draw(st.sampled_from([(), (-0.1,), (-0.1, -0.01)]))
    weights = st.sampled_from([0, 1, 700, 2200, 4100])
    voters = st.builds(VoterWeights, st.tuples(*[weights] * (len(edges) + 1)), weights)
    voters |= voters.map(lambda voter: replace(voter, again=max(voter.bins) // 2, turn=1100))
    known = draw(st.lists(st.sampled_from(VOTERS), min_size=1, unique=True))
    first_voter = VoterWeights((2500,) * (len(edges) + 1), draw(weights), *draw(st.sampled_from([(), (300, 2000)])))
    named = [(name, draw(voters) if number else first_voter) for number, name in enumerate(known)]
    return LogOdds(draw(st.sampled_from([0.5, 2.5, 5.0, 7.3])), Weights(edges, tuple(named)))


rules = st.one_of(
    st.builds(AheadBy, st.integers(1, 4)),
    st.builds(FirstTo, st.integers(1, 4)),
    st.builds(Majority, st.integers(1, 6)),
    log_odds(),
)


@st.composite
def policies(draw):
    rule = draw(rules)
    return Policy(rule, vote_cap=draw(st.integers(rule.lacking(0, 0), 12)), flag_cap=draw(st.integers(1, 3)))


class Outcomes:
    """The outcome of each sample: a choice, or None for a flagged one; and its log-probability.

    It stays the same unless the sample is judged again: `rejudged` has those that read differently since.
    """

    def __init__(self, seed, flagged):
        self.seed = seed
        self.flagged = flagged
        self.rejudged = {}

    def of(self, step, slot, at):
        if (step, slot, at) in self.rejudged:
            return self.rejudged[step, slot, at]
        draw = random.Random(f"{self.seed}:{step}:{slot}:{at}")
        return None if draw.random() < self.flagged else draw.choice(CHOICES)

    def logprob(self, step, slot, at):
        return random.Random(f"how sure {self.seed}:{step}:{slot}:{at}").choice(LOGPROBS)


outcomes = st.builds(Outcomes, st.integers(0, 1000), st.sampled_from([0.0, 0.1, 0.3, 0.6, 1.0]))


def after(at, choice):
    """The digest of the state after a choice."""
    return digest_of(f"{at}{choice}")


class Run:
    """A live run, the entries it wrote, and a snapshot after each. `path` has the state before each committed step."""

    def __init__(self, policy, outcomes, inherited=0):
        self.state, self.outcomes = RunState(), outcomes
        self.entries, self.snapshots, self.decided = [], [snapshot(self.state)], []
        self.path = [START]
        self.guessed = set()
        self.received = set()
        origin = {"journal": "other.db", "step": inherited} if inherited else None
        self.write(Opened("made up", {}, "none", policy.to_json(), 0, "0", None, "test", 0.0, origin=origin))
        for step in range(inherited):
            self.write(Inherited(step, CHOICES[step], after(self.state.last_digest, CHOICES[step])))
        self.write(Voter(0, "first"))

    def write(self, entry):
        decided = self.state.apply(entry)
        self.entries.append(entry)
        self.snapshots.append(snapshot(self.state))
        if decided is not None:
            self.decided.append(decided)
            self.path.append(self.state.last_digest)

    def act(self, number):
        """Do something allowed, chosen by a number."""
        if self.state.finished is not None:
            return
        action, detail = number % ACTIONS, number // ACTIONS
        often = (self.reply,) * 9 + (self.intend,) * 4 + (self.commit,) * 5 + (self.settle,) * 3 + (self.review,) * 3
        rarely = (self.draft, self.probe, self.resume, self.resume, self.guess, self.allow, self.serve, self.name)
        rarely += (self.rejudge, self.accept)
        (often + rarely)[action](detail)

    def name(self, detail):
        if detail < 4:
            self.write(Voter(len(self.state.voters), f"voter {detail}"))

    def serve(self, detail):
        self.write(Served(detail % len(self.state.voters), f"model {detail % 3}"))

    def allow(self, detail):
        """Set other limits and prices; a voter without a price makes sums unknown."""
        tariffs = {name: Tariff(3, 7, 1) for name in VOTERS[: detail % 4]}
        self.write(Allowed(SpendLimits(10**9, None, detail, 60.0), tariffs))

    def review(self, detail):
        """Between two sessions, a person decides the first open step or has it drawn again, once or twice."""
        seen = len(self.entries)
        for decision in (detail, detail // 9)[: 1 + detail % 2]:
            step = self.state.frontier
            if step is None or not (step.reviewed or isinstance(step.verdict, Undecided)):
                break
            number = self.state.committed
            if decision % 3:
                self.write(Redrawn(number, 1.0, None if decision % 4 else "another"))
            elif step.ruled is not None or isinstance(step.verdict, Undecided):
                self.write(Ruled(number, (*CHOICES, '"new"')[decision % 6], 1.0))
        if len(self.entries) > seen:
            self.write(Resumed(2.0))

    def rejudge(self, detail):
        """Between two sessions, samples of an open step are read again: some change, lose or gain a vote."""
        places = [place for place in self.places() if self.state.open.get(place[0], {}).get(place[1])]
        places = [(step, at) for step, at in places if self.state.step(step, at).replies]
        if not places:
            return
        number, at = places[detail % len(places)]
        step = self.state.step(number, at)
        judgements = []
        for slot in sorted(slot for slot in step.replies if slot >= step.first)[:: 1 + detail % 3]:
            choice = (*CHOICES, None)[(detail + slot) % 6]
            self.outcomes.rejudged[number, slot, at] = choice
            judgements.append(Judgement(slot, choice, FlagKind.REJECTED if choice is None else None, "read again"))
        if judgements:
            self.write(Rejudged(number, tuple(judgements), 1.5, self.named(number, at, detail)))
            self.write(Resumed(2.0))

    def accept(self, detail):
        """Between two sessions, a change of the process is accepted: most or all samples of open steps are set aside.

        The chain stays at its state.
        """
        self.write(Accepted(1.5, ("its version was 1 and is 2",), self.state.last_digest, detail % 2 == 0, {}))
        self.write(Resumed(2.0))

    def guess(self, detail):
        """Guess a path of choices from the frontier; the steps along it can be asked from then on."""
        at = self.state.last_digest
        for step in range(self.state.committed + 1, self.state.committed + WINDOW):
            at = after(at, CHOICES[detail % len(CHOICES)])
            detail //= len(CHOICES)
            self.guessed.add((step, at))

    def places(self):
        """Step and state of everything that may be asked: the frontier, and what was guessed ahead of it."""
        first = self.state.committed
        frontier = {(first, self.state.last_digest)}
        return sorted(frontier | {(step, at) for step, at in self.guessed if first <= step < first + WINDOW})

    def wanted(self):
        return [(step, at, slot) for step, at in self.places() for slot in self.state.step(step, at).wanted()]

    def named(self, step, at, detail):
        """The state as an entry has it: a state that the chain has reached may be left out."""
        return None if (step, at) == (self.state.committed, self.state.last_digest) and detail % 7 else at

    def some_wanted(self, detail):
        """A step, a state, and the numbers of a call for it without a gap; None if nothing is missing."""
        wanted = self.wanted()
        if not wanted:
            return None
        step, at, slot = wanted[detail % len(wanted)]
        count = 1
        while (step, at, slot + count) in wanted and count <= detail % 4:
            count += 1
        return step, at, range(slot, slot + count)

    def reply(self, detail):
        late = sorted(call for call in self.state.calls.in_flight if self.is_late(call))
        if late and detail % 2:
            step, slot, at = late[detail // 2 % len(late)]
            self.receive(step, at, [slot], at, detail)
        elif found := self.some_wanted(detail):
            step, at, slots = found
            self.receive(step, at, slots, self.named(step, at, detail), detail)

    def is_late(self, call):
        step, slot, _ = call
        return step < self.state.committed and slot >= 0 and call not in self.received

    def receive(self, step, at, slots, named, detail):
        late = step < self.state.committed
        opened = OpenStep(step, self.state.policy) if late else self.state.step(step, at)
        voter = detail % len(self.state.voters)
        said = [(self.outcomes.of(step, slot, at), self.outcomes.logprob(step, slot, at)) for slot in slots]
        self.received |= {(step, slot, at) for slot in slots}
        self.write(call_of(opened, slots, said, named, voter))

    def intend(self, detail):
        if found := self.some_wanted(detail):
            step, at, slots = found
            worst = (None, Charge(20 * len(slots), 9, 100), Charge(20, 9, None))[detail % 3]
            self.write(Intent(step, slots[0], len(slots), self.named(step, at, detail), worst))

    def draft(self, detail):
        """Ask for a draft; `settle` answers or abandons it."""
        step, at = self.places()[detail % len(self.places())]
        self.write(Intent(step, DRAFT_SLOT, 1, self.named(step, at, detail)))

    def probe(self, detail):
        """Probe the provider; `settle` records the result or abandons it."""
        self.write(Intent(self.state.committed, PROBE_SLOT - detail % 2, 1, None, Charge(5, 5, 10)))

    def settle(self, detail):
        """End a call in flight without samples: it fails, is abandoned, or was for a draft."""
        if not self.state.calls.in_flight:
            return
        step, slot, at = sorted(self.state.calls.in_flight)[detail % len(self.state.calls.in_flight)]
        at = self.named(step, at, detail)
        charge = (None, Charge(detail, 3, 5))[detail // 2 % 2]
        if slot == DRAFT_SLOT and detail % 2:
            self.write(Drafted(step, Usage(detail, 3), at, charge))
        elif slot <= PROBE_SLOT and detail % 2 and step == self.state.committed:
            self.write(Probed(step, ("", "it answers")[detail % 3 % 2], Charge(2, 3, 4), slot))
        elif detail % 4 == 0:
            self.write(Cancelled(step, slot, 1, at))
        else:
            self.write(Failed(step, slot, 1, "busy", at, tuple(FailureKind)[detail % len(FailureKind)], charge))

    def commit(self, detail):
        """Commit the first open step, if necessary after asking for more."""
        number, at = self.state.committed, self.state.last_digest
        step = self.state.step(number)
        while wanted := step.wanted():
            slot = wanted[detail % len(wanted)]
            self.receive(number, at, [slot], self.named(number, at, detail), 0)
            if detail % 5 == 0:
                return
        if isinstance(step.verdict, Won):
            self.write(Committed(number, after(at, step.choice(step.verdict.choice))))

    def resume(self, detail):
        if detail % 2:
            self.write(Paused("interrupted", "asked to", 1.0, [None, 0.5][detail // 2 % 2]))
        caps = self.state.policy
        raised = [None, caps.vote_cap + detail % 5, caps.vote_cap + 7]
        flags = [None, caps.flag_cap, caps.flag_cap + detail % 3]
        self.write(Resumed(2.0, raised[detail % 3], flags[detail // 3 % 3]))


def call_of(step, slots, said, at=None, voter=0):
    """Replies as a runner writes them: a text or choice that the step has already is given by its number."""
    texts, choices, replies = dict(step.texts), dict(step.choices), []
    for slot, (choice, logprob) in zip(slots, said, strict=True):
        text = f"I say {choice}" if choice else f"mumble {slot % 2}"
        reply = Reply(
            step.step,
            slot,
            texts.get(text, text),
            None if choice is None else choices.get(choice, choice),
            FlagKind.MALFORMED if choice is None else None,
            Usage(10, len(text), slot % 3),
            Finish.STOP,
            logprob,
            voter,
        )
        texts.setdefault(text, slot)
        if choice is not None:
            choices.setdefault(choice, slot)
        replies.append(reply)
    return Replies(tuple(replies), at)


COPIED = ("account", "served", "reasons", "changes")


def snapshot(state):
    """Everything that a state holds, comparable; a step that was only looked at, without a reply, is left out."""
    held = {name: value for name, value in vars(state).items() if name != "open"}
    held["voters"] = {number: (v.name, v.votes, v.flags) for number, v in state.voters.items()}
    held["flags"], held["speedup"] = Counter(state.flags), astuple(state.speedup)
    held["calls"] = deepcopy(vars(state.calls))
    held |= {name: deepcopy(held[name]) for name in COPIED}
    held["open"] = {
        (number, at): unfolded(step)
        for number, places in state.open.items()
        for at, step in places.items()
        if step.replies
    }
    return held


def unfolded(step):
    held = {name: getattr(step, name) for name in OpenStep.__slots__ if name != "voters"}
    race, weighing = held.pop("race"), held.pop("weighing")
    copied = {name: dict(value) if isinstance(value, dict) else value for name, value in held.items()}
    voted = None if weighing is None else dict(weighing.said)
    scores = dict(race.tally), dict(race.scores), race.margin
    return copied, voted, scores, race.verdict, race.cap, step.verdict, step.wanted()


def listed(elements, longest):
    """Lists of every length alike; by itself Hypothesis makes mostly short ones."""
    return st.integers(0, longest).flatmap(lambda size: st.lists(elements, min_size=size, max_size=size))


@st.composite
def runs(draw):
    run = Run(draw(policies()), draw(outcomes), draw(st.sampled_from([0, 0, 0, 2])))
    run.guess(draw(st.integers(0, 124)))
    for number in draw(listed(st.integers(0, ACTIONS * 125 - 1), 90)):
        run.act(number)
    if draw(st.booleans()):
        run.write(Finished(run.state.committed, 9.0, draw(st.none() | st.just(0.25))))
    return run
