"""Towers of Hanoi, the paper's worked process (Meyerson et al., arXiv:2511.09030, section 4).

Disks 1 (smallest) to n start on peg 0 and end on peg 2; a state is three lists, bottom to top. The strategy is
part of every question: alternate between moving disk 1 one peg along a fixed direction and making the only
legal move without it. Turning 0 to 1 to 2 to 0 ends on peg 2 for even n; for odd n the other way round does.
"""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from unerring.core.chain import Chain, Rehearsal, Subtask
from unerring.core.voting.canonical import Json, JsonObject
from unerring.core.voting.redflag import RedFlag
from unerring.errors import InputError
from unerring.processes.hanoi_wordings import Pegs, other_wordings

MAX_DISKS = 20
MAX_WORDINGS = 3


class Move(NamedTuple):
    """One disk from the top of one peg to the top of another."""

    disk: int
    source: int
    target: int


class IllegalMove(ValueError):
    """The rules of the game forbid the move; the message says which rule."""


class Hanoi(Chain[JsonObject, JsonObject]):
    """The chain: 2^disks - 1 dependent steps from all disks on peg 0 to all on peg 2.

    A state is `{"last": [disk, from, to] or null, "pegs": three lists}`; a choice is
    `{"move": [disk, from, to], "next_state": three lists}`.

    disks: the number of disks.
    parser: how strictly answers are read: `strict`, or `repairing`.
    wordings: in how many wordings models that take full prompts are asked, in turn.
    """

    def __init__(self, disks: int = 10, parser: str = "strict", wordings: int = 1) -> None:
        if type(disks) is not int or not 1 <= disks <= MAX_DISKS:
            raise InputError(f"disks must be a whole number from 1 to {MAX_DISKS}, not {disks!r}")
        if not isinstance(parser, str) or parser not in MOVE_PARSERS:
            raise InputError(f"parser must be one of {', '.join(MOVE_PARSERS)}, not {parser!r}")
        if type(wordings) is not int or not 1 <= wordings <= MAX_WORDINGS:
            raise InputError(f"wordings must be a whole number from 1 to {MAX_WORDINGS}, not {wordings!r}")
        self.disks = disks
        self.parser = parser
        self.wordings = wordings
        self._parse = MOVE_PARSERS[parser]

    def parameters(self) -> dict[str, Json]:
        # one wording is left out, as in journals of before there were several
        more: dict[str, Json] = {"wordings": self.wordings} if self.wordings > 1 else {}
        return {"disks": self.disks, "parser": self.parser, **more}

    def length(self) -> int:
        return (1 << self.disks) - 1

    @property
    def turn(self) -> int:
        """Pegs that disk 1 advances each time it moves: +1 for even disks, -1 (modulo 3) for odd."""
        return 1 if self.disks % 2 == 0 else -1

    def start(self) -> JsonObject:
        return _state(None, [list(range(self.disks, 0, -1)), [], []])

    def subtask(self, state: JsonObject) -> Subtask | None:
        last, pegs = state["last"], state["pegs"]
        if len(pegs[2]) == self.disks:
            return None
        return Subtask(
            prompt=full_prompt(last, pegs, self.turn),
            compact=compact_prompt(last, pegs, self.turn),
            parse=lambda text: self._parse(text, self.disks),
            paraphrases=other_wordings(last, pegs, self.turn)[: self.wordings - 1] if self.wordings > 1 else (),
        )

    def advance(self, state: JsonObject, choice: JsonObject) -> JsonObject:
        return _state(choice["move"], choice["next_state"])

    def truth(self, state: JsonObject) -> JsonObject:
        """The right choice from a state of the run, by the strategy."""
        move = strategy(state["last"], state["pegs"], self.turn)
        return {"move": [*move], "next_state": [[*peg] for peg in moved(state["pegs"], move)]}

    def state_at(self, step: int) -> JsonObject:
        """The state before step number `step`, 0 <= step < 2^n, in O(n).

        Disk d moves at steps 2^(d-1) - 1 (mod 2^d), always one peg along the same direction, which
        alternates from disk to disk: after `step` steps it has moved (step + 2^(d-1)) // 2^d times.
        """
        if not 0 <= step <= self.length():
            raise InputError(f"steps of {self.disks} disks are numbered 0 to {self.length()}, not {step}")
        pegs: Pegs = [[], [], []]
        for disk in range(self.disks, 0, -1):
            pegs[self._peg(disk, step)].append(disk)
        if step == 0:
            return _state(None, pegs)
        disk = (step & -step).bit_length()
        return _state([disk, self._peg(disk, step - 1), self._peg(disk, step)], pegs)

    def _peg(self, disk: int, step: int) -> int:
        direction = self.turn if disk % 2 == 1 else -self.turn
        return direction * ((step + (1 << disk - 1)) >> disk) % 3

    def verify(self, choices: Iterable[JsonObject], finished: bool) -> str | None:
        """Replay decided choices by the rules of the game; returns the first error, or None.

        The strategy is not consulted: any legal game passes. A finished one must have all disks on peg 2.
        """
        pegs: Pegs = [list(range(self.disks, 0, -1)), [], []]
        for step, choice in enumerate(choices):
            try:
                move, claimed = choice["move"], choice["next_state"]
                pegs = moved(pegs, Move(*move))
            except IllegalMove as error:
                return f"step {step}: {error}"
            except (KeyError, TypeError):
                return f"step {step}: this is not a move and a next state: {choice!r}"
            if pegs != claimed:
                return f"step {step}: the move leads to {pegs}, not to {claimed}"
        if finished and len(pegs[2]) != self.disks:
            return f"the game ends with {pegs}, not with all {self.disks} disks on peg 2"
        return None

    def rehearse(self, prompt: str) -> Rehearsal:
        """The right answer to a compact prompt, and wrong ones: another move, a miscopied state, or both."""
        asked = _ASKED.match(prompt)
        if asked is None:
            raise InputError("this is not a compact Towers of Hanoi prompt")
        last = None if asked["last"] == "none" else _integers(asked["last"][1:-1], "the last move")
        pegs = [_integers(peg, "the state") for peg in re.findall(r"\[([^\[\]]*)\]", asked["pegs"][1:-1])]
        turn = 1 if asked["turn"] == "clockwise" else -1
        try:
            move = strategy(last, pegs, turn)
        except IllegalMove:  # a run that went wrong may reach one tower, where only disk 1 can move
            move = strategy(None, pegs, turn)
        after = moved(pegs, move)
        wrong = []
        for source in range(3):
            for target in range(3):
                if pegs[source] and (source, target) != move[1:]:
                    try:
                        other = Move(pegs[source][-1], source, target)
                        wrong.append(answer(other, moved(pegs, other)))
                    except IllegalMove:
                        continue
        wrong.append(answer(move, [after[2], after[0], after[1]]))
        return Rehearsal(right=answer(move, after), wrong=tuple(wrong))


