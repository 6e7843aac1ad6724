"""The process of `unerring solve`: from a problem in words to the chain that solves it."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from unerring.core.chain import Rehearsal
from unerring.core.short_text import short
from unerring.core.tree import ComposedAnswer, Roles, SplitLimits, Tree
from unerring.core.voting.canonical import Json
from unerring.core.voting.parsing import parser_named
from unerring.errors import InputError
from unerring.processes.general import REPLY_PARSERS, General
from unerring.processes.multiply_roles import MultiplyRoles, is_product, product_in
from unerring.processes.sort import Sort, numbers_in, order_in

MAX_PROBLEM_CHARS = 20_000  # characters of a problem
ROLES: dict[str, Callable[[str], Roles]] = {
    "general": lambda parse: General(parse=parse),
    "linear": lambda parse: General(linear=True, parse=parse),
    "multiply": lambda parse: MultiplyRoles(),
}
SORT = "sort"


def roles_for(problem: str) -> str:
    """The name of the roles that fit a problem: `multiply` for a product, `sort` for a list, else `general`."""
    if is_product(problem):
        return "multiply"
    return "general" if numbers_in(problem) is None else SORT


def sort_chain(problem: str) -> Sort:
    """The chain for a problem such as `Sort 3, -1, 2`; raises `InputError` for any other."""
    found = order_in(problem)
    if found is None:
        raise InputError("numbers to be sorted are written Sort 3, -1, 2: whole ones, and nothing else")
    return Sort(*found)


class Solve(Tree):
    """The chain that solves a problem by splitting it.

    problem: the problem, as text.
    roles: `general` splits into independent parts, `linear` into steps that follow each other, `multiply` splits
        products.
    depth, parts, nodes: limits, as in `SplitLimits`.
    shortlist: after so many votes that do not decide a step, its candidates are judged.
    parse: how strictly the general roles' replies are read: `json`, or `lenient-json`, which also takes one Markdown
        fence around an answer, or thoughts in `<think>` before it.
    """

    def __init__(  # noqa: PLR0913, PLR0917  (one parameter for each option)
        self,
        problem: str,
        roles: str = "general",
        depth: int = 5,
        parts: int = 12,
        nodes: int = 1000,
        shortlist: int = 7,
        parse: str = REPLY_PARSERS[0],
    ) -> None:
        if not isinstance(problem, str) or not problem.strip() or len(problem) > MAX_PROBLEM_CHARS:
            found = short(problem)
            if isinstance(problem, str):
                found = f"one of {len(problem):,}" if problem.strip() else "an empty one"
            raise InputError(f"problem must be a text of 1 to {MAX_PROBLEM_CHARS:,} characters, not {found}")
        if not isinstance(roles, str) or roles not in ROLES:
            raise InputError(f"roles must be one of {', '.join(ROLES)}, not {roles!r}")
        for name, value, least in (("depth", depth, 0), ("parts", parts, 2), ("nodes", nodes, 1)):
            if type(value) is not int or value < least:
                raise InputError(f"{name} must be a whole number from {least} on, not {value!r}")
        if type(shortlist) is not int or shortlist < 2:
            raise InputError(f"shortlist must be a whole number of votes from 2 on, not {shortlist!r}")
        parser_named(parse, REPLY_PARSERS)
        multiplying = roles == "multiply"
        problem = product_in(problem) if multiplying else problem.strip()
        if multiplying:  # halving takes few levels, and only one answer is right
            depth, nodes = 2 * len(problem), max(nodes, len(problem) ** 2 * 4)
        super().__init__(
            ROLES[roles](parse), problem, SplitLimits(depth, parts, nodes), None if multiplying else shortlist
        )
        embedded: str | None = getattr(self.roles, "embedded", None)
        if embedded is not None:
            self.embedded = embedded
        right: Callable[[str], Json] | None = getattr(self.roles, "right", None)
        if right is not None:  # other roles have no verifier
            self.verify = partial(self._verified, right)  # type: ignore[method-assign]
        self._parameters: dict[str, Json] = {
            "problem": problem,
            "roles": roles,
            "depth": depth,
            "parts": parts,
            "nodes": nodes,
            "shortlist": shortlist,
            **({} if parse == REPLY_PARSERS[0] else {"parse": parse}),  # left out as in older journals
        }

    def parameters(self) -> dict[str, Json]:
        return dict(self._parameters)

    def _verified(self, right: Callable[[str], Json], choices: Iterable[Any], finished: bool) -> str | None:
        """Compare each decided choice, and the answer, with the right one."""
        state = self.start()
        for step, choice in enumerate(choices):
            asked = self.place(state)
            if "problem" not in asked:
                return f"step {step}: the problem is solved before it"
            slip = self._slip(right, asked["problem"], choice)
            if slip is not None:
                return f"step {step}: {slip}"
            state = self.advance(state, choice)
        if finished and state["wave"]:
            return "the run ends before the problem is solved"
        if finished and self.answer(state) != right(self.problem):
            return f"the answer is {self.answer(state)}, and {right(self.problem)} would be right"
        return None

    def _slip(self, right: Callable[[str], Json], problem: str, choice: Any) -> str | None:
        """What is wrong with an answer or a split; None where nothing is."""
        match choice:
            case {"answer": answer} if answer != right(problem):
                return f"{problem} is {right(problem)}, not {answer!r}"
            case {"split": {"parts": [_, *_] as parts, "how": how}}:
                whole = self.roles.compose(problem, how, parts, [right(part) for part in parts])
                if isinstance(whole, ComposedAnswer) and whole.answer != right(problem):
                    return f"{' and '.join(parts)} do not make up {problem}"
        return None

    def rehearse(self, prompt: str) -> Rehearsal:
        """Right and wrong answers for the noise sampler, where the roles have them."""
        known: Callable[[str], Rehearsal] | None = getattr(self.roles, "rehearse", None)
        if known is None:
            raise InputError("the noise sampler can stand in for a model only where answers are known: roles=multiply")
        return known(prompt)
