"""The general version: a problem is split, its parts are solved, and the answers put together, each by voting.

(Meyerson et al., arXiv:2511.09030, Appendix F.) Four roles are asked: one splits a problem or says that it is small
enough, one solves such a problem, one puts answers together, and where votes settle nothing another one judges what
they were for. A tree is a chain like any other, walked depth first: a step is one question to one role, and the state
is the path from the whole problem to the one that is open. So every role votes by the same races, under the same red
flags, journal, budget and resume. Parts that do not wait for each other are asked together, as steps ahead are.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, cast

from unerring.core.process import Subtask
from unerring.core.redflag import RedFlag
from unerring.core.vote import Json

Frame = dict[str, Any]


class Composed(NamedTuple):
    """An answer that was put together by a function, without asking."""

    answer: Json


class Roles(Protocol):
    """Who is asked what. Every method is a function of its arguments alone; problems are text, answers JSON data.

    `linear` says that a problem is split into steps, one after the other, each of which sees its own words and the
    answer before it, and that the last one's answer is the whole one's.
    """

    linear: bool

    def split(self, problem: str) -> Subtask:
        """How to split; `parse` gives `{"parts": [text, ...], "how": text}`, or `{"parts": []}` for small enough."""

    def solve(self, problem: str, before: Json) -> Subtask:
        """What is the answer; `before` is that of the step before, where there is one."""

    def compose(self, problem: str, how: str, parts: list[str], answers: list[Json]) -> "Subtask | Composed":
        """What is the whole answer, from those of the parts."""

    def judge(self, problem: str, candidates: list[Json]) -> Subtask:
        """Which of these splits or answers is best; `parse` gives its place in the list, counted from 0."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a problem is split: levels below the whole, parts of one problem, and problems in all.

    A problem at the deepest level is solved as it is. A split beyond the other two limits is red-flagged, and so is
    one into less than two parts, into empty ones, or into a problem that it came from.
    """

    depth: int = 5
    parts: int = 12
    nodes: int = 1000


class Tree:
    """The chain that solves one problem by splitting it.

    A state is `{"open": frames, "nodes": count}`, at the end with `"answer"`. A frame is a problem on the path that is
    open: what is to be asked of it, its parts, and the answers to those that are done.
    """

    def __init__(self, roles: Roles, problem: str, limits: Limits = Limits(), shortlist: int | None = None) -> None:
        """After `shortlist` votes on a question that settle nothing, what they were for is judged."""
        self.roles = roles
        self.problem = problem
        self.limits = limits
        self.shortlist = shortlist

    def start(self) -> Json:
        return {"open": [self._frame(self.problem, 0)], "nodes": 1}

    def subtask(self, state: Any) -> Subtask | None:
        if not state["open"]:
            return None
        frame = state["open"][-1]
        if "candidates" in frame:
            judged = self.roles.judge(frame["problem"], [unwrapped(choice) for choice in frame["candidates"]])
            return _reading(judged, lambda value: {"pick": _place(value, len(frame["candidates"]))})
        if frame["ask"] == "split":
            asked = _reading(self.roles.split(frame["problem"]), lambda value: {"split": self._split(value, state)})
        else:
            asked = _reading(self._answering(frame), lambda value: {"answer": value})
        return replace(asked, shortlist=self.shortlist)

    def advance(self, state: Any, choice: Any) -> Json:
        return self.advanced(state, choice, [])

    def advanced(self, state: Any, choice: Any, given: list[Json]) -> Json:
        """The state after a step; `given` gets the answers that it gave to problems of the path, innermost first."""
        frames: list[Any] = [dict(frame) for frame in state["open"]]
        nodes = state["nodes"]
        frame = frames[-1]
        if "candidates" in choice:
            frame["candidates"] = choice["candidates"]
            return {"open": frames, "nodes": nodes}
        if "pick" in choice:
            choice = frame.pop("candidates")[choice["pick"]]
        if "answer" in choice:
            return self._answered(frames, nodes, choice["answer"], given)
        split = choice["split"]
        if not split["parts"]:
            frame["ask"] = "solve"
            return {"open": frames, "nodes": nodes}
        frame.update(ask="parts", parts=split["parts"], how=split["how"], answers=[])
        frames.append(self._frame(split["parts"][0], len(frames)))
        return {"open": frames, "nodes": nodes + len(split["parts"])}

    def answer(self, state: Any) -> Json:
        """The answer to the whole problem."""
        found: Json = state["answer"]
        return found

    def _frame(self, problem: str, depth: int, before: Json = None) -> Frame:
        at_end = depth >= (1 if self.roles.linear else self.limits.depth)
        frame: Frame = {"problem": problem, "ask": "solve" if at_end else "split"}
        return frame if before is None else frame | {"before": before}

    def _answering(self, frame: Frame) -> Subtask:
        if frame["ask"] == "solve":
            return self.roles.solve(frame["problem"], frame.get("before"))
        composing = self._composed(frame)
        assert isinstance(composing, Subtask)  # what a function puts together is never asked
        return composing

    def _composed(self, frame: Frame) -> "Subtask | Composed":
        if self.roles.linear:
            return Composed(frame["answers"][-1])
        return self.roles.compose(frame["problem"], frame["how"], frame["parts"], frame["answers"])

    def _answered(self, frames: list[Any], nodes: int, answer: Json, given: list[Json]) -> Json:
        """The state once the innermost open problem has its answer."""
        while True:
            frames.pop()
            given.append(answer)
            if not frames:
                return {"open": [], "nodes": nodes, "answer": answer}
            parent = frames[-1]
            parent["answers"] = [*parent["answers"], answer]
            done = len(parent["answers"])
            if done < len(parent["parts"]):
                before = answer if self.roles.linear else None
                frames.append(self._frame(parent["parts"][done], len(frames), before))
                return {"open": frames, "nodes": nodes}
            composed = self._composed(parent)
            if isinstance(composed, Subtask):
                parent["ask"] = "compose"
                return {"open": frames, "nodes": nodes}
            answer = composed.answer

    def _split(self, value: Any, state: Any) -> Json:
        """A split that keeps to the limits; flags any other."""
        match value:
            case {"parts": []}:
                return {"parts": []}
            case {"parts": [str(), *_] as parts, "how": str(how)}:
                pass
            case _:
                raise RedFlag("the split is no list of parts, or does not say how answers go together")
        if len(parts) < 2 or len(parts) > self.limits.parts:
            raise RedFlag(f"a split into {len(parts)} parts: it may have 2 to {self.limits.parts}")
        if state["nodes"] + len(parts) > self.limits.nodes:
            raise RedFlag(f"with this split there would be more than {self.limits.nodes} problems")
        path = {_squeezed(frame["problem"]) for frame in state["open"]}
        told = [part.strip() if isinstance(part, str) else "" for part in parts]
        if not all(told):
            raise RedFlag("a part of the split is empty, or no text")
        if not path.isdisjoint(map(_squeezed, told)):
            raise RedFlag("a part of the split is the problem itself, or one that it came from")
        return {"parts": list(told), "how": " ".join(how.split())}


def _reading(subtask: Subtask, read: Callable[[Any], Json]) -> Subtask:
    """The same question, with what its parser gives read further."""
    return replace(subtask, parse=lambda text: read(subtask.parse(text)))


def _place(value: Any, count: int) -> int:
    if type(value) is not int or not 0 <= value < count:
        raise RedFlag("the judge names none of the candidates")
    return value


def _squeezed(text: str) -> str:
    return "".join(text.split()).casefold()


def unwrapped(choice: Any) -> Json:
    """The split or the answer in a step's choice."""
    found: Json = choice["split"] if "split" in choice else choice["answer"]
    return found


@dataclass(slots=True)
class Node:
    """A problem in the tree, and what became of it: the numbers of the steps that asked about it, parts, answer."""

    problem: str
    steps: list[int] = field(default_factory=list)
    parts: list["Node"] = field(default_factory=list)
    how: str = ""
    answer: Json = None
    done: bool = False


def grown(tree: Tree, choices: Iterable[Any]) -> Node:
    """The tree as the decided choices, in the order of the steps, have made it so far."""
    root = Node(tree.problem)
    path, state = [root], cast(Any, tree.start())
    for step, choice in enumerate(choices):
        path[-1].steps.append(step)
        given: list[Json] = []
        state = cast(Any, tree.advanced(state, choice, given))
        for answer in given:
            solved = path.pop()
            solved.answer, solved.done = answer, True
        for frame, node in zip(state["open"], path, strict=False):
            if "parts" in frame and not node.parts:
                node.parts, node.how = [Node(part) for part in frame["parts"]], frame["how"]
        for frame in state["open"][len(path) - 1 : -1]:
            path.append(path[-1].parts[len(frame["answers"])])
    return root