def _state(last: Json, pegs: Any) -> JsonObject:
    return {"last": last, "pegs": pegs}


def strategy(last: Any, pegs: Pegs, turn: int) -> Move:
    """The move the strategy prescribes; raises `IllegalMove` where it prescribes none."""
    small = next((peg for peg in range(3) if pegs[peg][-1:] == [1]), None)
    if small is None:
        raise IllegalMove("disk 1 is not on top of a peg")
    if last is None or last[0] != 1:
        return Move(1, small, (small + turn) % 3)
    others = [peg for peg in range(3) if peg != small]
    source = min(others, key=lambda peg: pegs[peg][-1] if pegs[peg] else MAX_DISKS + 1)
    if not pegs[source]:
        raise IllegalMove("no disk but disk 1 can move")
    return Move(pegs[source][-1], source, 3 - small - source)


def moved(pegs: Pegs, move: Move) -> Pegs:
    """The pegs after a legal move; raises `IllegalMove` for any other."""
    disk, source, target = move
    if source not in (0, 1, 2) or target not in (0, 1, 2):
        raise IllegalMove(f"there are pegs 0, 1 and 2, not {source} and {target}")
    if source == target:
        raise IllegalMove(f"disk {disk} would stay on peg {source}")
    if pegs[source][-1:] != [disk]:
        raise IllegalMove(f"disk {disk} is not on top of peg {source}")
    if pegs[target] and pegs[target][-1] < disk:
        raise IllegalMove(f"disk {disk} cannot lie on disk {pegs[target][-1]}")
    after = [list(peg) for peg in pegs]
    after[target].append(after[source].pop())
    return after


def compact_prompt(last: Any, pegs: Pegs, turn: int) -> str:
    """The question as the embedded model was trained on it."""
    direction = "clockwise" if turn == 1 else "counterclockwise"
    return f"{direction} last = {'none' if last is None else last} state = {pegs}\n"


