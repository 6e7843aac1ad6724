"""Solving by parts: problems are split, solved and composed by voted roles, as a chain."""

import json
from itertools import pairwise

import pytest

from tables import each
from unerring import Options, Policy, resume, run
from unerring.api.journals.history import History, report, steps
from unerring.core.checked_chain import CheckedChain
from unerring.core.journal.entries import Shortlisted
from unerring.core.tree import tree_so_far
from unerring.core.voting.race import AheadBy
from unerring.core.voting.redflag import RedFlag
from unerring.errors import InputError, StepLimit, StepUndecided
from unerring.processes.general import General
from unerring.processes.solve import Solve, roles_for, sort_chain

CAREFUL = Policy(AheadBy(3), vote_cap=30, flag_cap=3)


def role_of(prompt):
    """The role of the general version that a prompt asks."""
    marks = {
        "split": "You plan how a problem is solved",
        "solve": "Solve the problem.",
        "compose": "A problem was split into parts",
        "judge": "Others have proposed",
    }
    (role,) = [role for role, mark in marks.items() if prompt.startswith(mark)]
    return role


def problem_in(prompt):
    return prompt.partition("The problem:\n")[2].partition("\n\n")[0]


def talks(**by_role):
    """A chat model that answers each role by a function of problem, prompt and settings."""

    def model(prompt, drawn):
        answer = by_role[role_of(prompt)](problem_in(prompt), prompt, drawn)
        return answer if isinstance(answer, str) else "Let me see.\n\n" + json.dumps(answer)

    return model


def adds(problem, prompt, drawn):
    """Solves sums of two numbers, as text."""
    return {"answer": str(sum(map(int, problem.split(" + "))))}


def halves(problem, prompt, drawn):
    """Splits a sum of more than two numbers in the middle."""
    terms = problem.split(" + ")
    if len(terms) <= 2:
        return {"parts": []}
    middle = len(terms) // 2
    return {"parts": [" + ".join(terms[:middle]), " + ".join(terms[middle:])], "how": "add the two answers"}


def sums_up(problem, prompt, drawn):
    answers = [int(line.partition("answer: ")[2]) for line in prompt.splitlines() if line.startswith("  answer: ")]
    return {"answer": sum(answers)}


SUM = " + ".join(map(str, range(1, 14)))


# --- problems in words


def test_a_problem_is_split_solved_and_put_together():
    """Three roles of a chat model add thirteen numbers, two by two."""
    chain = Solve(SUM)
    result = run(chain, talks(split=halves, solve=adds, compose=sums_up), k=3)
    assert result.answer == 91
    assert CheckedChain(chain).verify is None  # whether it is right cannot be checked offline


