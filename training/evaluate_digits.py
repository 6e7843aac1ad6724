"""Measure the ensemble of digits: ``python evaluate_digits.py``.

Every sum of `multiply` and every product of two digits, cuts of random factors of each length, and the comparisons of
merge sorts of random lists. Figures are those of evaluate.py, for each kind of question.
"""

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path

import ctranslate2

from card import digit_figures, write_card
from evaluate import HERE, Evaluation, Step
from unerring.adapters.embedded.catalog import DIGITS, MEMBERS
from unerring.adapters.embedded.engine import EnsembleMember
from unerring.core.voting.canonical import canonical
from unerring.processes import Sort
from unerring.processes.multiply import compact_prompt, parse
from unerring.processes.multiply_roles import MultiplyRoles

LONGEST = 20


def sums() -> list[Step]:
    """All sums of `multiply` that occur, and those that do not: a digit times a digit and two digits more."""
    made = []
    for number in range(10_000):
        x, y, so_far, carry = map(int, f"{number:04d}")
        tens, ones = divmod(x * y + so_far + carry, 10)
        prompt = compact_prompt(x, y, so_far, carry)
        made.append(Step(prompt.strip(), parse, prompt, canonical({"digit": ones, "carry": tens})))
    return made


def products() -> list[Step]:
    roles, made = MultiplyRoles(), []
    for problem in (f"{x} * {y}" for x in range(10) for y in range(10)):
        subtask = roles.solve(problem, None)
        made.append(Step(problem, subtask.parse, subtask.first_wording(True), canonical(roles.right(problem))))
    return made


def cuts(rng: random.Random, each: int) -> list[Step]:
    """Factors of each length, cut in the middle: what most would answer, though any cut is of use."""
    roles, made = MultiplyRoles(), []
    for length in range(1, LONGEST + 1):
        for _ in range(each):
            factor = "".join(rng.choices("0123456789", k=length))
            subtask = roles.split(f"{factor} * 7")
            right = roles.rehearse(subtask.first_wording(True)).right
            made.append(Step(factor, subtask.parse, subtask.first_wording(True), canonical(subtask.parse(right))))
    return made


def comparisons(rng: random.Random) -> Iterator[Step]:
    """The steps of sorting lists of 500 numbers."""
    while True:
        chain = Sort([rng.randint(-9999, 9999) for _ in range(500)])
        state = chain.start()
        while (subtask := chain.subtask(state)) is not None:
            prompt, right = subtask.first_wording(True), chain.truth(state)
            yield Step(prompt.strip(), subtask.parse, prompt, canonical(right))
            state = chain.advance(state, right)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=500, help="of each length")
    parser.add_argument("--comparisons", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", type=Path, default=DIGITS.folder, help="folder of the members")
    parser.add_argument("--out", type=Path, default=HERE / "evaluation_digits.json")
    parser.add_argument("--card", action="store_true", help="write the tables into MODEL_CARD.md")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    members = {name: EnsembleMember(options.weights / name) for name in MEMBERS}
    pairs = comparisons(rng)
    kinds = {
        "sums": sums(),
        "products": products(),
        "cuts": cuts(rng, options.cuts),
        "comparisons": [next(pairs) for _ in range(options.comparisons)],
    }
    results: dict[str, object] = {
        "seed": options.seed,
        "engine": f"ctranslate2 {ctranslate2.__version__}, {next(iter(members.values())).arithmetic}",
        "policy": DIGITS.policy.to_json(),
    }
    for number, (kind, steps) in enumerate(kinds.items()):
        evaluation = Evaluation(members, [1.0], options.seed + number)
        evaluation.run(steps, kind)
        results[kind] = {"steps": len(steps), **evaluation.to_json()}
    options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if options.card:
        write_card("evaluate_digits", digit_figures(results), HERE / "MODEL_CARD.md")


if __name__ == "__main__":
    main()
