"""The Hanoi parsers, strict and repairing, on right answers, damaged ones, and text made to break them."""

import time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tables import each
from unerring.core.voting.canonical import canonical, parsed
from unerring.core.voting.redflag import FlagKind, RedFlag
from unerring.processes.hanoi import MOVE_PARSERS, Hanoi, Move, answer, parse_repairing, parse_strict

LAW = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])

RIGHT = "move = [1, 0, 2]\nnext_state = [[3, 2], [], [1]]"
CHOICE = {"move": [1, 0, 2], "next_state": [[3, 2], [], [1]]}


# --- the strict parser


@each(
    "text",
    [
        RIGHT,
        "move=[1,0,2]next_state=[[3,2],[],[1]]",
        "move  =  [ 1 , 0 , 2 ]\n\nnext_state\t=\n[ [ 3 ,\n 2 ] , [ ] , [ 1 ] ]",
        f"Let me think. Disk 1 moves on.\n{RIGHT}\nThat is all.",
        "```\n" + RIGHT + "\n```",
        "next_state = [[3, 2], [], [1]]\nmove = [1, 0, 2]",
        "MOVE = [1, 0, 2]\nNext_State = [[3, 2], [], [1]]",
        "move = [1, 0, 2,]\nnext_state = [[3, 2,], [], [1]]",
        "move = [+1, 0, 2]\nnext_state = [[3, 2], [], [1]] or so",
    ],
)
def test_the_format_asked_for_is_parsed(text):
    """Spaces, line ends, case, words around the two assignments, and a comma before a bracket make no difference."""
    assert parse_strict(text, 3) == CHOICE


@each("parse", [parse_strict, parse_repairing])
def test_the_last_move_and_the_last_state_count(parse):
    """Of several moves and states in an answer the last ones count."""
    first = "move = [2, 0, 1]\nnext_state = [[3], [2], [1]]"
    assert parse(f"{first}\nNo, wait:\n{RIGHT}", 3) == CHOICE


@each(
    "last",
    [
        "move = [1, 0, two]",
        "move = [1, 0, 2.5]",
        "move = []",
        "move = [1, 0]",
        "move = [disk, from peg, to peg]",
    ],
)
def test_a_malformed_last_move_is_flagged_though_an_earlier_one_is_well_formed(last):
    """If the last `move = [...]` is not three integers, an earlier one does not replace it."""
    with pytest.raises(RedFlag):
        parse_strict(f"{RIGHT}\n{last}", 3)


@each(
    "last",
    [
        "next_state = [[3, 2], [], [one]]",
        "next_state = [[3, 2], [], [-1]]",
        "next_state = [[3, 2], [], [1.0]]",
        "next_state = [[3, 2], [], [1000]]",
        "next_state = [[peg 0], [peg 1], [peg 2]]",
    ],
)
def test_a_malformed_last_state_is_flagged_though_an_earlier_one_is_well_formed(last):
    """If the last `next_state = [...]` is malformed, an earlier one does not replace it."""
    with pytest.raises(RedFlag):
        parse_strict(f"{RIGHT}\n{last}", 3)


@each(
    "aside",
    ["move = done", "move = 1, 0, 2", "move = [1, [0], 2]", "next_state = [[3, 2], [1]]", "next_state = [[3, 2"],
)
def test_what_does_not_match_the_pattern_after_the_answer_is_only_text(aside):
    """As in the paper, the last *match* counts: a label without its lists is only text."""
    assert parse_strict(f"{RIGHT}\n{aside}", 3) == CHOICE


@each("aside", ["previous_move = [3, 2, 1]", "remove = [9, 9, 9]", "my_next_state = [[1], [2], [3]]"])
def test_a_longer_name_that_ends_alike_is_not_the_answer(aside):
    """`previous_move = [...]` after the answer is not its move."""
    assert parse_strict(f"{RIGHT}\n{aside}", 3) == CHOICE


