"""Trees: a problem is split, its parts are solved, and the answers are put together, each by voting.

(Meyerson et al., arXiv:2511.09030, Appendix F.) Four roles are asked: one splits a problem or says that it is small
enough, one solves a small problem, one puts answers together, and one judges between the candidates of a step that
votes did not decide. A tree is a chain: each step is one question to one role, with the same races, red flags,
journal, budget and resume as any other step.

Steps come in waves. First all problems of a level are split, or found to be small enough, level by level; then all
small problems are solved; then answers are put together, as soon as those of all parts are there. The questions of a
wave do not depend on each other's answers (`place`, `beside` say so), so they are asked at the same time. Steps that
votes did not decide are judged in a wave of their own, right after.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from unerring.core.chain import Chain, Subtask
from unerring.core.voting.canonical import Json
from unerring.core.voting.redflag import RedFlag

Problem = dict[str, Any]  # JSON data of a problem, a state or a choice


class ComposedAnswer(NamedTuple):
    """An answer that a function put together, without asking a model."""

    answer: Json


class Roles(Protocol):
    """The questions of each role. Methods depend on their arguments alone; problems are text, answers JSON data.

    linear: whether a problem is split into steps that follow each other. Each step sees its own words and the answer
        before it, and the last answer is that of the whole problem.
    """

    linear: bool

    def split(self, problem: str) -> Subtask:
        """Ask for a split; `parse` gives `{"parts": [text, ...], "how": text}`, or `{"parts": []}` if small enough."""

    def solve(self, problem: str, before: Json) -> Subtask:
        """Ask for the answer; `before` is the answer of the step before, where there is one."""

    def compose(self, problem: str, how: str, parts: list[str], answers: list[Json]) -> "Subtask | ComposedAnswer":
        """Ask for the whole answer, given the answers of the parts; or put it together without asking."""

    def judge(self, problem: str, candidates: list[Json]) -> Subtask:
        """Ask which of these splits or answers is best; `parse` gives its place in the list, from 0."""


@dataclass(frozen=True, slots=True)
class SplitLimits:
    """Limits of how far a problem is split.

    depth: levels below the whole problem; a problem at the deepest level is solved without being split.
    parts: parts of one problem; a split into more is red-flagged.
    nodes: problems in all; the problems of a level share equally what is left.

    A split into less than two parts, into empty ones, or into a problem that it came from is red-flagged as well.
    """

    depth: int = 5
    parts: int = 12
    nodes: int = 1000


class Tree(Chain[Problem, Problem]):
    """The chain that solves one problem by splitting it.

    A state is `{"problems": [...], "ask": role, "wave": [numbers], "turn": n, "most": parts}`: the problems so far,
    which of them are asked about, whose turn it is, and how many parts a split may have. A problem is
    `{"problem": text, "depth": n, "of": number}`, with `parts` (their numbers) and `how` once it is split, and with
    `answer` in the end.
    """

    def __init__(
        self, roles: Roles, problem: str, limits: SplitLimits = SplitLimits(), shortlist: int | None = None
    ) -> None:
        """After `shortlist` votes that do not decide a step, its candidates are judged; None for never."""
        self.roles = roles
        self.problem = problem
        self.limits = limits
        self.shortlist = shortlist

    def start(self) -> Problem:
        whole: Problem = {"problem": self.problem, "depth": 0, "of": None}
        return self._wave([whole], "solve" if self._deepest(0) else "split", [0])

    def place(self, state: Problem) -> Problem:
        """The part of a state that its question depends on; `subtask` and its parser see no more."""
        if not state["wave"]:
            return {"answer": self.answer(state)}
        problems, ask = state["problems"], state["ask"]
        at = state["wave"][state["turn"]]
        one = problems[at]
        place: Problem = {"ask": ask, "problem": one["problem"]}
        if "candidates" in one:
            return place | {"candidates": one["candidates"]}
        if ask == "split":
            return place | {"path": self._path(problems, at), "most": state["most"]}
        if ask == "solve":
            return place | ({"before": problems[at - 1]["answer"]} if self.roles.linear and at > 1 else {})
        return place | _apart(problems, one)

    def beside(self, state: Problem) -> Problem | None:
        """The state at the wave's next turn, without the choice of this one; None at the last turn."""
        return state | {"turn": state["turn"] + 1} if state["turn"] + 1 < len(state["wave"]) else None

    def subtask(self, state: Problem) -> Subtask | None:
        place = self.place(state)
        problem = place.get("problem")
        if problem is None:
            return None
        if "candidates" in place:
            candidates = place["candidates"]
            each = [one["split"] if "split" in one else one["answer"] for one in candidates]
            judged = self.roles.judge(problem, each)
            return _reading(judged, lambda value: {"pick": _place(value, len(candidates))})
        match place["ask"]:
            case "split":
                asked = _reading(self.roles.split(problem), lambda value: {"split": _split(value, place)})
            case "solve":
                asked = _reading(self.roles.solve(problem, place.get("before")), lambda value: {"answer": value})
            case _:
                composing = self._compose(place)
                assert isinstance(composing, Subtask)  # an answer that a function puts together is never asked for
                asked = _reading(composing, lambda value: {"answer": value})
        return replace(asked, shortlist=self.shortlist)

    def advance(self, state: Problem, choice: Problem) -> Problem:
        problems, at = list(state["problems"]), state["wave"][state["turn"]]
        one = problems[at] = dict(problems[at])
        if "pick" in choice:
            choice = one.pop("candidates")[choice["pick"]]
        if "candidates" in choice:
            one["candidates"] = choice["candidates"]
        elif "answer" in choice:
            one["answer"] = choice["answer"]
        elif choice["split"]["parts"]:
            parts = choice["split"]["parts"]
            one |= {"how": choice["split"]["how"], "parts": [len(problems) + place for place in range(len(parts))]}
            problems += [{"problem": part, "depth": one["depth"] + 1, "of": at} for part in parts]
        state = state | {"problems": problems}
        return self.beside(state) or self._following(problems, state["ask"], state["wave"])

    def answer(self, state: Problem) -> Json:
        """The answer to the whole problem."""
        found: Json = state["problems"][0]["answer"]
        return found

    def _deepest(self, depth: int) -> bool:
        return depth >= (1 if self.roles.linear else self.limits.depth)

    def _wave(self, problems: list[Problem], ask: str, wave: list[int]) -> Problem:
        most = 0
        if ask == "split":
            most = min(self.limits.parts, (self.limits.nodes - len(problems)) // len(wave))
        return {"problems": problems, "ask": ask, "wave": wave, "turn": 0, "most": most}

    def _following(self, problems: list[Problem], ask: str, wave: list[int]) -> Problem:
        """The state at the first turn of the wave that follows one."""
        judged = [at for at in wave if "candidates" in problems[at]]
        if judged:
            return self._wave(problems, ask, judged)
        if ask == "split":
            depth = problems[wave[0]]["depth"] + 1
            level = [at for at, one in enumerate(problems) if one["depth"] == depth]
            if level and not self._deepest(depth):
                return self._wave(problems, "split", level)
        unsolved = [at for at, one in enumerate(problems) if "answer" not in one and "parts" not in one]
        if unsolved:  # steps that follow each other have waves of one
            return self._wave(problems, "solve", unsolved[:1] if self.roles.linear else unsolved)
        return self._wave(problems, "compose", self._composed(problems))

    def _composed(self, problems: list[Problem]) -> list[int]:
        """The problems whose answers a role is to put together next; a function does it here at once."""
        while True:
            asked, done = [], False
            for at, one in enumerate(problems):
                if "answer" in one or any("answer" not in problems[part] for part in one["parts"]):
                    continue
                whole = self._compose({"problem": one["problem"]} | _apart(problems, one))
                if isinstance(whole, ComposedAnswer):
                    problems[at], done = one | {"answer": whole.answer}, True
                else:
                    asked.append(at)
            if not done:
                return asked

    def _compose(self, apart: Problem) -> "Subtask | ComposedAnswer":
        """How a problem's answer is put together, or the answer itself."""
        if self.roles.linear:
            return ComposedAnswer(apart["answers"][-1])
        return self.roles.compose(apart["problem"], apart["how"], apart["parts"], apart["answers"])

    def _path(self, problems: list[Problem], at: int) -> list[str]:
        """A problem and those that it came from."""
        path = []
        while at is not None:
            path.append(problems[at]["problem"])
            at = problems[at]["of"]
        return path


def _apart(problems: list[Problem], one: Problem) -> Problem:
    """The plan, the parts and their answers, from which an answer is put together."""
    parts = [problems[part] for part in one["parts"]]
    texts = [part["problem"] for part in parts]
    return {"how": one["how"], "parts": texts, "answers": [part["answer"] for part in parts]}


def _split(value: Any, place: Problem) -> Json:
    """A split that keeps to the limits; flags any other."""
    match value:
        case {"parts": []}:
            return {"parts": []}
        case {"parts": [str(), *_] as parts, "how": str(how)}:
            pass
        case _:
            raise RedFlag("the split is no list of parts, or does not say how answers go together")
    if len(parts) < 2:
        raise RedFlag("a split into one part")
    if len(parts) > place["most"]:
        raise RedFlag(f"a split into {len(parts)} parts, where {place['most']} are allowed")
    texts = [part.strip() if isinstance(part, str) else "" for part in parts]
    if not all(texts):
        raise RedFlag("a part of the split is empty, or no text")
    if not set(map(_squeezed, place["path"])).isdisjoint(map(_squeezed, texts)):
        raise RedFlag("a part of the split is the problem itself, or one that it came from")
    return {"parts": list(texts), "how": " ".join(how.split())}


def _reading(subtask: Subtask, read: Callable[[Any], Json]) -> Subtask:
    """The same question, with `read` applied to what its parser returns."""
    return replace(subtask, parse=lambda text: read(subtask.parse(text)))


def _place(value: Any, count: int) -> int:
    if type(value) is not int or not 0 <= value < count:
        raise RedFlag("the judge names none of the candidates")
    return value


def _squeezed(text: str) -> str:
    return "".join(text.split()).casefold()


@dataclass(slots=True)
class TreeNode:
    """A problem of a tree, with what was decided about it.

    problem: the problem, as text.
    steps: the numbers of the steps that asked about it.
    parts: the problems that it was split into.
    how: how the answers of the parts go together; empty where it was not split.
    answer: its answer; None before there is one.
    done: whether it has an answer.
    """

    problem: str
    steps: list[int] = field(default_factory=list)
    parts: list["TreeNode"] = field(default_factory=list)
    how: str = ""
    answer: Json = None
    done: bool = False


def tree_so_far(tree: Tree, choices: Iterable[Any]) -> TreeNode:
    """The problems of a tree after these decided choices, given in the order of the steps."""
    state = tree.start()
    steps: dict[int, list[int]] = {}
    for step, choice in enumerate(choices):
        steps.setdefault(state["wave"][state["turn"]], []).append(step)
        state = tree.advance(state, choice)
    nodes = [
        TreeNode(one["problem"], steps.get(at, []), [], one.get("how", ""), one.get("answer"), "answer" in one)
        for at, one in enumerate(state["problems"])
    ]
    for one, node in zip(state["problems"], nodes, strict=True):
        node.parts = [nodes[part] for part in one.get("parts", ())]
    return nodes[0]
