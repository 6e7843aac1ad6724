"""Steps decided or redrawn by people: how they fold, and their place in report and certificate."""

import json

import pytest

from replay import replay
from unerring.core.certificate.certificate import WARN_NO_VOTES, WARN_SINGLE_VOTES
from unerring.core.journal.decided_step import DecidedStep
from unerring.core.journal.entries import Committed, Intent, Opened, Resumed
from unerring.core.journal.review_entries import Redrawn, Ruled
from unerring.core.journal.state import RunState
from unerring.core.reporting.report import MAX_RULED, RunSeries
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy, Continue, LogOdds, Majority, Undecided, Won
from unerring.core.voting.redflag import FlagKind
from unerring.core.voting.step import MisplacedEntry
from unerring.core.voting.weights import VoterWeights, Weights

FLAG = FlagKind.MALFORMED
CAPPED = Policy(AheadBy(2), vote_cap=4, flag_cap=1)
DIVIDED = ('"a"', '"b"', '"a"', '"b"')


def divided(script, step=0, policy=CAPPED, votes=DIVIDED):
    """A run that stopped at an undecided step."""
    if script.state.opened is None:
        script.open(policy, voters=2)
    script.vote(step, *votes)
    assert isinstance(script.state.step(step).verdict, Undecided)
    return script


def ruled(script, choice='"b"'):
    """The undecided step decided by a person, and committed."""
    step = script.state.committed
    script.tell(Ruled(step, choice, 1.0), Committed(step, script.after(step)))
    return script


# --- how they fold


def test_a_persons_choice_can_be_committed(script):
    """An undecided step with a person's choice is won by it, whatever the votes, and has no margin."""
    divided(script).tell(Ruled(0, '"b"', 1.0))
    step = script.state.step(0)
    assert isinstance(step.verdict, Won)
    assert step.choice(step.verdict.choice) == '"b"'
    assert step.wanted() == []
    decided = script.state.apply(Committed(0, script.after(0)))
    assert (decided.choice, decided.ruled, decided.margin) == ('"b"', True, 0)
    assert (decided.tally, decided.votes_for, decided.winner) == ((2, 2), 2, 1)


def test_a_choice_that_no_vote_was_for_can_be_made(script):
    """If every sample was flagged or wrong, the person's choice has no vote, and no sample has its text."""
    divided(script).tell(Ruled(0, '"new"', 1.0))
    decided = script.state.apply(Committed(0, script.after(0)))
    assert (decided.choice, decided.winner, decided.votes_for) == ('"new"', None, 0)


def test_only_an_undecided_step_can_be_reviewed(script):
    """An open, won or future step cannot be decided by a person."""
    for entry in (Ruled(0, '"a"', 1.0), Redrawn(0, 1.0)):
        fresh = type(script)().open(CAPPED)
        with pytest.raises(MisplacedEntry):
            fresh.tell(entry)
    for votes in (["a"], ["a", "a"]):
        for entry in (Ruled(0, '"a"', 1.0), Redrawn(0, 1.0)):
            open_ = type(script)().open(CAPPED)
            open_.vote(0, *votes)
            with pytest.raises(MisplacedEntry, match="not undecided"):
                open_.tell(entry)
    with pytest.raises(MisplacedEntry):
        divided(script).tell(Ruled(1, '"a"', 1.0))


def test_a_choice_can_be_changed_until_it_is_committed(script):
    """A choice can be replaced by another or by a redraw; the last decision holds."""
    divided(script).tell(Ruled(0, '"a"', 1.0), Ruled(0, '"b"', 2.0))
    assert script.state.step(0).ruled == '"b"'
    script.tell(Redrawn(0, 3.0))
    step = script.state.step(0)
    assert (step.ruled, step.wanted()) == (None, [4, 5])


def test_only_redrawn_samples_vote(script):
    """After a redraw numbering continues, and choices are written out again.

    Samples set aside are kept and do not vote.
    """
    divided(script).tell(Redrawn(0, 1.0, "another"))
    step = script.state.step(0)
    assert (step.verdict, step.wanted(), step.rounds) == (Continue(2), [4, 5], 1)
    assert script.state.substitutes == ("another",)
    assert step.leaning() == {}
    script.tell(script.call(0, 4, '"b"', '"b"'))
    decided = script.state.apply(Committed(0, script.after(0)))
    assert (decided.choice, decided.tally, decided.ruled) == ('"b"', (2,), False)
    assert [reply.slot for reply in decided.replies] == [4, 5]
    assert decided.winner == 4
    assert (script.state.samples, script.state.set_aside, script.state.wasted) == (6, 4, 0)
    assert script.state.substitutes == ()


