"""Towers of Hanoi: strategy, states, verifier, questions and rehearsal."""

import random
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tables import each
from unerring.core.chain import Chain
from unerring.core.voting.canonical import canonical, parsed
from unerring.core.voting.redflag import RedFlag
from unerring.errors import InputError
from unerring.processes.hanoi import (
    MAX_DISKS,
    Hanoi,
    IllegalMove,
    Move,
    moved,
    strategy,
)

LAW = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def walked(hanoi):
    """The choices of a whole game by the strategy, each with the state before it."""
    state = hanoi.start()
    while hanoi.subtask(state) is not None:
        choice = hanoi.truth(state)
        yield state, choice
        state = hanoi.advance(state, choice)


def game(disks):
    return [choice for _, choice in walked(Hanoi(disks))]


# --- the strategy and the states


@each("disks", range(1, 11))
def test_the_strategy_solves_every_number_of_disks_as_state_at_says(disks):
    """At every step the game is at `state_at`, for odd and even disks, and it ends after 2^n - 1 steps on peg 2."""
    hanoi = Hanoi(disks)
    steps = list(walked(hanoi))
    assert len(steps) == hanoi.length() == 2**disks - 1
    assert [state for state, _ in steps] == [hanoi.state_at(step) for step in range(len(steps))]
    end = hanoi.state_at(hanoi.length())
    assert hanoi.advance(*steps[-1]) == end
    assert end["pegs"] == [[], [], list(range(disks, 0, -1))]
    assert hanoi.subtask(end) is None
    assert hanoi.verify((choice for _, choice in steps), True) is None


@settings(LAW, max_examples=60)
@given(st.integers(1, MAX_DISKS), st.floats(0, 1, exclude_max=True))
def test_state_at_agrees_with_walking_on_from_any_step(disks, where):
    """From a random state of any game, walking 20 steps gives the states of `state_at`."""
    hanoi = Hanoi(disks)
    first = int(where * hanoi.length())
    state = hanoi.state_at(first)
    for step in range(first + 1, min(first + 20, hanoi.length()) + 1):
        state = hanoi.advance(state, hanoi.truth(state))
        assert state == hanoi.state_at(step)


def test_the_million_step_game_has_its_known_length_and_ends():
    """20 disks take 1,048,575 steps, all from peg 0 to peg 2."""
    hanoi = Hanoi(20)
    assert hanoi.length() == 1_048_575
    assert hanoi.state_at(0) == hanoi.start()
    assert hanoi.state_at(1_048_575)["pegs"] == [[], [], list(range(20, 0, -1))]
    assert hanoi.state_at(2**19)["pegs"] == [[], list(range(19, 0, -1)), [20]]


@each("step", [-1, 8])
def test_a_step_outside_the_game_is_refused(step):
    """Steps are numbered from 0 to the length."""
    with pytest.raises(InputError, match="numbered 0 to 7"):
        Hanoi(3).state_at(step)


@each("disks", [0, -1, 21, True, 3.0, "3", None])
def test_an_impossible_number_of_disks_is_refused(disks):
    """Disks are a whole number from 1 to 20, and the message says so."""
    with pytest.raises(InputError, match="whole number from 1 to 20"):
        Hanoi(disks)


@each("parser", ["Strict", "", None, 3, []])
def test_an_unknown_parser_is_refused(parser):
    """The message names the two parsers."""
    with pytest.raises(InputError, match="strict, repairing"):
        Hanoi(3, parser)


def test_the_process_offers_what_a_chain_may():
    """It is a chain with length, parameters that make it again, and a verifier."""
    hanoi = Hanoi(4, "repairing")
    assert isinstance(hanoi, Chain)
    assert hanoi.length() == 15
    assert hanoi.parameters() == {"disks": 4, "parser": "repairing"}
    assert Hanoi(**hanoi.parameters()).start() == hanoi.start()
    assert hanoi.verify(iter(()), finished=False) is None


def test_states_and_choices_are_json_data():
    """Every state and choice is unchanged through canonical text."""
    for state, choice in walked(Hanoi(4)):
        assert parsed(canonical(state)) == state
        assert parsed(canonical(choice)) == choice


def test_advancing_leaves_the_state_before_as_it_was():
    """`truth`, `advance` and `moved` make new states and change none."""
    hanoi = Hanoi(3)
    state = hanoi.start()
    before = canonical(state)
    hanoi.advance(state, hanoi.truth(state))
    assert canonical(state) == before


