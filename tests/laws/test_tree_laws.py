"""Laws of trees: questions of a wave do not depend on each other's answers, and limits hold."""

import json
from itertools import pairwise
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unerring.core.tree import ComposedAnswer, SplitLimits, Tree, tree_so_far
from unerring.core.voting.canonical import canonical, parsed
from unerring.core.voting.redflag import RedFlag
from unerring.processes.general import General

LAW = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Folding(General):
    """General roles whose answers are composed by a function if the plan is to add."""

    def compose(self, problem, how, parts, answers):
        return ComposedAnswer(sum(answers)) if how == "add" else super().compose(problem, how, parts, answers)


def tree_of(chance):
    """A tree within limits of all sizes."""
    roles = chance.choice((General(), General(linear=True), Folding()))
    limits = SplitLimits(chance.choice((0, 1, 2, 4)), chance.choice((2, 3, 7)), chance.choice((1, 5, 20, 200)))
    return Tree(roles, "p", limits, shortlist=5)


def answered(chance, tree, state):
    """A choice that the question at a state can have, by its own parser; at times a list of candidates."""

    def one():
        ask, name = tree.place(state)["ask"], f"{chance.random()}"
        if ask != "split":
            return {"answer": chance.randrange(5)}
        parts = [f"{name} {part}" for part in range(chance.choice((0, 0, 2, 3, 8)))]
        return {"parts": parts, "how": chance.choice(("add", "weave"))} if parts else {"parts": []}

    if "candidates" in tree.place(state):
        return tree.subtask(state).parse(json.dumps({"choice": chance.randint(1, 2)}))
    found = []
    while len(found) < 2:
        try:
            found.append(tree.subtask(state).parse(json.dumps(one())))
        except RedFlag:
            continue
    return {"candidates": found} if chance.random() < 0.2 else found[0]


def walked(seed):
    """A tree with every state of a walk, and the choices between them."""
    chance = Random(seed)
    tree = tree_of(chance)
    states, choices = [tree.start()], []
    while tree.subtask(states[-1]) is not None:
        choices.append(parsed(canonical(answered(chance, tree, states[-1]))))
        states.append(parsed(canonical(tree.advance(states[-1], choices[-1]))))
    return tree, states, choices


walks = st.builds(walked, st.integers(0, 2**32))


@LAW
@given(walks, st.integers(0, 2**32))
def test_the_next_question_of_a_wave_does_not_depend_on_this_answer(walk, seed):
    """`beside` has the place of the state after any choice; if it returns None, the wave is at its end."""
    tree, states, _ = walk
    for state, after in pairwise(states):
        beside = tree.beside(state)
        if beside is None:
            assert state["turn"] == len(state["wave"]) - 1
            continue
        other = tree.advance(state, answered(Random(seed), tree, state))
        assert tree.place(beside) == tree.place(after) == tree.place(other)
        assert tree.subtask(beside).prompt == tree.subtask(after).prompt


@LAW
@given(walks)
def test_a_walk_ends_within_its_limits(walk):
    """Every problem is answered once, and depth, parts and number of problems are within their limits."""
    tree, states, choices = walk
    problems = states[-1]["problems"]
    assert tree.beside(states[-1]) is None
    assert len(problems) <= tree.limits.nodes or len(problems) == 1
    assert all("answer" in one and "candidates" not in one for one in problems)
    assert max(one["depth"] for one in problems) <= (1 if tree.roles.linear else tree.limits.depth)
    assert all(2 <= len(one["parts"]) <= tree.limits.parts for one in problems if "parts" in one)
    root = tree_so_far(tree, choices)
    assert (root.answer, root.done) == (tree.answer(states[-1]), True)


@LAW
@given(walks)
def test_every_step_asks_about_one_problem(walk):
    """Each step belongs to one node of the tree as it is shown, and a node's parts are its own."""
    tree, states, choices = walk

    def every(node):
        return [node, *(one for part in node.parts for one in every(part))]

    nodes = every(tree_so_far(tree, choices))
    assert sorted(step for node in nodes for step in node.steps) == list(range(len(choices)))
    assert len(nodes) == len(states[-1]["problems"])


@LAW
@given(walks)
def test_candidates_are_judged_at_the_end_of_their_wave(walk):
    """A list of candidates is followed by the rest of the wave, and only then by the judge."""
    tree, states, choices = walk
    for state, choice in zip(states, choices, strict=False):
        if "candidates" in choice and tree.beside(state) is not None:
            assert "candidates" not in tree.place(tree.beside(state))
