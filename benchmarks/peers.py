"""Votes a second of the same loop in unerring, in LangGraph and in DBOS, all durable in SQLite.

    python3 -m venv /tmp/peers && /tmp/peers/bin/pip install -e . -r benchmarks/requirements.txt
    /tmp/peers/bin/python benchmarks/peers.py [--steps N] [--rounds N]

The loop: a chain of dependent steps, each decided by the first answer to be 3 votes ahead, from a sampler that answers
at once, so that only the frameworks are measured. Every loop runs in a new process, is warmed up first, and is timed
in every round; its best round counts, because other load only slows it. Compare the ratios.

The headline uses the fastest form of each framework: one durable step for each *chain* step, with the voting in plain
Python inside it. LangGraph: one node, looping through a conditional edge, SqliteSaver, durability "sync" (its word
for: written before the next step begins). DBOS: one @DBOS.step, its SQLite file put in WAL mode beforehand (its
default is a rollback journal). In this form only verdicts are durable, and their votes are not kept. unerring
keeps every vote; the forms that do the same have one node, or one @DBOS.step, for each *vote*.

Much of the ratio comes from one difference. Where asking again costs nothing (a free sampler) unerring makes votes
durable in groups, every 50 ms or 512 entries; a crash loses at most those, and the very same are drawn again. The
peers wait for the disk at each step; LangGraph's nearest to a group is its durability "async" (written while the next
step runs). For a paid model unerring waits as well: what is about to be asked, and all that led to it, is durable
before each call. The line "intent before each call" is that: its ratios are those of strict durability on both sides.
"""

import json
import logging
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import unerring
from common import Counter, Instant, Row, give_out, in_fresh_process, instant_answer, one_at_a_time, parser_for, voted
from unerring.core.voting.canonical import parsed
from unerring.core.voting.race import AheadBy, Race, Won

K = 3
WARM_UP = 30  # steps
AT_LEAST = 10.0  # times a peer's votes a second, in its kindest form
VOTES_PER_SECOND = 10_000


def run_unerring(steps: int, folder: Path) -> float:
    return _unerring(steps, folder, paid=False)


def run_unerring_paid(steps: int, folder: Path) -> float:
    return _unerring(steps, folder, paid=True)


def _unerring(steps: int, folder: Path, paid: bool) -> float:
    unerring.run(Counter(WARM_UP), Instant(paid), folder / "warm.db", k=K, options=one_at_a_time())
    started = time.perf_counter()
    result = unerring.run(Counter(steps), Instant(paid), folder / "run.db", k=K, options=one_at_a_time())
    seconds = time.perf_counter() - started
    assert result.state == steps
    return seconds


class AtStep(TypedDict):
    """What LangGraph carries along: the chain's state, and nothing that grows."""

    at: int


class AtVote(TypedDict):
    """The same where a node draws one vote: the votes of the open step ride along."""

    at: int
    votes: list[str]


def run_langgraph_sync(steps: int, folder: Path) -> float:
    return _langgraph(steps, folder, AtStep, _step_node(steps + WARM_UP), "sync")


def run_langgraph_async(steps: int, folder: Path) -> float:
    return _langgraph(steps, folder, AtStep, _step_node(steps + WARM_UP), "async")


def run_langgraph_votes(steps: int, folder: Path) -> float:
    return _langgraph(steps, folder, AtVote, vote_node, "sync")


def _step_node(longest: int) -> Callable[[AtStep], AtStep]:
    chain = Counter(longest)

    def decide(state: AtStep) -> AtStep:
        subtask = chain.subtask(state["at"])
        assert subtask is not None
        return {"at": chain.advance(state["at"], voted(subtask, K))}

    return decide


def vote_node(state: AtVote) -> AtVote:
    votes = [*state["votes"], instant_answer(str(state["at"]))]
    choice = won(votes)
    return {"at": state["at"], "votes": votes} if choice is None else {"at": choice, "votes": []}


def won(votes: list[str]) -> int | None:
    """The choice that these votes decide, or None as long as they decide nothing."""
    race: Race[str] = Race(AheadBy(K))
    for vote in votes:
        race.tell(vote)
    return parsed(race.verdict.choice) if isinstance(race.verdict, Won) else None


def _langgraph(steps: int, folder: Path, schema: type, node: Callable[..., Any], durability: str) -> float:
    from langgraph.checkpoint.sqlite import SqliteSaver
    from langgraph.graph import END, START, StateGraph

    def timed(length: int, saver: SqliteSaver) -> float:
        graph = StateGraph(schema)
        graph.add_node("decide", node)
        graph.add_edge(START, "decide")
        graph.add_conditional_edges("decide", lambda state: END if state["at"] == length else "decide")
        runnable = graph.compile(checkpointer=saver)
        config = {"configurable": {"thread_id": f"{length}"}, "recursion_limit": length * K + 10}
        start = {"at": 0, "votes": []} if schema is AtVote else {"at": 0}
        started = time.perf_counter()
        last = runnable.invoke(start, config, durability=durability)
        seconds = time.perf_counter() - started
        assert last["at"] == length
        return seconds

    with SqliteSaver.from_conn_string(str(folder / "langgraph.db")) as saver:
        timed(WARM_UP, saver)
        return timed(steps, saver)


def run_dbos(steps: int, folder: Path) -> float:
    return _dbos(steps, folder)


def run_dbos_default_settings(steps: int, folder: Path) -> float:
    return _dbos(steps, folder, wal=False)