def test_a_reviewed_step_can_be_redrawn_at_any_time(script):
    """While samples of a named model are being drawn, another model can be named, if the first does not answer."""
    divided(script).tell(Redrawn(0, 1.0, "no such model"), Redrawn(0, 2.0, "another"))
    script.tell(script.said(0, script.state.step(0).first, "c"), Redrawn(0, 3.0))
    step = script.state.step(0)
    assert (step.model, step.samples, script.state.redrawn, script.state.set_aside) == (None, 0, 3, 5)


def test_numbers_of_calls_in_flight_at_a_crash_are_not_used_again(script):
    """Numbers of samples asked for before the review are not reused, whether or not a reply came."""
    script.open(CAPPED)
    script.vote(0, "a", "b", "a", "b")
    script.tell(Redrawn(0, 1.0), Resumed(2.0), Intent(0, 4, 2))
    script.tell(script.said(0, 4, "a"), Redrawn(0, 3.0), Resumed(4.0))
    assert script.state.step(0).wanted() == [6, 7]
    assert script.state.calls.unknown == 1


def test_higher_caps_leave_a_review_as_it_is(script):
    """Resumed with higher caps, a decided step stays decided, and a redrawn one keeps its votes since then."""
    divided(script).tell(Ruled(0, '"a"', 1.0), Resumed(2.0, 9, 9))
    assert isinstance(script.state.step(0).verdict, Won)
    assert script.state.step(0).wanted() == []
    other = divided(type(script)())
    other.tell(Redrawn(0, 1.0), other.said(0, 4, '"c"'), Resumed(2.0, 9, 9))
    assert dict(other.state.step(0).race.tally) == {4: 1}
    assert other.state.step(0).wanted() == [5]


def test_a_forged_choice_is_a_misplaced_entry(script):
    """A person's choice that is not JSON is refused when the step is committed and the choice is read."""
    decided = divided(script).state
    decided.apply(Ruled(0, "{", 1.0))
    with pytest.raises(MisplacedEntry, match="not JSON"):
        _ = decided.apply(Committed(0, "x")).value


# --- what a report makes of them


def test_a_report_has_the_decisions_of_people(script):
    """Steps decided by people are listed and redraws counted; a run without either has none."""
    assert type(script)().open().report()["ruled"] == {"count": 0, "steps": []}
    ruled(divided(script))
    script.decide('"a"', '"a"')
    ruled(divided(script, 2))
    divided(script, 3).tell(Redrawn(3, 1.0))
    report = script.report()
    assert report["ruled"] == {"count": 2, "steps": [0, 2]}
    assert report["redrawn"] == 1
    assert report["steps"] == 3


def test_many_steps_decided_by_people_are_counted_and_not_all_named():
    """The first hundred are named, so that a report stays bounded."""
    series = RunSeries()
    for step in range(250):
        series.add(DecidedStep(step, '"a"', (2, 2), 0, 2, (), ruled=True))
    assert (series.ruled, series.first_ruled) == (250, list(range(MAX_RULED)))


def test_votes_against_a_persons_choice_are_dissents(script):
    """A voter's votes against the committed choice are counted on steps that people decided, too."""
    ruled(divided(script))
    script.decide('"a"', '"b"', '"a"', '"a"')
    first, second = script.report()["voters"]
    assert (first["dissents"], first["dissent"]) == (2, 2 / 4)
    assert (second["dissents"], second["dissent"]) == (1, 1 / 4)


def test_votes_set_aside_are_no_dissents(script):
    """Samples set aside, and those asked from wrong guesses, count in no share of dissents."""
    divided(script).tell(Redrawn(0, 1.0))
    script.tell(script.call(0, 4, '"b"', '"b"'))
    script.tell(Committed(0, script.after(0)))
    voter = script.report()["voters"][0]
    assert (voter["votes"], voter["dissents"], voter["dissent"]) == (4, 0, 0.0)