# --- the referee


def changed(step, **fields):
    choices = game(3)
    choices[step] = choices[step] | fields
    return choices


@each(
    ("move", "why"),
    [
        ([2, 0, 1], "disk 2 is not on top of peg 0"),
        ([1, 1, 2], "disk 1 is not on top of peg 1"),
        ([1, 0, 0], "disk 1 would stay on peg 0"),
        ([1, 0, 3], "pegs 0, 1 and 2"),
        ([1, -3, 1], "pegs 0, 1 and 2"),
        ([1, 0], "not a move"),
        ([1, 0, 2, 2], "not a move"),
        ("no", "not a move"),
        (None, "."),
        (["1", 0, 2], "not on top"),
        ([1, [0], 2], "pegs 0, 1 and 2"),
    ],
)
def test_an_illegal_move_is_named_with_its_step(move, why):
    """Each way in which a move can break the rules is found at its step."""
    verdict = Hanoi(3).verify(changed(0, move=move), True)
    assert verdict is not None
    assert re.match(rf"step 0: .*{why}", verdict)


def test_a_larger_disk_on_a_smaller_one_is_illegal():
    """A larger disk may not be put on a smaller one."""
    choices = [
        {"move": [1, 0, 1], "next_state": [[3, 2], [1], []]},
        {"move": [2, 0, 1], "next_state": [[3], [1, 2], []]},
    ]
    assert Hanoi(3).verify(choices, False) == "step 1: disk 2 cannot lie on disk 1"


@each(
    "pegs",
    [
        [[3, 2], [1], []],
        [[2, 3], [], [1]],
        [[3, 2], [], []],
        [[3, 2], [], [1], []],
        [],
        None,
        "x",
        [["3", "2"], [], [1]],
    ],
)
def test_a_state_that_the_move_does_not_lead_to_is_caught(pegs):
    """A right move with a miscopied state is a wrong step."""
    verdict = Hanoi(3).verify(changed(0, next_state=pegs), True)
    assert verdict is not None
    assert verdict.startswith("step 0: the move leads to [[3, 2], [], [1]], not to")


@each("choice", [{"move": [1, 0, 2]}, {"next_state": [[3, 2], [], [1]]}, {}, [], None, 3, "move"])
def test_a_choice_without_move_or_state_is_caught(choice):
    """The verifier judges any choice, and answers in words."""
    verdict = Hanoi(3).verify([choice], False)
    assert verdict is not None
    assert verdict.startswith("step 0: ")


@each("steps", [0, 1, 6])
def test_a_game_that_stops_short_is_not_finished(steps):
    """A legal beginning is right as an unfinished game, not as a finished one."""
    hanoi, choices = Hanoi(3), game(3)[:steps]
    assert hanoi.verify(choices, False) is None
    assert "not with all 3 disks on peg 2" in str(hanoi.verify(choices, True))


def test_a_game_that_ends_on_another_peg_is_not_finished():
    """The right number of legal moves to the wrong peg is no solution."""
    other = {0: 0, 1: 2, 2: 1}
    mirrored = [
        {
            "move": [choice["move"][0], other[choice["move"][1]], other[choice["move"][2]]],
            "next_state": [choice["next_state"][other[peg]] for peg in range(3)],
        }
        for choice in game(3)
    ]
    assert Hanoi(3).verify(mirrored, False) is None
    assert "not with all 3 disks on peg 2" in str(Hanoi(3).verify(mirrored, True))


def test_any_legal_game_passes():
    """The verifier knows the rules and not the strategy: a detour is legal."""
    detour = [
        {"move": [1, 0, 1], "next_state": [[2], [1], []]},
        {"move": [1, 1, 2], "next_state": [[2], [], [1]]},
        {"move": [1, 2, 1], "next_state": [[2], [1], []]},
        {"move": [2, 0, 2], "next_state": [[], [1], [2]]},
        {"move": [1, 1, 2], "next_state": [[], [], [2, 1]]},
    ]
    assert Hanoi(2).verify(detour, True) is None