def test_the_tree_so_far_can_be_read(tmp_path):
    """`tree_so_far` gives the problems with their parts, answers and steps, each step once."""
    chain, path = Solve(SUM), tmp_path / "run.db"
    run(chain, talks(split=halves, solve=adds, compose=sums_up), path, k=2)
    choices = [decided.choice for decided in steps(path)]
    root = tree_so_far(chain, choices)
    assert (root.problem, root.answer, root.done) == (SUM, 91, True)
    assert [part.answer for part in root.parts] == [21, 70]

    def numbers(node):
        return [*node.steps, *(step for part in node.parts for step in numbers(part))]

    def every(node):
        return [node, *(one for part in node.parts for one in every(part))]

    assert sorted(numbers(root)) == list(range(len(choices)))
    assert all(node.answer == sum(map(int, node.problem.split(" + "))) for node in every(root))
    half = tree_so_far(chain, choices[: len(choices) // 2])
    assert not half.done
    assert half.parts


def test_a_linear_problem_is_done_step_by_step():
    """Each step sees its own words and the answer before it, and nothing else of the problem."""
    seen = []

    def solves(problem, prompt, drawn):
        before = prompt.partition("starts from:\n")[2]
        seen.append((problem, before))
        return {"answer": int(before or 0) + int(problem.removeprefix("add "))}

    plan = {"parts": ["add 5", "add 7", "add 30"], "how": "one after the other"}
    result = run(Solve("5 + 7 + 30", "linear"), talks(split=lambda *_: plan, solve=solves), k=2)
    assert result.answer == 42
    assert set(seen) == {("add 5", ""), ("add 7", "5"), ("add 30", "12")}


def cuts(problem, prompt, drawn):
    """Splits in as many ways as there are samples."""
    terms = problem.split(" + ")
    at = 1 + drawn.slot % (len(terms) - 1)
    return {"parts": [" + ".join(terms[:at]), " + ".join(terms[at:])], "how": "add the two answers"}


def judges(problem, prompt, drawn):
    """Takes the candidate whose parts are most alike in length."""
    listed = [line.partition(". ")[2] for line in prompt.splitlines() if line[:1].isdigit() and ". {" in line]
    length = [abs(len(json.loads(one)["parts"][0]) - len(json.loads(one)["parts"][1])) for one in listed]
    return {"choice": 1 + length.index(min(length))}


JUDGED = talks(split=cuts, solve=adds, compose=sums_up, judge=judges)


def test_where_splits_differ_they_are_judged(tmp_path):
    """If no split wins the vote there is a shortlist, from which judges choose, and the answer is right."""
    chain = Solve(SUM, depth=1, shortlist=5)
    result = run(chain, JUDGED, tmp_path / "run.db", k=3)
    assert result.answer == 91
    first, second = [decided.choice for decided in steps(tmp_path / "run.db")][:2]
    assert len(first["candidates"]) >= 2
    assert 0 <= second["pick"] < len(first["candidates"])
    assert report(tmp_path / "run.db")["shortlisted"] == 1


@each("verdict", ["none of them", '{"choice": 0}', '{"choice": 99}', '{"choice": "the first"}', "{}"])
def test_an_unreadable_judge_elects_no_candidate(verdict):
    """Its answers are flags, and the run stops undecided: the first candidate is not taken."""
    chain = Solve(SUM, depth=1, shortlist=5)
    with pytest.raises(StepUndecided, match="step 1 is undecided after 0 votes"):
        run(chain, talks(split=cuts, judge=lambda *_: verdict), options=Options(policy=CAREFUL))


@each(
    "split",
    [
        lambda problem: {"parts": [problem, "1 + 1"], "how": "add"},
        lambda problem: {"parts": [problem.replace(" ", "")] * 2, "how": "add"},
        lambda problem: {"parts": ["", ""], "how": "add"},
        lambda problem: {"parts": ["1 + 1"], "how": "it is the same"},
        lambda problem: {"parts": [f"{i} + 1" for i in range(1000)], "how": "add"},
        lambda problem: {"parts": "1 + 1, 2 + 2", "how": "add"},
        lambda problem: {"parts": [["1 + 1"], {"a": 1}], "how": "add"},
        lambda problem: {"parts": ["1 + 1", "2 + 2"]},
        lambda problem: '{"parts": ["1 + 1", "2 + 2"], "how": "add"',
        lambda problem: "1 + 1, 2 + 2",
    ],
    ids=[
        "itself",
        "itself, squeezed",
        "empty",
        "one part",
        "a thousand",
        "text",
        "no texts",
        "no plan",
        "cut",
        "words",
    ],
)
def test_a_bad_split_is_flagged_and_the_run_stops(tmp_path, split):
    """If every split is bad, the run ends undecided after a few calls; a better model can continue it."""
    path = tmp_path / "run.db"
    bad = talks(split=lambda problem, *_: split(problem))
    with pytest.raises(StepUndecided, match="step 0 is undecided after 0 votes"):
        run(Solve(SUM), bad, path, options=Options(policy=CAREFUL))
    assert report(path)["samples"]["received"] <= 12
    good = talks(split=halves, solve=adds, compose=sums_up)
    assert resume(path, model=good, options=Options(flag_cap=20)).answer == 91


def test_a_problem_that_is_split_for_ever_ends_at_its_limits():
    """If each problem is split into two new ones, those at the deepest level are solved as they are."""
    asked = []

    def always(problem, prompt, drawn):
        asked.append(problem)
        return {"parts": [f"{problem}a", f"{problem}b"], "how": "add"}

    ones = talks(split=always, solve=lambda *_: {"answer": 1}, compose=sums_up)
    assert run(Solve("x", depth=3), ones, k=1).answer == 8
    assert len(asked) == 7
    with pytest.raises(StepUndecided):
        run(Solve("x", depth=3, nodes=6), ones, options=Options(policy=CAREFUL))


def test_a_tree_stopped_after_every_step_ends_as_one_that_was_not(tmp_path):
    """Resumed after each step it has the same choices, and asks nothing twice."""
    model = talks(split=halves, solve=adds, compose=sums_up)
    whole = run(Solve(SUM), model, tmp_path / "whole.db", k=3)
    path, result = tmp_path / "parts.db", None
    with pytest.raises(StepLimit):
        run(Solve(SUM), model, path, 3, options=Options(max_steps=1, speculate="off"))
    while result is None:
        try:
            result = resume(path, model=model, options=Options(max_steps=1, speculate="off"))
        except StepLimit:
            continue
    assert (result.answer, result.steps) == (whole.answer, whole.steps)
    assert report(path)["samples"]["received"] == 3 * whole.steps


def test_every_call_sees_its_own_problem_and_not_the_whole():
    """Prompts below the first level have the part, and not the problem that it came from."""
    prompts = []

    def noting(role):
        def answer(problem, prompt, drawn):
            prompts.append(prompt)
            return role(problem, prompt, drawn)

        return answer

    run(Solve(SUM), talks(split=noting(halves), solve=noting(adds), compose=noting(sums_up)), k=1)
    assert sum(SUM in prompt for prompt in prompts) == 2  # how to split the whole, and how to put it together


# --- parameters, entries, prompts


@each(
    ("given", "message"),
    [({"problem": " "}, "problem"), ({"problem": "7 plus 8", "roles": "multiply"}, "a product is written"),
     ({"problem": "x", "roles": "magic"}, "roles must be one of general, linear, multiply"),
     ({"problem": "x", "depth": -1}, "depth"), ({"problem": "x", "parts": 1}, "parts"),
     ({"problem": "x", "shortlist": 1}, "shortlist"), ({"problem": 7}, "problem"),
     ({"problem": "x", "parse": "text"}, "parse must be one of json, lenient-json")],
)  # fmt: skip
def test_bad_parameters_are_refused(given, message):
    """Each gives one clear line."""
    with pytest.raises(InputError, match=message):
        Solve(**given)


def test_the_shortlist_is_an_entry_of_its_own(tmp_path):
    """It is in the journal right before the step is committed."""
    chain, path = Solve(SUM, depth=1, shortlist=5), tmp_path / "run.db"
    run(chain, JUDGED, path, k=3)
    entries = list(History(path)._reader.entries())
    (place,) = [number for number, entry in enumerate(entries) if isinstance(entry, Shortlisted)]
    assert type(entries[place + 1]).__name__ == "Committed"
    assert all(type(one) is not type(two) or not isinstance(one, Shortlisted) for one, two in pairwise(entries))


def test_how_strictly_replies_are_read_is_a_parameter():
    """`parse="lenient-json"` reads a fenced reply of several lines in every role, and is kept; plain json flags it."""
    lenient, strict = Solve("p", parse="lenient-json"), Solve("p")
    assert (lenient.parameters()["parse"], "parse" in strict.parameters()) == ("lenient-json", False)
    replies = {
        "split": '{"parts": [],\n "how": ""}',
        "solve": '{\n"answer": 4\n}',
        "compose": '{\n"answer": 4\n}',
        "judge": '{"choice":\n1}',
    }
    asked = {"split": ["p"], "solve": ["p", None], "compose": ["p", "add", ["a"], [1]], "judge": ["p", [1, 2]]}
    for role, reply in replies.items():
        fenced = f"<think>so</think>\n```json\n{reply}\n```"
        assert getattr(lenient.roles, role)(*asked[role]).parse(fenced) is not None, role
        with pytest.raises(RedFlag):
            getattr(strict.roles, role)(*asked[role]).parse(fenced)


def test_general_roles_name_the_form_of_the_answer():
    """Each prompt names the form of its answer."""
    roles = General()
    assert '"parts"' in roles.split("p").prompt
    assert '"answer"' in roles.solve("p", None).prompt
    assert '"choice"' in roles.judge("p", [{"parts": []}, 2]).prompt
    assert "first" in roles.compose("p", "add", ["first", "second"], [1, 2]).prompt


@each(
    ("problem", "roles"),
    [
        ("46048 * 42098", "multiply"),
        ("Multiply the following numbers:\n46048 × 42098", "multiply"),
        ("What is 12 x 13?", "multiply"),
        ("Sort 3, -1, 2", "sort"),
        ("12", "general"),
        ("How many tiles of 12 x 13 cm cover 2 square metres?", "general"),
        ("2 * 3 * 4", "general"),
        ("2 * 3 + 4", "general"),
        ("1.5 * 3", "general"),
    ],
)
def test_pure_products_and_lists_have_their_own_processes(problem, roles):
    """Everything else goes to the general roles, whatever numbers are in it."""
    assert roles_for(problem) == roles


@pytest.mark.timeout(10)
@each("text", ["12" + " " * 19_000 + "x", "Sort " + "1 " * 9_000 + "x", "1" * 19_999, "1 * " * 5_000])
def test_long_problems_are_recognized_at_once(text):
    """No text makes the recognition of products and lists take long."""
    assert roles_for(text) == "general"


def test_a_list_to_be_sorted_makes_the_chain_that_sorts():
    """A text that is no list gets a message on how one is written."""
    assert sort_chain("Sort 3, -1, 2").numbers == [3, -1, 2]
    with pytest.raises(InputError, match="written Sort 3, -1, 2"):
        sort_chain("Sort apples")
