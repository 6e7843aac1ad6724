"""The agent of the examples in a process of its own, to be killed: python crash_agent.py FOLDER [options].

The folder has the warehouse, the journal, the ledger of the paid model, and a log of side effects: each is written
there with its arguments and its key, and fsynced, before it is made. At its end the answer is written there too. Exits
with 0 when the run is done and with 3 when it stopped.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from crash_driver import LedgerSampler

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

import agent
import unerring
from unerring.adapters.function import FunctionSampler

WHERE = ["before", "within", "after"]  # of the transaction that makes the change


async def job(folder: str) -> list[Any]:
    """The agent, and a side effect at its end that must not be made twice."""
    moves = await agent.tidy(f"{folder}/warehouse.db")
    return [moves, await unerring.act(publish, folder, len(moves), once=True)]


def publish(folder: str, moves: int) -> str:
    """Add a line to a file."""
    with Path(folder, "published").open("a") as file:
        file.write(f"{moves} moves\n")
    return "published"


class Effects:
    """Log the side effects, and kill the process at one of them."""

    def __init__(self, log: Path, die_in: int | None, where: str) -> None:
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._die_in, self._where = die_in, where
        self._count = 0

    def logged(self, function: Callable[..., Any], takes_key: bool = True) -> Callable[..., Any]:
        """A function under the same name that is logged."""

        def run(*arguments: Any, key: str) -> Any:
            self._count += 1
            line = {"name": function.__name__, "arguments": arguments[1:], "key": key}  # without the folder
            os.write(self._log, json.dumps(line).encode() + b"\n")
            os.fsync(self._log)
            self.reach("before")
            result = function(*arguments, **({"key": key} if takes_key else {}))
            self.reach("after")
            return result

        run.__qualname__ = function.__qualname__
        return run

    def reach(self, where: str) -> None:
        """Be killed where that is asked for."""
        if (self._count, self._where) == (self._die_in, where):
            os.kill(os.getpid(), signal.SIGKILL)

    def opening(self, opened: Callable[[str], Any]) -> Any:
        """The agent's transaction, where the process may be killed when all changes are made and none is durable."""

        @contextmanager
        def transaction(database: str) -> Iterator[Connection]:
            with opened(database) as store:
                yield store
                self.reach("within")

        return transaction


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--die-in", type=int, help="the number of a side effect of this process, from 1")
    parser.add_argument("--where", choices=WHERE, default="before")
    parser.add_argument("--speculate", default="off")
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--in-flight", type=int, default=256)
    options = parser.parse_args()
    folder = options.folder
    agent.fill(str(folder / "warehouse.db"))
    effects = Effects(folder / "effects", options.die_in, options.where)
    agent.opened = effects.opening(agent.opened)
    agent.look = effects.logged(agent.look, takes_key=False)
    agent.move = effects.logged(agent.move)
    own = import_module("crash_agent")  # so that the function goes by a name that can be imported
    own.publish = effects.logged(own.publish, takes_key=False)
    how = unerring.Options(speculate=options.speculate, in_flight=options.in_flight, grace=120.0)
    model = LedgerSampler(FunctionSampler(agent.clerk), folder / "ledger", options.latency)
    try:
        found = unerring.run(own.job, model, folder / "run.db", k=3, args=[str(folder)], options=how)
    except unerring.Stopped as error:
        sys.stderr.write(f"{error}\n")
        return 3
    (folder / "answer.json").write_text(json.dumps(found.answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