def full_prompt(last: Any, pegs: Pegs, turn: int) -> str:
    """The question for a general chat model, with all it needs to know."""
    circle = "0 -> 1 -> 2 -> 0" if turn == 1 else "0 -> 2 -> 1 -> 0"
    return f"""You carry out one step of a Towers of Hanoi solution.

There are three pegs, numbered 0, 1 and 2. A state lists the disks of each peg from bottom to top; disk 1 is the
smallest. Only the top disk of a peg can move, and never onto a smaller disk.

Rule for choosing the move:
- If the previous move was not of disk 1 (or there is none), move disk 1 one peg further along {circle}.
- If the previous move was of disk 1, make the one legal move that does not touch disk 1: compare the top disks of
  the two pegs where disk 1 is not, and move the smaller of them onto the other of these pegs.

Previous move: {"none" if last is None else last}  (as [disk, from peg, to peg])
Current state: {pegs}

Work out the move, then copy the state and change only what the move changes. End your answer with exactly these two
lines, filled in, and nothing after them:
move = [disk, from peg, to peg]
next_state = [[peg 0], [peg 1], [peg 2]]"""


# The paper's patterns, read without regard to case; the last match of each counts, whatever follows it.
_MOVE = re.compile(r"\bmove\b\s*=\s*\[([^\[\]]*)\]", re.IGNORECASE)
_PEG = r"\s*\[([^\[\]]*)\]\s*"
_STATE = re.compile(rf"\bnext_state\b\s*=\s*\[{_PEG},{_PEG},{_PEG}\]", re.IGNORECASE)
_STATE_START = re.compile(r"\bnext_state\b\s*=\s*(\[\s*\[)", re.IGNORECASE)
_PEGS = re.compile(rf"\[{_PEG},{_PEG},{_PEG}(?:,\s*)?\]")
_INTEGER = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,17})")


def parse_strict(text: str, disks: int) -> Json:
    """The paper's red-flagging parser: the last `move = [...]` and the last `next_state = [[..],[..],[..]]`.

    Flags anything but three integers in the move, three lists in the state, and every disk exactly once. It
    judges form only: whether the move is right is for the vote.
    """
    move = _last_move(text)
    found = _last(_STATE, text)
    if found is None:
        raise RedFlag("no next_state = [[...], [...], [...]] in the answer")
    pegs = [_integers(peg, "the next state") for peg in found.groups()]
    if sorted(disk for peg in pegs for disk in peg) != list(range(1, disks + 1)):
        raise RedFlag(f"the next state does not have each of {disks} disks once")
    return {"move": [*move], "next_state": [[*peg] for peg in pegs]}


def parse_repairing(text: str, disks: int) -> Json:
    """The paper's repairing parser, kept for comparison with the strict one: brackets are repaired, disks not checked.

    The state goes from the last `next_state = [[` to the bracket that closes it; where none does, the answer's end
    stands for it. Unlike the paper's, it takes three integers and three lists only: a run cannot continue from others.
    """
    move = _last_move(text)
    found = _last(_STATE_START, text)
    if found is None:
        raise RedFlag("no next_state = [[...] in the answer")
    state = _PEGS.fullmatch(_closed(text[found.start(1) :]))
    if state is None:
        raise RedFlag("the next state is not three lists, nor can its brackets be repaired")
    return {"move": [*move], "next_state": [[*_integers(peg, "the next state")] for peg in state.groups()]}


def _last(form: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = None
    for found in form.finditer(text):  # noqa: B007  (the last one counts)
        pass
    return found


def _last_move(text: str) -> list[Json]:
    found = _last(_MOVE, text)
    if found is None:
        raise RedFlag("no move = [...] in the answer")
    move = _integers(found[1], "the move")
    if len(move) != 3:
        raise RedFlag(f"the move has {len(move)} numbers, not 3")
    return [*move]


def _integers(text: str, name: str) -> list[int]:
    """The integers in a list's text, with or without a comma at its end; flags anything else in it."""
    if not text.strip():
        return []
    items = [item.strip() for item in text.split(",")]
    if not items[-1]:
        items.pop()
    if not all(map(_INTEGER.fullmatch, items)):
        raise RedFlag(f"{name} is not written in integers")
    return [*map(int, items)]


def _closed(text: str) -> str:
    """A text from its first bracket to the one that closes it; up to its end, with one put there, where none does."""
    depth = 0
    for found in re.finditer(r"[\[\]]", text):
        depth += 1 if found[0] == "[" else -1
        if depth == 0:
            return text[: found.end()]
    return f"{text.rstrip()}]"


MOVE_PARSERS = {"strict": parse_strict, "repairing": parse_repairing}


_ASKED = re.compile(
    r"^(?P<turn>clockwise|counterclockwise) last = (?P<last>none|\[.*?\]) state = (?P<pegs>\[\[.*\]\])\s*$"
)


def answer(move: Move, pegs: Pegs) -> str:
    """An answer in the format asked for."""
    return f"move = {[*move]}\nnext_state = {pegs}"