def test_a_step_ruled_without_a_vote_has_a_tally_of_none(script):
    """If every sample was flagged, the person's choice has no tally, and the report says so."""
    ruled(divided(script, votes=(FLAG, FLAG)), '"new"')
    report = script.report()
    assert report["tallies"] == {"none": 1}
    assert report["votes_histogram"] == {"0": 1}
    assert json.loads(json.dumps(report, allow_nan=False)) == report


# --- what a certificate makes of them

WEIGHTS = Weights((), (("first", VoterWeights((2000,), 0)), ("second", VoterWeights((2000,), 0))))
RULES = [AheadBy(2), Majority(4), LogOdds(5.0, WEIGHTS)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@pytest.mark.parametrize("choice", ['"a"', '"b"', '"new"'])
@pytest.mark.parametrize("votes", [DIVIDED, (FLAG, FLAG, FLAG, FLAG)], ids=["divided", "flagged"])
def test_a_ruled_step_is_no_evidence(script, rule, choice, votes):
    """Under any rule the certificate equals that of the run without the decided step, except for its assumptions."""
    plan = {"steps": 100, "dissent": [0.1, 0.2]}
    policy = Policy(rule, vote_cap=4, flag_cap=1)
    agreed = ('"a"',) * (2 if isinstance(rule, AheadBy) else 3)

    def certificate(with_ruled):
        run = type(script)().open(policy, plan, voters=2)
        if with_ruled:
            needed = 0
            while not isinstance(run.state.step(0).verdict, Undecided):
                run.vote(0, votes[needed % len(votes)])
                needed += 1
            ruled(run, choice)
        for _ in range(5):
            step = run.state.committed
            while not isinstance(run.state.step(step).verdict, Won | Undecided):
                run.vote(step, agreed[0])
            if isinstance(run.state.step(step).verdict, Undecided):
                run.tell(Ruled(step, agreed[0], 1.0))
            run.tell(Committed(step, run.after(step)))
        return run.report()["certificate"]

    found, plain = certificate(True), certificate(False)
    decisions = [one for one in found["assumptions"] if "decided by people" in one]
    assert len(decisions) == 1
    for name in ("expected_wrong", "zero_probability", "zero_probability_low", "wrong_interval", "certifiable"):
        assert found[name] == plain[name]
    assert 0 not in [one["step"] for one in found["nearest"]]


def test_a_certificate_says_how_many_steps_people_decided(script):
    """The assumptions count such steps, and samples that were set aside."""
    ruled(divided(script))
    script.decide('"a"', '"a"')
    assert script.report()["certificate"]["assumptions"][0].startswith(
        "1 step was decided by people and assumed right"
    )
    divided(script, 2).tell(Redrawn(2, 1.0))
    assert "drawn again once" in script.report()["certificate"]["assumptions"][1]


def test_a_run_decided_by_people_alone_certifies_nothing(script):
    """If no step was decided by votes, the certificate claims nothing."""
    ruled(divided(script))
    certificate = script.report()["certificate"]
    assert certificate["certifiable"] is False
    assert certificate["warnings"] == [WARN_NO_VOTES]
    assert certificate["wrong_interval"] == [0, 0]
    single = type(script)().open(Policy(AheadBy(1)), voters=1)
    single.decide("a")
    assert single.report()["certificate"]["warnings"] == [WARN_SINGLE_VOTES]


def test_dissent_on_steps_decided_by_people_is_watched():
    """An alarm counts steps decided by people as steps with dissent, and has the right step numbers."""
    state, series = RunState(), RunSeries()
    plan = {"steps": 1000, "dissent": [0.001, 0.004]}
    state.apply(Opened("tale", {}, "made/up", Policy().to_json(), 0, "0", 5, "test", 0.0, plan=plan))
    for step in range(150):
        divided_ = step >= 100
        tally = (2, 2) if divided_ else (3,)
        series.add(DecidedStep(step, '"a"', tally, 0, 2, (), ruled=divided_), state)
    assert series.watch.alarms[0].since == 100


def test_the_report_of_a_replay_is_the_report_of_the_run(script):
    """Replayed from the same entries, reviews give the same report."""
    ruled(divided(script))
    divided(script, 1).tell(Redrawn(1, 1.0, "another"), Resumed(2.0))
    state = replay(script.entries)
    assert state.redrawn == script.state.redrawn
    assert state.step(1).model == "another"
