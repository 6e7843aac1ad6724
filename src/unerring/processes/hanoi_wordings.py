"""Paraphrases of the question of a Towers of Hanoi step: the same facts, rule and form of answer.

Each has all that is needed, and none does a part of the work. They differ in their order, and in how they give the
rule: as two cases, as steps of a procedure, or as alternating turns.
"""

from typing import Any

Pegs = list[list[int]]


def other_wordings(last: Any, pegs: Pegs, turn: int) -> tuple[str, str]:
    """The paraphrases of the full prompt, always in the same order."""
    return _as_steps(last, pegs, turn), _as_turns(last, pegs, turn)


def _as_steps(last: Any, pegs: Pegs, turn: int) -> str:
    following = ", ".join(f"after {peg} comes {(peg + turn) % 3}" for peg in range(3))
    return f"""Below is a position in the Towers of Hanoi puzzle. Make exactly one move in it, by the procedure.

Position: {pegs}
It has one list for each of the pegs 0, 1 and 2, in this order, with the disks on that peg from the lowest to the
highest. Disks are numbered by size, and 1 is the smallest.
Move made just before: {"there was none" if last is None else f"{last}, which is [disk, from peg, to peg]"}

Procedure:
1. Was it disk 1 that was moved just before? If so, go to 3.
2. It was not, or there was no move: move disk 1 to the peg that comes next ({following}). That is the move.
3. Leave disk 1 where it is, and look at the two pegs that it is not on. One of them has the smaller disk on top, or is
   the only one that has a disk: move this top disk to the other one of the two. That is the move.

A disk is only ever taken from the top of a peg and put on an empty peg or on a larger disk. The new position is the
old one with this one disk moved; all others stay as they are.

Think it through if you like. Finish with these two lines, completed, and write nothing more:
move = [disk, from peg, to peg]
next_state = [[peg 0], [peg 1], [peg 2]]"""


def _as_turns(last: Any, pegs: Pegs, turn: int) -> str:
    around = " to ".join(str(turn * step % 3) for step in range(4))
    before = "no move was made yet" if last is None else f"the move before was {last}, as [disk, from peg, to peg]"
    return f"""In a game of Towers of Hanoi, moves of disk 1, the smallest, alternate with moves of other disks; the
very first move is one of disk 1. Whenever disk 1 moves, it goes one peg on, from {around}. Whenever it is
the turn of another disk, the move is the only one that the rules leave if disk 1 is not touched: of the top disks of
the two pegs without disk 1, the smaller one goes onto the other of these pegs, which may be empty.

The rules: one disk at a time, from the top of a peg to the top of another, and never a larger disk on a smaller one.

The pegs 0, 1 and 2 now hold these disks, each list from the bottom of its peg to the top:
{pegs}
And {before}.

State the move that comes now, and the three pegs after it. Whatever you write before, let the answer end with the
following two lines, filled in:
move = [disk, from peg, to peg]
next_state = [[peg 0], [peg 1], [peg 2]]"""
