"""Independent steps are asked at the same time without a guess, and are never dropped."""

from dataclasses import dataclass, replace

import pytest

from chain_runs import Words, resume
from unerring import Subtask
from unerring.core.journal.entries import Replies
from unerring.core.voting.redflag import RedFlag
from unerring.errors import StepUndecided
from unerring.processes.solve import Solve
from unerring.runtime.config import Speculation
from unerring.testing import NoisySampler
from virtual_time import Says, Slow, ahead

VOTES = Speculation(in_flight=1000)  # nothing guesses; what is known ahead comes from votes alone
STILL = replace(VOTES, waste=0.0)  # and nothing is asked at any risk


@dataclass
class Rows:
    """`rows` rows of `width` words, each word a step; the words of a row depend on the whole row before."""

    rows: int
    width: int

    def start(self):
        return {"row": 0, "before": "", "words": [], "turn": 0}

    def place(self, state):
        return [state["row"], state["before"], state["turn"]]

    def beside(self, state):
        return state | {"turn": state["turn"] + 1} if state["turn"] + 1 < self.width else None

    def subtask(self, state):
        if state["row"] == self.rows:
            return None
        return Subtask(f"{state['row']} {state['turn']} after {state['before']!r}", parse_word)

    def advance(self, state, choice):
        words = [*state["words"], choice]
        assert len(words) == state["turn"] + 1
        if len(words) < self.width:
            return state | {"words": words, "turn": state["turn"] + 1}
        return {"row": state["row"] + 1, "before": "".join(words), "words": [], "turn": 0}

    def answer(self, state):
        return state["before"]


def parse_word(text):
    if not text.isalpha():
        raise RedFlag("no word")
    return text


def by_turn(prompt, step, slot):
    return "abcdefgh"[int(prompt.split()[1])]


def test_a_row_takes_as_long_as_one_step():
    """Five rows of eight words take five times one second, not forty."""
    sampler = Slow(Says(by_turn), latency=1.0)
    outcome, time = ahead(Rows(5, 8), sampler, speculation=STILL)
    assert outcome.error is None
    assert (time, sampler.most) == (5.0, 24)
    assert outcome.state.wasted == 0


def test_no_more_are_in_flight_than_allowed():
    """A row that is wider than the limit is asked as answers are received."""
    sampler = Slow(Says(by_turn), latency=1.0)
    outcome, time = ahead(Rows(2, 8), sampler, speculation=replace(STILL, in_flight=12))
    assert outcome.error is None
    assert (time, sampler.most) == (4.0, 12)


def test_a_steps_choice_never_drops_independent_steps():
    """A step whose first votes were wrong is decided late and otherwise; its row is asked once all the same."""

    def answer(prompt, step, slot):
        return "wrong" if step % 4 == 1 and slot < 2 else by_turn(prompt, step, slot)

    sampler = Slow(Says(answer), latency=1.0)
    outcome, _ = ahead(Rows(3, 4), sampler, speculation=STILL)
    assert outcome.error is None
    assert outcome.state.wasted == 0
    assert max(settings.slot for _, settings, _ in sampler.calls if settings.step % 4 != 1) < 3


def test_the_next_row_is_asked_from_the_first_votes():
    """If first votes come soon and others late, the next row is asked from the state they lead to."""
    sampler = Slow(Says(by_turn), latency=lambda prompt, of: 1.0 if of.slot == 0 else 10.0)
    outcome, time = ahead(Rows(6, 4), sampler, speculation=replace(VOTES, waste=1.0))
    assert outcome.error is None
    assert time < 30.0  # one row after the other takes 60 s


def test_guesses_are_asked_for_where_a_row_ends():
    """With a guess for each word, the next row is asked at once, from the guess for the row's last word."""
    guessed = []

    def guess(state):
        guessed.append((state["row"], state["turn"]))
        return "abcdefgh"[state["turn"]]

    sampler = Slow(Says(by_turn), latency=1.0)
    outcome, time = ahead(Rows(30, 4), sampler, speculation=Speculation(guess, in_flight=1000))
    assert outcome.error is None
    assert time < 15.0  # and not 30
    assert {(row, turn) for row in range(28) for turn in range(4)} <= {*guessed}


