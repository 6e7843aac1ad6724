"""The wordings of the Hanoi question: each is as complete as the first, and reveals no more."""

import json
import re

import pytest

import unerring
from tables import each
from unerring import Hanoi, InputError, Sample
from unerring.processes.hanoi import Move, full_prompt, moved, strategy

PEGS = re.compile(r"\[\[[\d, ]*\], \[[\d, ]*\], \[[\d, ]*\]\]")
LAST = re.compile(r"(?:Previous move: |Move made just before: |the move before was )(\[\d+, \d, \d\])")
NONE = re.compile(r"Previous move: none|Move made just before: there was none|no move was made yet")
AROUND = re.compile(r"along 0 -> ([12])|after 0 comes ([12])|from 0 to ([12])")


def states(disks):
    hanoi = Hanoi(disks, wordings=3)
    for step in range(hanoi.length()):
        state = hanoi.state_at(step)
        yield hanoi, state, hanoi.subtask(state).wordings(compact=False)


def carried_out(prompt):
    """The answer that follows from a wording alone."""
    pegs = json.loads(PEGS.search(prompt)[0])
    last = LAST.search(prompt)
    assert (last is None) is (NONE.search(prompt) is not None)
    around = next(filter(None, AROUND.search(prompt).groups()))
    move = strategy(None if last is None else json.loads(last[1]), pegs, 1 if around == "1" else -1)
    return {"move": [*move], "next_state": moved(pegs, move)}


@each("disks", [1, 2, 3, 4, 5])
def test_every_wording_says_all_that_is_needed(disks):
    """Position, previous move and direction can be read from each wording, and lead to the right answer."""
    for hanoi, state, wordings in states(disks):
        assert len(set(wordings)) == 3
        assert [carried_out(prompt) for prompt in wordings] == [hanoi.truth(state)] * 3


def test_no_wording_contains_the_answer():
    """Neither the move nor the position after it is in a wording; the position before it is there once."""
    for hanoi, state, wordings in states(4):
        choice = hanoi.truth(state)
        for prompt in wordings:
            assert str(choice["move"]) not in prompt
            assert str(choice["next_state"]) not in prompt
            assert len(PEGS.findall(prompt)) == 1


def test_every_wording_asks_for_the_same_answer():
    """All end with the two lines that the parser reads."""
    for _, _, wordings in states(3):
        assert {tuple(prompt.splitlines()[-2:]) for prompt in wordings} == {
            ("move = [disk, from peg, to peg]", "next_state = [[peg 0], [peg 1], [peg 2]]")
        }


def test_the_first_wording_is_what_it_always_was():
    """The first wording is the paper's whole prompt; with one wording, the default, there is no other."""
    for hanoi, state, wordings in states(3):
        assert wordings[0] == full_prompt(state["last"], state["pegs"], hanoi.turn)
        assert Hanoi(3).subtask(state).wordings(compact=False) == wordings[:1]
        assert Hanoi(3, wordings=2).subtask(state).wordings(compact=False) == wordings[:2]


def test_models_that_know_compact_prompts_are_asked_in_one_wording():
    """Models trained on the compact prompt are asked in it, whatever the number of wordings."""
    state = Hanoi(3).start()
    compact = Hanoi(3, wordings=3).subtask(state).wordings(compact=True)
    assert compact == (Hanoi(3).subtask(state).compact,)
    result = unerring.run(Hanoi(4, wordings=3), "noise/p=0.95", k=3)
    assert [voter["name"] for voter in result.report["voters"]] == ["noise/p=0.95,v=1.0,c=0.0"]


def test_one_wording_goes_without_saying_in_the_parameters():
    """Journals and calibrations of one wording are unchanged; with several, their number makes the chain again."""
    assert Hanoi(3).parameters() == {"disks": 3, "parser": "strict"}
    several = Hanoi(3, wordings=2)
    assert several.parameters() == {"disks": 3, "parser": "strict", "wordings": 2}
    assert Hanoi(**several.parameters()).wordings == 2


@each("wordings", [0, 4, -1, True, 1.5, "2", None])
def test_an_impossible_number_of_wordings_is_refused(wordings):
    """There are three."""
    with pytest.raises(InputError, match="wordings must be a whole number from 1 to 3"):
        Hanoi(3, wordings=wordings)


def test_a_model_that_one_wording_misleads_is_outvoted_by_its_other_wordings(tmp_path):
    """A model that always errs in the first wording is right when asked in three."""

    def misled(prompt, settings):
        right = carried_out(prompt)
        if prompt.startswith("You carry out"):
            pegs = json.loads(PEGS.search(prompt)[0])
            small = next(peg for peg in range(3) if pegs[peg][-1:] == [1])
            move = next(
                move
                for target in range(3)
                if target != small and (move := Move(1, small, target)) != Move(*right["move"])
            )
            right = {"move": [*move], "next_state": moved(pegs, move)}
        return Sample(f"move = {right['move']}\nnext_state = {right['next_state']}", voter="misled")

    path = tmp_path / "run.db"
    result = unerring.run(Hanoi(4, wordings=3), misled, path, k=3)
    assert unerring.verify(path).problem is None
    dissent = {voter["name"]: voter["dissent"] for voter in result.report["voters"]}
    assert dissent == {"misled": 1.0, "misled wording 2": 0.0, "misled wording 3": 0.0}
