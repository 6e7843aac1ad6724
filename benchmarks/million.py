"""Make the record: Towers of Hanoi with 20 disks, 1,048,575 dependent steps, on the embedded model, then verified.

    python benchmarks/million.py [--folder million]

The right answers are not used to decide, to guess or to stop: choices come from votes, guesses from a drafting model.
The process is killed (SIGKILL) at set steps and the run resumed. Ctrl-C stops it cleanly; the same command
continues. The folder gets the journal and events.jsonl: sessions, kills, memory and pace, and the rate of the bare
engine, measured before and after. `python benchmarks/record.py` makes the record's pages.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any

import ctranslate2

import unerring
from common import resident
from unerring.adapters.embedded.catalog import MEMBERS, WEIGHTS_FOLDER
from unerring.adapters.embedded.engine import MAX_ANSWER_TOKENS, core_count
from unerring.adapters.embedded.tokenizer import read_tokenizer
from unerring.core.journal.decided_step import DecidedStep
from unerring.core.journal.state import RunState

K = 3  # as the record was made; a plan for 95 % takes more: unerring plan --model embedded --steps 1048575
EVERY = 10_000  # steps between notes of memory and pace
KILLS = (30_000, 60_000, 90_000, 1_040_000)  # after the last, nearly all of the journal is read back
RAW_SECONDS = 20.0


class Events:
    """A file of events, one JSON object a line, each with its time."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def note(self, event: str, **figures: Any) -> None:
        with self._file.open("a", encoding="utf-8") as out:
            out.write(json.dumps({"event": event, "time": time.time(), **figures}) + "\n")

    def read(self) -> list[dict[str, Any]]:
        if not self._file.exists():
            return []
        return [json.loads(line) for line in self._file.read_text(encoding="utf-8").splitlines()]

    def count(self, event: str) -> int:
        return sum(one["event"] == event for one in self.read())


class Notes:
    """An observer that notes the first step of a session, and memory and pace every `EVERY` steps."""

    def __init__(self, events: Events, started: float) -> None:
        self._events = events
        self._started = started
        self._first = True

    def decided(self, decided: DecidedStep, state: RunState) -> None:
        if self._first or state.committed % EVERY == 0:
            event = "first" if self._first else "steps"
            took = time.time() - self._started
            self._events.note(event, steps=state.committed, samples=state.samples, rss=resident(), took=took)
            self._first = False


def session(folder: Path, disks: int, seed: int) -> int:
    """Run or resume in this process."""
    events, journal = Events(folder / "events.jsonl"), folder / "journal.db"
    started = time.time()
    options = unerring.Options(observer=Notes(events, started))
    events.note("session", pid=os.getpid())
    try:
        if journal.exists():
            unerring.resume(journal, options=options)
        else:
            unerring.run(unerring.Hanoi(disks), "embedded", journal, k=K, seed=seed, options=options)
    except unerring.Stopped as stopped:
        events.note("stopped", reason=str(stopped), took=time.time() - started)
        return 3
    events.note("finished", took=time.time() - started)
    return 0


def raw_rate(seconds: float, disks: int) -> dict[str, float]:
    """Answers a second of the bare engine on all cores, sampling as it does by itself, for two sizes of batches."""
    game, chance, tokenizer = unerring.Hanoi(disks), Random(1), read_tokenizer(WEIGHTS_FOLDER / "a")
    prompts = []
    for _ in range(512):
        subtask = game.subtask(game.state_at(chance.randrange(1, game.length())))
        assert subtask is not None
        prompts.append(["<s>", *tokenizer.words(tokenizer.encode(subtask.first_wording(compact=True)))])
    rates = {}
    for size in (32, 64):
        counts = [0] * core_count()
        until = time.perf_counter() + seconds / 2

        def work(thread: int, size: int = size, counts: list[int] = counts, until: float = until) -> None:
            models = [ctranslate2.Generator(str(WEIGHTS_FOLDER / name), intra_threads=1) for name in MEMBERS]
            for batch in _batches(prompts, size):
                if time.perf_counter() > until:
                    return
                models[counts[thread] // size % len(models)].generate_batch(
                    batch, max_length=MAX_ANSWER_TOKENS, sampling_topk=0, include_prompt_in_result=False
                )
                counts[thread] += size

        threads = [Thread(target=work, args=(number,)) for number in range(len(counts))]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rates[str(size)] = sum(counts) / (time.perf_counter() - started)
    return rates


def _batches(prompts: list[list[str]], size: int) -> Iterator[list[list[str]]]:
    while True:
        for at in range(0, len(prompts), size):
            yield prompts[at : at + size]


def watched(command: list[str], events: Events, kill_at: int | None) -> int:
    """Run one session in a process of its own; kill it once it has reached a step."""
    shown = len(events.read())
    with subprocess.Popen(command) as process:
        while (code := process.poll()) is None:
            time.sleep(0.05 if kill_at is not None else 1.0)
            for one in events.read()[shown:]:
                shown += 1
                if one["event"] not in ("first", "steps"):
                    continue
                print(f"step {one['steps']:,}: {one['took']:,.0f} s, {one['rss']:.1f} MB", flush=True)
                if kill_at is not None and one["steps"] >= kill_at:
                    process.send_signal(signal.SIGKILL)
                    events.note("killed", steps=one["steps"])
                    return process.wait()
        return code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("million"))
    parser.add_argument("--disks", type=int, default=20, help="fewer for a trial")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--raw-seconds", type=float, default=RAW_SECONDS, help="time to measure the bare engine for")
    parser.add_argument("--session", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    if args.session:
        return session(args.folder, args.disks, args.seed)
    events = Events(args.folder / "events.jsonl")
    if not events.count("raw"):
        events.note("raw", rates=raw_rate(args.raw_seconds, args.disks))
    command = [sys.executable, __file__, *sys.argv[1:], "--session"]
    kills = [step for step in KILLS if step < 2**args.disks - 1]
    try:
        while not events.count("finished"):
            done = events.count("killed")
            code = watched(command, events, kills[done] if done < len(kills) else None)
            if code not in (0, -signal.SIGKILL):
                return code
    except KeyboardInterrupt:
        print("stopped; the same command continues", file=sys.stderr)
        return 3
    if events.count("raw") < 2:
        events.note("raw", rates=raw_rate(args.raw_seconds, args.disks))
    found = unerring.verify(args.folder / "journal.db")
    print(f"{found.steps:,} steps, {found.entries:,} entries: {found.problem or 'verified, zero errors'}")
    return 0 if found.problem is None and found.finished else 1


if __name__ == "__main__":
    sys.exit(main())
