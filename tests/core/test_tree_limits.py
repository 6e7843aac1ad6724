"""What a tree of problems accepts from its roles, exactly at each limit: splits, numbers named by a judge, cycles."""

import json

import pytest

from tables import each
from unerring.core.chain import Subtask
from unerring.core.tree import SplitLimits, Tree
from unerring.core.voting.redflag import RedFlag
from unerring.processes.general import General


class Plain(General):
    """Roles whose parsers return what the model wrote, so that only the tree's own checks apply."""

    def split(self, problem):
        return Subtask("split", json.loads)

    def judge(self, problem, candidates):
        return Subtask("judge", json.loads)


def split(parts, problem="The whole", limits=None, how="join them"):
    """The tree's reading of a split of a problem into these parts."""
    tree = Tree(Plain(), problem, limits or SplitLimits())
    return tree.subtask(tree.start()).parse(json.dumps({"parts": parts, "how": how}))


def judged(value, candidates=3):
    """The tree's reading of the number that a judge names."""
    tree = Tree(Plain(), "The whole", shortlist=1)
    found = [{"split": {"parts": [f"{number} a", f"{number} b"], "how": "join"}} for number in range(candidates)]
    state = tree.advance(tree.start(), {"candidates": found})
    return tree.subtask(state).parse(json.dumps(value))


@each("place", [0, 1, 2])
def test_a_judge_names_a_candidate_by_its_number(place):
    """Every number of the list, the first and the last, is accepted."""
    assert judged(place) == {"pick": place}


@each("value", [True, False, "1", "0", 1.0, 0.0, -1, 3, None, [1], {"place": 1}, 10**30])
def test_a_number_outside_the_list_is_a_red_flag(value):
    """`true` is not 1, "1" is no number, and numbers before the first and after the last are flagged."""
    with pytest.raises(RedFlag, match="none of the candidates"):
        judged(value)


@each("most", [2, 3, 7])
def test_a_split_may_have_just_as_many_parts_as_are_allowed(most):
    """Parts exactly at the limit are a split, and one more is a red flag that names the limit."""
    parts = [f"part {number}" for number in range(most)]
    assert split(parts, limits=SplitLimits(parts=most)) == {"split": {"parts": parts, "how": "join them"}}
    with pytest.raises(RedFlag, match=rf"{most + 1} parts, where {most} are allowed"):
        split([*parts, "one more"], limits=SplitLimits(parts=most))


def test_a_split_may_have_just_as_many_parts_as_there_may_be_problems():
    """With 4 problems in all, 3 parts in addition to the whole are allowed and 4 are not."""
    three = ["a", "b", "c"]
    assert split(three, limits=SplitLimits(nodes=4))["split"]["parts"] == three
    with pytest.raises(RedFlag, match="4 parts, where 3 are allowed"):
        split([*three, "d"], limits=SplitLimits(nodes=4))


def test_a_problem_is_small_enough_or_has_two_parts():
    """No parts mean that it is small enough; a single part is a red flag."""
    assert split([]) == {"split": {"parts": []}}
    assert split(["a", "b"])["split"]["parts"] == ["a", "b"]
    with pytest.raises(RedFlag, match="into one part"):
        split(["a"])


@each("part", ["The whole", "THE WHOLE", "the  whole", " t h e whole\n", "thewhole"])
def test_a_part_that_is_the_problem_itself_is_a_red_flag(part):
    """The case of letters and spaces make no difference."""
    with pytest.raises(RedFlag, match="the problem itself"):
        split(["something else", part])


@each("spelled", ["straße 1", "STRASSE 1", "Strasse1"])
def test_a_part_that_its_problem_came_from_is_a_red_flag(spelled):
    """A cycle is found over several levels in any case of letters; an equal problem of another branch is none."""
    tree = Tree(Plain(), "Straße 1")
    state = tree.advance(tree.start(), {"split": {"parts": ["first", "second"], "how": "join"}})
    for parts, flagged in ((["x", spelled], True), (["x", "FIRST"], True), (["x", "second"], False)):
        answer = json.dumps({"parts": parts, "how": "join"})
        if flagged:
            with pytest.raises(RedFlag, match="one that it came from"):
                tree.subtask(state).parse(answer)
        else:
            assert tree.subtask(state).parse(answer)["split"]["parts"] == parts


@each("part", ["", "  \n", 7, None, True, ["a"]])
def test_a_part_that_is_empty_or_no_text_is_a_red_flag(part):
    """Every part is a text with words."""
    with pytest.raises(RedFlag, match="empty, or no text"):
        split(["a", part])


@each("depth", [1, 2, 3])
def test_problems_at_the_deepest_level_are_solved_as_they_are(depth):
    """A split is asked for on every level above the deepest, and never there."""
    tree, level = Tree(Plain(), "p", SplitLimits(depth=depth)), 0
    state = tree.start()
    while state["ask"] == "split":
        parts = [f"{level} {state['turn']} a", f"{level} {state['turn']} b"]
        before = state["problems"][state["wave"][0]]["depth"]
        assert before < depth
        state = tree.advance(state, {"split": {"parts": parts, "how": "join"}})
        level += 1
    assert state["ask"] == "solve"
    assert {state["problems"][at]["depth"] for at in state["wave"]} == {depth}


def test_nothing_is_split_where_no_level_is_allowed():
    """With a depth of 0 the whole problem is solved at once."""
    assert Tree(Plain(), "p", SplitLimits(depth=0)).start()["ask"] == "solve"