def test_a_row_that_stops_at_one_step_keeps_what_the_others_have():
    """The run stops at an undecided step; resumed, it asks for no other step of the row again."""

    def answer(prompt, step, slot):
        return "?" if step == 1 else by_turn(prompt, step, slot)

    outcome, _ = ahead(Rows(2, 4), Slow(Says(answer), latency=1.0), speculation=STILL)
    assert isinstance(outcome.error, StepUndecided)
    replied = {reply.step for entry in outcome.of(Replies) for reply in entry.replies}
    assert replied == {0, 1, 2, 3}
    again = Slow(Says(by_turn))
    taken_up = resume(Rows(2, 4), again, outcome.entries, caps=(None, 1000), speculation=STILL, max_steps=3)
    assert taken_up.state.committed == 4
    assert again.steps == {1}


def test_a_chain_that_is_wrong_about_independence_gets_warnings(caplog):
    """Steps that depend on each other after all are asked again from their true states, with a warning for each."""

    class Wrong(Words):
        def beside(self, state):
            return [*state, "a"] if len(state) < 2 else None

    def answer(prompt, step, slot):
        return "b"

    plain, _ = ahead(Words(3), Says(answer), speculation=None)
    wrong, _ = ahead(Wrong(3), Slow(Says(answer)), speculation=STILL)
    assert wrong.at == plain.at == ["b", "b", "b"]
    assert wrong.state.last_digest == plain.state.last_digest
    assert caplog.text.count("do not agree with advance()") == 2


def test_a_guess_is_made_from_what_is_known_of_the_words_before():
    """It gets the state with all words of the row that are decided or guessed."""
    seen = []

    def guess(state):
        seen.append((state["turn"], len(state["words"])))
        return "abcdefgh"[len(state["words"]) if state["turn"] == 0 else "abcdefgh".index(state["words"][-1]) + 1]

    outcome, _ = ahead(Rows(30, 4), Slow(Says(by_turn)), speculation=Speculation(guess, in_flight=1000))
    assert outcome.error is None
    assert {turn for turn, words in seen if turn == words} == {0, 1, 2, 3}


def test_a_check_that_uses_more_than_the_place_stops_the_run():
    """Its step would be decided otherwise than without speculation, so the run stops and says why."""

    class Distinct(Rows):
        def check(self, state, choice):
            return RedFlag("twice") if choice in state["words"] else None

    def answer(prompt, step, slot):
        return "a" if slot < 3 else by_turn(prompt, step, slot)

    plain, _ = ahead(Distinct(2, 3), Says(answer), speculation=None)
    assert plain.error is None
    beside, _ = ahead(Distinct(2, 3), Slow(Says(answer)), speculation=STILL)
    assert isinstance(beside.error, TypeError)
    assert "step 1 was asked together with the step before" in str(beside.error)
    assert beside.state.committed == 1


def test_code_of_the_users_that_fails_stops_the_run_at_its_step():
    """The error is raised at the step's turn, and the journal keeps everything until then."""

    class Broken(Rows):
        def beside(self, state):
            if state["row"] == 1:
                raise ZeroDivisionError("mine")
            return super().beside(state)

    outcome, _ = ahead(Broken(3, 4), Slow(Says(by_turn)), speculation=STILL)
    assert isinstance(outcome.error, ZeroDivisionError)
    assert outcome.state.committed == 4


@pytest.mark.parametrize("problem", ["46048 * 42098", "1234567890 * 9876543210"])
def test_a_tree_takes_as_long_as_its_waves(problem):
    """With a model of one second a call the time is that of the levels and the one wave of small products."""
    chain = Solve(problem, "multiply")
    sampler = Slow(NoisySampler(chain.rehearse, 1.0, 1.0, 0.0), latency=1.0)
    outcome, time = ahead(chain, sampler, speculation=replace(STILL, in_flight=10_000))
    assert outcome.error is None
    first, _, second = problem.partition(" * ")
    assert chain.answer(outcome.at) == int(first) * int(second)
    levels = 1 + sum((len(factor) - 1).bit_length() for factor in (first, second))
    assert time == levels + 1
    assert outcome.state.committed > 4 * time