def run_dbos_votes(steps: int, folder: Path) -> float:
    return _dbos(steps, folder, votes=True)


def _dbos(steps: int, folder: Path, votes: bool = False, wal: bool = True) -> float:
    logging.disable(logging.WARNING)  # it logs its start at length
    from dbos import DBOS

    file = folder / "dbos.db"
    if wal:
        with closing(sqlite3.connect(file)) as database:
            database.execute("PRAGMA journal_mode=WAL")  # the file remembers it
    DBOS(config={"name": "peers", "system_database_url": f"sqlite:///{file}"})

    @DBOS.step()
    def ask(at: int) -> str:
        return instant_answer(str(at))

    @DBOS.step()
    def decide(at: int) -> int:
        return voted(unerring.Subtask(f"{at}", json.loads), K)

    def decide_by_votes(at: int) -> int:
        drawn = [ask(at)]
        while (choice := won(drawn)) is None:
            drawn.append(ask(at))
        return choice

    @DBOS.workflow()
    def chain(length: int) -> int:
        at = 0
        while at != length:
            at = decide_by_votes(at) if votes else decide(at)
        return at

    DBOS.launch()
    chain(WARM_UP)
    started = time.perf_counter()
    last = chain(steps)
    seconds = time.perf_counter() - started
    DBOS.destroy()
    assert last == steps
    return seconds


@dataclass(frozen=True, slots=True)
class Loop:
    """One way to run the loop. `share` is the share of --steps that it does: the slow ones would take long."""

    name: str
    run: Callable[[int, Path], float]
    share: float = 0.1
    headline: bool = False


LOOPS = (
    Loop("unerring, free sampler", run_unerring, share=1.0),
    Loop("unerring, intent before each call", run_unerring_paid),
    Loop("LangGraph, one node per step, sync", run_langgraph_sync, headline=True),
    Loop("LangGraph, one node per step, async", run_langgraph_async),
    Loop("LangGraph, one node per vote, sync", run_langgraph_votes),
    Loop("DBOS, one DBOS.step per step, WAL mode", run_dbos, headline=True),
    Loop("DBOS, one DBOS.step per step, default settings", run_dbos_default_settings),
    Loop("DBOS, one DBOS.step per vote, WAL mode", run_dbos_votes),
)


def missing() -> str | None:
    """One line that says what to install, or None if all is here."""
    try:
        import dbos  # noqa: F401
        import langgraph.checkpoint.sqlite
        import langgraph.graph  # noqa: F401
    except ImportError as error:
        return (
            f"the peers are not all installed ({error}): python3 -m venv /tmp/peers && /tmp/peers/bin/pip install "
            "-e . -r benchmarks/requirements.txt, then run this script with /tmp/peers/bin/python"
        )
    return None


def rates_of(steps: int, rounds: int) -> dict[str, float]:
    """Votes a second of every loop: the best of the rounds, which take the loops in turn."""
    seen: dict[str, list[float]] = {loop.name: [] for loop in LOOPS}
    for number in range(1, rounds + 1):
        for loop in LOOPS:
            length = max(1, int(steps * loop.share))
            with tempfile.TemporaryDirectory() as folder:
                seconds = in_fresh_process(loop.run, length, Path(folder))
            seen[loop.name].append(length * K / seconds)
            print(f"round {number}  {loop.name:<48}{seen[loop.name][-1]:>10,.0f} votes/s", flush=True)
    return {name: max(rates) for name, rates in seen.items()}


def rows_of(rates: dict[str, float]) -> list[Row]:
    own = rates[LOOPS[0].name]
    rows = [
        Row(
            "votes a second, durable journal, instant free sampler",
            f"{own:,.0f}",
            f"≥ {VOTES_PER_SECOND:,}",
            own >= VOTES_PER_SECOND,
        )
    ]
    for loop in LOOPS[2:]:
        ratio = own / rates[loop.name]
        claim = (f"≥ {AT_LEAST:.0f} times", ratio >= AT_LEAST) if loop.headline else ("", None)
        rows.append(
            Row(
                f"votes a second, relative to {loop.name}",
                f"{ratio:.1f} times ({rates[loop.name]:,.0f} votes/s)",
                *claim,
            )
        )
    paid = rates[LOOPS[1].name]
    against = ", ".join(f"{paid / rates[loop.name]:.1f} times {loop.name}" for loop in LOOPS if loop.headline)
    return [*rows, Row("votes a second, intent durable before each call", f"{paid:,.0f} ({against})")]


def main() -> int:
    parser = parser_for(__doc__)
    parser.add_argument("--steps", type=int, default=20_000, help="steps of the fast loop; the others do a tenth")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if (line := missing()) is not None:
        print(line, file=sys.stderr)
        return 2
    rates = rates_of(args.steps, args.rounds)
    own = rates[LOOPS[0].name]
    print(f"\nbest of {args.rounds}")
    for name, rate in rates.items():
        print(f"{name:<38}{rate:>10,.0f} votes/s   unerring is {own / rate:5.1f} times as fast")
    from importlib.metadata import version

    peers = {name: version(name) for name in ("langgraph", "langgraph-checkpoint-sqlite", "dbos")}
    figures = {"steps": args.steps, "rounds": args.rounds, "votes_per_second": rates, "peers": peers}
    return give_out(args, figures, rows_of(rates))


if __name__ == "__main__":
    sys.exit(main())