MALFORMED = {
    "no text": "",
    "no move": "next_state = [[3, 2], [], [1]]",
    "no state": "move = [1, 0, 2]",
    "move without brackets": "move = 1, 0, 2\nnext_state = [[3, 2], [], [1]]",
    "a move of 2": "move = [1, 0]\nnext_state = [[3, 2], [], [1]]",
    "a move of 4": "move = [1, 0, 2, 2]\nnext_state = [[3, 2], [], [1]]",
    "an empty move": "move = []\nnext_state = [[3, 2], [], [1]]",
    "a nested move": "move = [[1, 0, 2]]\nnext_state = [[3, 2], [], [1]]",
    "a move in words": "move = [one, 0, 2]\nnext_state = [[3, 2], [], [1]]",
    "a decimal move": "move = [1.0, 0, 2]\nnext_state = [[3, 2], [], [1]]",
    "two trailing commas": "move = [1, 0, 2,,]\nnext_state = [[3, 2], [], [1]]",
    "a comma alone": "move = [1, 0, 2]\nnext_state = [[3, 2, 1], [,], []]",
    "leading zeros": "move = [01, 0, 2]\nnext_state = [[3, 2], [], [1]]",
    "2 pegs": "move = [1, 0, 2]\nnext_state = [[3, 2], [1]]",
    "4 pegs": "move = [1, 0, 2]\nnext_state = [[3, 2], [], [1], []]",
    "1 peg": "move = [1, 0, 2]\nnext_state = [[3, 2, 1]]",
    "no peg": "move = [1, 0, 2]\nnext_state = []",
    "a flat state": "move = [1, 0, 2]\nnext_state = [3, 2, 1]",
    "a missing disk": "move = [1, 0, 2]\nnext_state = [[3, 2], [], []]",
    "a disk twice": "move = [1, 0, 2]\nnext_state = [[3, 2], [1], [1]]",
    "a disk in place of another": "move = [1, 0, 2]\nnext_state = [[3, 3], [], [1]]",
    "a disk too large": "move = [1, 0, 2]\nnext_state = [[4, 2], [], [1]]",
    "a disk too many": "move = [1, 0, 2]\nnext_state = [[4, 3, 2], [], [1]]",
    "a disk 0": "move = [1, 0, 2]\nnext_state = [[3, 2], [0], [1]]",
    "a missing outer bracket": "move = [1, 0, 2]\nnext_state = [[3, 2], [], [1]",
    "a missing inner bracket": "move = [1, 0, 2]\nnext_state = [[3, 2, [], [1]]",
    "cut off": "move = [1, 0, 2]\nnext_state = [[3, 2], [",
    "no commas": "move = [1, 0, 2]\nnext_state = [[3 2] [] [1]]",
    "Arabic-Indic digits": "move = [١, ٠, ٢]\nnext_state = [[٣, ٢], [], [١]]",
    "full-width digits": "move = [１, ０, ２]\nnext_state = [[３, ２], [], [１]]",
    "digits of two scripts": "move = [1٣, 0, 2]\nnext_state = [[3, 2], [], [1]]",
    "superscripts": "move = [¹, 0, ²]\nnext_state = [[3, 2], [], [1]]",
    "the format itself": "move = [disk, from peg, to peg]\nnext_state = [[peg 0], [peg 1], [peg 2]]",
}