@LAW
@given(st.integers(2, 6), st.floats(0, 1, exclude_max=True), st.integers(0, 2**32))
def test_a_single_wrong_step_never_passes(disks, where, seed):
    """Another arrangement of the disks, or another move, in any one step is found at that step."""
    choices, draw = game(disks), random.Random(seed)
    step = int(where * len(choices))
    right = choices[step]
    pegs = [[], [], []]
    for disk in range(disks, 0, -1):
        pegs[draw.randrange(3)].append(disk)
    move = [draw.randint(1, disks), draw.randrange(3), draw.randrange(3)]
    for wrong in (right | {"next_state": pegs}, right | {"move": move}):
        if wrong != right:
            verdict = Hanoi(disks).verify([*choices[:step], wrong, *choices[step + 1 :]], True)
            assert verdict is not None
            assert verdict.startswith(f"step {step}: ")


# --- questions and rehearsals


@each(
    ("disks", "circle", "direction"),
    [(2, "0 -> 1 -> 2 -> 0", "clockwise"), (3, "0 -> 2 -> 1 -> 0", "counterclockwise")],
)
def test_the_prompts_name_the_circle_of_disk_1(disks, circle, direction):
    """Even disks turn 0 to 1 to 2, odd disks the other way round, in both prompts."""
    hanoi = Hanoi(disks)
    question = hanoi.subtask(hanoi.start())
    assert circle in question.prompt
    assert len(re.findall(r"\d -> \d -> \d -> \d", question.prompt)) == 1
    assert question.compact.split()[0] == direction


@each("disks", [1, 4, 20])
def test_a_question_holds_the_state_and_never_the_history(disks):
    """The prompt of a step is a function of previous move and state alone, and shows both unchanged."""
    hanoi = Hanoi(disks)
    for step in (0, hanoi.length() // 2, hanoi.length() - 1):
        state = hanoi.state_at(step)
        question = hanoi.subtask(state)
        last = "none" if step == 0 else str(state["last"])
        for prompt in (question.prompt, question.compact):
            assert str(state["pegs"]) in prompt
            assert last in prompt
        assert question.prompt == Hanoi(disks).subtask(hanoi.state_at(step)).prompt


def test_an_echo_of_the_question_is_no_answer():
    """A model that repeats the prompt is flagged by the strict parser."""
    hanoi = Hanoi(3)
    for step in range(7):
        question = hanoi.subtask(hanoi.state_at(step))
        for prompt in (question.prompt, question.compact):
            with pytest.raises(RedFlag):
                question.parse(prompt)


@each("disks", range(1, 7))
def test_a_rehearsal_knows_the_right_answer_and_some_wrong_ones(disks):
    """For every step the right answer is the truth, and the wrong ones are well-formed and different."""
    hanoi = Hanoi(disks)
    for state, truth in walked(hanoi):
        question = hanoi.subtask(state)
        rehearsal = hanoi.rehearse(question.compact)
        assert question.parse(rehearsal.right) == truth
        assert rehearsal.wrong
        assert all(canonical(question.parse(wrong)) != canonical(truth) for wrong in rehearsal.wrong)


def test_what_a_rehearsal_answers_can_be_rehearsed_on():
    """Every offered answer, also a wrong one, leads to a state with answers of its own."""
    for disks in (2, 3):
        hanoi = Hanoi(disks)
        states, seen = [hanoi.start()], set()
        while states:
            state = states.pop()
            question = hanoi.subtask(state)
            if question is None or canonical(state) in seen:
                continue
            seen.add(canonical(state))
            rehearsal = hanoi.rehearse(question.compact)
            for text in (rehearsal.right, *rehearsal.wrong):
                states.append(hanoi.advance(state, question.parse(text)))


@each("prompt", ["", "clockwise", "clockwise last = none state = none", "move = [1, 0, 2]"])
def test_only_a_compact_prompt_can_be_rehearsed(prompt):
    """Other text is an input error."""
    with pytest.raises(InputError, match="compact"):
        Hanoi().rehearse(prompt)


@each("pegs", [[[1, 2], [], []], [[2], [1, 3], []]])
def test_a_state_without_disk_1_on_top_has_no_strategy(pegs):
    """If the rules are broken already, the strategy raises an illegal move."""
    with pytest.raises(IllegalMove):
        strategy(None, pegs, 1)


def test_moving_makes_new_pegs():
    """`moved` leaves the given pegs unchanged."""
    pegs = [[2, 1], [], []]
    assert moved(pegs, Move(1, 0, 1)) == [[2], [1], []]
    assert pegs == [[2, 1], [], []]
