"""An agent that brings a warehouse into order: it looks, asks for the next tool call, makes it, and so on to the end.

Each call is decided by voting. The tools change a SQLite database, each move once: the key of a move is stored in the
transaction that makes it, so that a run that was killed and is started again moves nothing twice.

    python agent.py                                    # a stand-in for a model, wrong on one answer in five
    python agent.py --k 1                              # the same without voting
    python agent.py --model openai/gpt-4.1-mini --k 3
"""

import argparse
import json
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Literal

import unerring
from unerring import act, ask

HOMES = {"bolts": "A", "nuts": "A", "hooks": "B", "pins": "B", "tape": "C", "rope": "C", "lamps": "D", "fuses": "D"}
SHELVES = ["A", "B", "C", "D"]
LOT = re.compile(r"^shelf (\w): (\w+), (\d+) pieces, belongs on shelf (\w)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Call:
    """The next tool call: a move of so many pieces of an item from one shelf to another, or `done`."""

    tool: Literal["move", "done"]
    item: str = ""
    source: str = ""
    target: str = ""
    count: int = 0


async def tidy(database: str) -> list[Any]:
    """The agent: look, ask for the next call, make it, and so on; returns the moves that it made."""
    moves: list[Any] = []
    while True:
        lots = await act(look, database)
        call = await ask(question(lots), Call, check=partial(refused, lots))
        if call.tool == "done":
            return moves
        moves.append(await act(move, database, call.item, call.source, call.target, call.count))


def question(lots: list[Any]) -> str:
    """The whole question: what is where, and the rule for the next call."""
    listed = "\n".join(
        f"shelf {shelf}: {item}, {count} pieces, belongs on shelf {home}" for shelf, item, count, home in lots
    )
    return f"""You keep a warehouse in order, one tool call at a time. It now holds:

{listed}

Take the first line whose item is not on the shelf where it belongs, and move all of its pieces to that shelf: tool
"move" with the item, its source and target shelf, and the count. If no such line is left, the tool is "done"."""


def refused(lots: list[Any], call: Call) -> str | None:
    """Why a call cannot be made: such an answer does not vote."""
    held = {(shelf, item): count for shelf, item, count, _ in lots}
    if call.tool == "move" and not 0 < call.count <= held.get((call.source, call.item), 0):
        return f"shelf {call.source} does not hold {call.count} {call.item}"
    return None if call.tool == "done" or call.target in SHELVES else f"there is no shelf {call.target}"


# --- the tools


@contextmanager
def opened(database: str) -> Iterator[sqlite3.Connection]:
    """The database, within one transaction."""
    with closing(sqlite3.connect(database)) as connection, connection:
        yield connection


def look(database: str) -> list[Any]:
    """What lies on the shelves: shelf, item, count, and the shelf where the item belongs."""
    with opened(database) as store:
        rows = store.execute("SELECT shelf, item, count, home FROM lots JOIN items USING (item) ORDER BY shelf, item")
        return list(rows)


def move(database: str, item: str, source: str, target: str, count: int, key: str) -> list[Any]:
    """Move pieces between shelves; a second call with the same key changes nothing."""
    with opened(database) as store:
        if store.execute("INSERT OR IGNORE INTO moves VALUES (?)", (key,)).rowcount:
            store.execute("UPDATE lots SET count = count - ? WHERE (item, shelf) = (?, ?)", (count, item, source))
            store.execute("DELETE FROM lots WHERE count = 0")
            store.execute(
                "INSERT INTO lots VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
                (item, target, count),
            )
    return [item, source, target, count]


def fill(database: str, seed: int = 0) -> None:
    """Make the warehouse, if it is not there yet: 16 lots, each two of an item on shelves where it does not belong."""
    chance = Random(seed)
    with opened(database) as store:
        if store.execute("SELECT 1 FROM sqlite_master").fetchone():
            return
        store.execute("CREATE TABLE items (item PRIMARY KEY, home)")
        store.execute("CREATE TABLE lots (item, shelf, count, PRIMARY KEY (item, shelf))")
        store.execute("CREATE TABLE moves (key PRIMARY KEY)")
        store.executemany("INSERT INTO items VALUES (?, ?)", HOMES.items())
        for item, home in HOMES.items():
            for shelf in chance.sample([shelf for shelf in SHELVES if shelf != home], 2):
                store.execute("INSERT INTO lots VALUES (?, ?, ?)", (item, shelf, chance.randint(2, 60)))


# --- the model


def clerk(prompt: str, settings: unerring.Settings) -> str:
    """A stand-in for a model: right on four answers in five, and otherwise wrong in a way that looks right."""
    lots = [(item, source, home, int(count)) for source, item, count, home in LOT.findall(prompt)]
    misplaced = [lot for lot in lots if lot[1] != lot[2]]
    chance = Random(f"{prompt} {settings.sample_seed()}")
    right = Call("move", *misplaced[0]) if misplaced else Call("done")
    if chance.random() < 0.8:
        return json.dumps(asdict(right))
    item, source, home, count = chance.choice(lots)
    other = chance.choice([shelf for shelf in SHELVES if shelf != source])
    slips = [Call("done"), Call("move", item, source, other, count), Call("move", item, source, home, count // 2)]
    return json.dumps(asdict(chance.choice(slips)))


def main() -> int:
    """Run the agent, or continue its run; returns 0 where the warehouse is in order at its end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="what answers, such as openai/gpt-4.1-mini; default: the stand-in")
    parser.add_argument("--k", type=int, default=3, help="votes by which a call must lead; 1 takes the first answer")
    parser.add_argument("--folder", type=Path, help="where the database and the journal are kept")
    args = parser.parse_args()
    folder = args.folder or Path(f"agent-k{args.k}")
    folder.mkdir(exist_ok=True)
    database, journal = folder / "warehouse.db", folder / "journal.db"
    fill(str(database))
    try:
        result = unerring.run(tidy, args.model or clerk, journal, k=args.k, args=[str(database)])
    except unerring.UnerringError as error:
        print(error)  # after a stop the same command again continues
        return 3 if isinstance(error, unerring.Stopped) else 2
    for item, source, target, count in result.answer:
        print(f"moved {count} {item} from shelf {source} to {target}")
    lots = look(str(database))
    print("\n" + "\n".join(f"shelf {shelf}: {count} {item}" for shelf, item, count, _ in lots))
    decided = list(unerring.steps(journal))
    firsts = [next(sample.choice for sample in step.samples if sample.flag is None) for step in decided]
    wrong = sum(step.choice != first for step, first in zip(decided, firsts, strict=True))
    outvoted = f"; the first vote was wrong {wrong} times" if args.k > 1 else ", each decided by its first answer"
    print(f"\n{len(decided)} calls, {sum(step.votes for step in decided)} votes{outvoted}")
    in_order = all(shelf == home for shelf, _, _, home in lots)
    print(f"in order: {'yes' if in_order else 'NO'}")
    return 0 if in_order else 1


if __name__ == "__main__":
    sys.exit(main())