@each("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_answer_is_flagged(text):
    """Anything but three integers, three lists, and every disk exactly once is a malformed answer."""
    with pytest.raises(RedFlag) as caught:
        parse_strict(text, 3)
    assert caught.value.kind is FlagKind.MALFORMED
    assert caught.value.reason


def test_the_strict_parser_judges_form_and_not_sense():
    """A well-formed wrong answer votes."""
    wrong = parse_strict("move = [3, 2, 2]\nnext_state = [[1, 2], [], [3]]", 3)
    assert wrong == {"move": [3, 2, 2], "next_state": [[1, 2], [], [3]]}
    for move in ([1, 0, -2], [1000, 0, 2]):
        assert parse_strict(f"move = {move}\nnext_state = [[3, 2], [], [1]]", 3)["move"] == move


@each("disks", [1, 2, 9, 10, 20])
@each("parser", MOVE_PARSERS)
def test_right_answers_are_parsed_for_any_number_of_disks(disks, parser):
    """The truth of a state, written in the format asked for, is parsed back as that choice."""
    hanoi = Hanoi(disks, parser)
    for step in range(0, hanoi.length(), max(1, hanoi.length() // 9)):
        state = hanoi.state_at(step)
        truth = hanoi.truth(state)
        assert hanoi.subtask(state).parse(answer(Move(*truth["move"]), truth["next_state"])) == truth


# --- the repairing parser


@each(
    "text",
    [
        "move = [1, 0, 2]\nnext_state = [[3, 2], [], [1]",
        "move = [1, 0, 2]\nnext_state = [[3, 2], [], [1] \n",
        "move = [1, 0, 2]\nnext_state = [ [3, 2], [], [1],]",
    ],
)
def test_the_repairing_parser_accepts_what_the_strict_one_flags(text):
    """A state without its last bracket is repaired, as in the paper; the strict parser flags it."""
    assert parse_repairing(text, 3) == CHOICE
    with pytest.raises(RedFlag):
        parse_strict(text, 3)


@each("state", [[[3, 2], [], []], [[3, 2], [1], [1]], [[3, 2], [], [7]], [[], [], []]])
def test_the_repairing_parser_checks_no_disks(state):
    """A lost, doubled or invented disk is a red flag for the strict parser only."""
    text = f"move = [1, 0, 2]\nnext_state = {state}"
    assert parse_repairing(text, 3) == {"move": [1, 0, 2], "next_state": state}
    with pytest.raises(RedFlag, match="each of 3 disks once"):
        parse_strict(text, 3)


READ_BY_NEITHER = {
    "a move without its bracket": "move = [1, 0, 2\nnext_state = [[3, 2], [], [1]]",
    "a move without any": "move = 1, 0, 2\nnext_state = [[3, 2], [], [1]]",
    "a move in a sentence": "The move is [1, 0, 2]\nnext_state = [[3, 2], [], [1]]",
    "two brackets missing": "move = [1, 0, 2]\nnext_state = [[3, 2], [], [1",
    "no first bracket": "move = [1, 0, 2]\nnext_state = [3, 2], [], [1]",
    "words after a missing bracket": "move = [1, 0, 2]\nnext_state = [[3, 2], [], [1] so",
} | {name: MALFORMED[name] for name in ("no text", "no move", "no state", "a move of 2", "a flat state", "2 pegs")}


@each("text", READ_BY_NEITHER.values(), ids=READ_BY_NEITHER.keys())
def test_the_repairing_parser_flags_what_it_cannot_repair(text):
    """It repairs only the brackets of a state; without a move or three lists the answer is flagged."""
    for parse in (parse_repairing, parse_strict):
        with pytest.raises(RedFlag):
            parse(text, 3)


@LAW
@given(st.integers(1, 12), st.floats(0, 1, exclude_max=True))
def test_where_the_strict_parser_accepts_an_answer_the_repairing_one_agrees(disks, where):
    """On well-formed answers both parsers give the same choice."""
    hanoi = Hanoi(disks)
    truth = hanoi.truth(hanoi.state_at(int(where * hanoi.length())))
    text = answer(Move(*truth["move"]), truth["next_state"])
    assert parse_strict(text, disks) == parse_repairing(text, disks) == truth


# --- parsers against any text


def well_formed(choice, disks):
    numbers = [*choice["move"], *(disk for peg in choice["next_state"] for disk in peg)]
    return (
        choice.keys() == {"move", "next_state"}
        and len(choice["move"]) == 3
        and len(choice["next_state"]) == 3
        and (disks == 0 or sorted(numbers[3:]) == list(range(1, disks + 1)))
        and all(type(number) is int for number in numbers)
    )


def assert_survives(text, disks=3):
    for name, parse in MOVE_PARSERS.items():
        try:
            choice = parse(text, disks)
        except RedFlag:
            continue
        assert well_formed(choice, disks if name == "strict" else 0)
        assert parsed(canonical(choice)) == choice


pieces = st.sampled_from(
    [
        *("move", "next_state", " = ", "=", "[", "]", "[[", "]]", "], [", ",", " ", "\n", "1", "2", "3", "0"),
        *("[1, 0, 2]", "[[3, 2], [], [1]]", "move = [", "next_state = [["),
        *("٣", "²", "-", ".", "9" * 30, "\0", "\ud800", "`"),
    ]
)


@settings(LAW, max_examples=250)
@given(st.lists(pieces, max_size=25).map("".join) | st.text(max_size=60))
@example("move = [1, 0, 2] next_state = [[³], [2], [1]]")
def test_parsers_raise_nothing_but_red_flags(text):
    """On any text a parser gives a well-formed choice or a red flag."""
    assert_survives(text)


@settings(LAW, max_examples=250)
@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from(["cut", "put", "swap", "double"]), pieces), max_size=4))
def test_parsers_survive_damaged_answers(damages):
    """A right answer with pieces cut, inserted, exchanged or doubled is parsed or flagged without a crash."""
    text = RIGHT
    for where, how, piece in damages:
        head, tail = text[:where], text[where:]
        text = {"cut": head + tail[1:], "put": head + piece + tail, "swap": tail + head, "double": text + text}[how]
    assert_survives(text)


