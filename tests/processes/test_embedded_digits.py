"""Products and sorting on the embedded model of digits, by voting and without a key."""

import json
from random import Random

import pytest

pytest.importorskip("ctranslate2")

from tables import each
from unerring import run, verify
from unerring.adapters.embedded.catalog import DIGITS
from unerring.adapters.embedded.engine import Drafter, EnsembleMember, uniforms
from unerring.api.journals.history import report
from unerring.cli.main import command_line
from unerring.errors import InputError
from unerring.processes import Multiply, Solve, Sort

FORMS = ("Multiply the following numbers:\n{} x {}", "Multiply the following numbers:\n{} × {}")


def products(count, digits):
    """Records of random products, in both ways of writing them."""
    rng = Random(digits)
    for number in range(count):
        a, b = (rng.randrange(10 ** (digits - 1), 10**digits) for _ in range(2))
        yield {"id": f"p{number}", "question": FORMS[number % 2].format(a, b), "answer": str(a * b)}


def lists(count, length):
    rng = Random(length)
    for number in range(count):
        drawn = [rng.randint(-9999, 9999) for _ in range(length)]
        yield {"id": number, "question": f"Sort the following numbers:\n{drawn}", "answer": str(sorted(drawn))}


def solved(folder, problems, *words):
    """Solve a file of problems with the command; returns the lines that it wrote."""
    given, out = folder / "in.jsonl", folder / "out.jsonl"
    given.write_text("".join(json.dumps(problem) + "\n" for problem in problems), encoding="utf-8")
    assert command_line(["solve", "--input", str(given), "--out", str(out), *words]) == 0
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


@each(
    "problems",
    [[*products(4, 5)], [*products(1, 10)], [*lists(1, 60)]],
    ids=["products of 5 digits", "a product of 10 digits", "a list"],
)
def test_problems_are_solved_without_a_key(tmp_path, problems):
    """Every answer is the expected one, and every journal adds up and verifies."""
    for line in solved(tmp_path, problems):
        assert line["right"]
        assert verify(line["journal"]).problem is None
        assert report(line["journal"])["model"] == "embedded/digits"


def test_a_limit_takes_the_first_problems(tmp_path):
    """--limit takes as many as it says."""
    assert [line["id"] for line in solved(tmp_path, products(4, 2), "--limit", "2")] == ["p0", "p1"]


@each(
    ("chain", "answer"),
    [(Multiply(46048, 42098), 46048 * 42098), (Sort([3, -1, 20, 3, 0]), [-1, 0, 3, 3, 20])],
    ids=["multiply", "sort"],
)
@each("model", ["embedded", ["embedded"], "embedded/digits"])
def test_the_embedded_model_is_the_one_that_knows_the_process(chain, answer, model):
    """`embedded`, or no model, chooses the one of the two that knows the process, with its own policy."""
    result = run(chain, model)
    assert result.answer == answer
    assert result.report["model"] == "embedded/digits"
    assert {voter["name"] for voter in result.report["voters"]} == {f"embedded/digits/{name}" for name in "abc"}


def questions(chain, count):
    """Compact prompts of a chain's first steps, with right answers before, and the right answers to them."""
    state = chain.start()
    for _ in range(count):
        prompt = chain.subtask(state).first_wording(True)
        answer = chain.rehearse(prompt).right
        yield prompt, answer
        state = chain.advance(state, chain.subtask(state).parse(answer))


PROMPTS = [
    *questions(Multiply(46048, 42098), 25),
    *questions(Solve("46048 * 42098", "multiply"), 74),
    *questions(Sort(sorted(range(-90, 90, 4), key=lambda number: number * number % 47)), 60),
]


def test_the_drafter_guesses_most_steps():
    """The drafter is right often enough to save time."""
    drafter = Drafter(DIGITS.folder / "draft", DIGITS.beyond)
    tokenizer = drafter.tokenizer
    drafts = drafter.drafts([(tokenizer.begin, *tokenizer.encode(prompt)) for prompt, _ in PROMPTS])
    right = sum(tokenizer.decode(draft) == answer for draft, (_, answer) in zip(drafts, PROMPTS, strict=True))
    assert right > 0.8 * len(PROMPTS)


def test_a_draft_never_changes_a_sample():
    """With any drafts, the most likely answers and all samples are those of the member alone."""
    drafter = Drafter(DIGITS.folder / "draft", DIGITS.beyond)

    def drawn(member):
        tokenizer = member.tokenizer
        paths = member.likeliest([(tokenizer.begin, *tokenizer.encode(prompt)) for prompt, _ in PROMPTS])
        samples = member.draw(paths, [1.0] * len(paths), [uniforms(f"{number}") for number in range(len(paths))])
        return [path.whole.tokens for path in paths], [written.tokens for written in samples]

    assert drawn(EnsembleMember(DIGITS.folder / "a", drafter)) == drawn(EnsembleMember(DIGITS.folder / "a"))


@each(
    ("chain", "message"),
    [(Sort([10**6, 1]), "numbers of at most 6 digits"), (Solve(f"{'1' * 21} * 2", "multiply"), "at most 20 digits")],
    ids=["sort", "multiply"],
)
def test_what_it_was_not_trained_on_is_refused(chain, message):
    """Problems beyond its training are refused, since all members might be wrong together."""
    with pytest.raises(InputError, match=message):
        run(chain)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("problems", "steps"),
    [([*products(200, 5)], 74), ([*products(50, 10)], 299), ([*lists(20, 500)], 3_700)],
    ids=["200 products of 5 digits", "50 products of 10 digits", "20 lists of 500 numbers"],
)
def test_many_problems_are_all_solved(tmp_path, problems, steps):
    """No problem is wrong or left open, though each takes hundreds or thousands of steps."""
    lines = solved(tmp_path, problems)
    assert len(lines) == len(problems)
    assert all(line["right"] for line in lines)
    assert all(line["steps"] >= steps for line in lines)