@each("digits", [19, 4301, 100_000])
@each(
    "form",
    ["move = [{n}, 0, 2]\nnext_state = [[3, 2], [], [1]]", "move = [1, 0, 2]\nnext_state = [[{n}, 2], [], [1]]"],
    ids=["move", "state"],
)
def test_huge_integers_are_flagged(form, digits):
    """A number of more than 18 digits is a red flag."""
    text = form.format(n="9" * digits)
    with pytest.raises(RedFlag):
        parse_strict(text, 3)
    assert_survives(text)


N = 50_000
LONG = {
    "opening brackets": "[" * N,
    "an endless move": "move = [" + "1," * N,
    "an endless move with spaces": "move = [" + "1 , " * N,
    "a move of spaces": "move = [" + " " * N + "x",
    "spaces after move": "move" + " " * N + "x",
    "many moves": "move = " * N,
    "many open moves": "move = [1, " * N,
    "many whole moves": "move = [1, 0, 2]\n" * (N // 10),
    "closing brackets": "next_state = [[" + "]" * N,
    "empty pegs": "next_state = [" + "[]," * N,
    "full pegs": "next_state = [" + "[1, 2] , " * N,
    "an endless peg": "next_state = [[" + "1, " * N,
    "nested pegs": "next_state = " + "[" * N + "]" * N,
    "many states": "next_state = [" * N,
    "many open states": "next_state = [[1], " * N,
    "state of spaces": "next_state = [[1]" + " " * (N * 4 // 5) + "x",
    "spaces between pegs": "next_state = [" + ("[1]" + " " * 100 + "," + " " * 100) * (N // 200) + "x",
    "digits": "next_state = [[" + "1" * N + "x",
    "line ends": "next_state = [[3, 2], []," + "\n" * N + "x",
    "commas": "next_state = [[1]" + "," * N + "x",
    "commas and spaces": "next_state = [[1]" + ", " * N + "x",
    "brackets and spaces": "next_state = [[1]" + "] " * N + "x",
}


@each("parser", MOVE_PARSERS)
@each("text", LONG.values(), ids=LONG.keys())
def test_long_adversarial_text_takes_no_time(parser, text):
    """Text made for regular-expression backtracking is parsed or flagged within a second of this process."""
    started = time.process_time()
    with pytest.raises(RedFlag):
        MOVE_PARSERS[parser](f"move = [1, 0, 2]\n{text}", 3)
    assert time.process_time() - started < 1.0
