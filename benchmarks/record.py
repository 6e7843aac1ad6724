"""Write the record's pages (docs/record) from the folder of `benchmarks/million.py`.

    python benchmarks/record.py [--folder million] [--out docs/record]     # write them
    python benchmarks/record.py --replay docs/record/moves.txt.xz          # replay all moves by the rules of the game

The pages also show what the same models do without an ensemble: single samples, greedy decoding, one member's votes
alone, and the drafting model.
"""

import argparse
import asyncio
import hashlib
import json
import lzma
import os
import platform
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import unerring
from common import MEGABYTE
from million import Events
from unerring.adapters.embedded.catalog import EMBEDDED_POLICY, MEMBERS
from unerring.adapters.embedded.sampler import EmbeddedDrafter, EmbeddedSampler
from unerring.api.calibration.calibration_files import shipped_calibration
from unerring.core.planning.assumptions import measured_assumptions
from unerring.core.planning.races import PlannedJob, expected_races, margin_plan
from unerring.core.voting.canonical import canonical
from unerring.core.voting.race import AheadBy, Race, Won, rule_named
from unerring.core.voting.redflag import RedFlag
from unerring.core.voting.sample import Settings
from unerring.processes.hanoi import Move, moved
from unerring.runtime.baseline import derailed_at
from unerring.runtime.protocols import Sampler

DISKS = 20
SEEDS = range(4)
LAST_PART = 2**DISKS - 1 - 900_000  # from here on memory must not grow


def moves_of(journal: Path) -> Iterator[str]:
    """Every move of the run, as a line `disk from to`."""
    for decided in unerring.steps(journal):
        disk, source, target = decided.choice["move"]
        yield f"{disk} {source} {target}\n"


def replay(file: Path) -> int:
    """Replay the moves of a record by the rules of the game alone; returns the exit status."""
    pegs, count = [list(range(DISKS, 0, -1)), [], []], 0
    with lzma.open(file, "rt", encoding="ascii") as lines:
        for line in lines:
            pegs = moved(pegs, Move(*map(int, line.split())))  # raises IllegalMove
            count += 1
    right = len(pegs[2]) == DISKS
    print(f"{count:,} legal moves; {'all' if right else 'NOT all'} {DISKS} disks on peg 2")
    return 0 if right else 1


async def voted_alone(spec: str, most: int) -> int | None:
    """The first step that a member's own votes decide wrongly or leave open; None if there is none."""
    game, sampler, policy = unerring.Hanoi(DISKS), EmbeddedSampler(spec), EMBEDDED_POLICY
    state = game.start()
    try:
        for step in range(min(most, game.length())):
            race: Race[str] = Race(policy.rule, policy.vote_cap)
            subtask, slot = game.subtask(state), 0
            assert subtask is not None
            while (missing := race.missing()) and slot < policy.vote_cap * policy.flag_cap:
                settings = Settings(1.0, policy.flags.max_output_tokens, 0, step, slot)
                for sample in await sampler.sample(subtask.first_wording(compact=True), settings, missing):
                    slot += 1
                    try:
                        if policy.flags.screen(sample) is None:
                            race.tell(canonical(subtask.parse(sample.text)))
                    except RedFlag:
                        continue
            truth = game.truth(state)
            if race.verdict != Won(canonical(truth)):
                return step
            state = game.advance(state, truth)
    finally:
        sampler.close()
    return None


def alone(most: int) -> dict[str, Any]:
    """How far each way of going without the ensemble's votes gets: the step that went wrong, or None."""
    game = unerring.Hanoi(DISKS)

    def derails(sampler: Sampler, temperature: float, seed: int) -> int | None:
        return asyncio.run(derailed_at(game, sampler, temperature, seed, most))

    found: dict[str, Any] = {"followed": min(most, game.length()), "single": {}, "greedy": {}, "votes": {}}
    for name in MEMBERS:
        spec = f"embedded/{name}"
        sampler = EmbeddedSampler(spec)
        found["single"][spec] = [derails(sampler, 1.0, seed) for seed in SEEDS]
        found["greedy"][spec] = derails(sampler, 0.0, 0)
        sampler.close()
        found["votes"][spec] = asyncio.run(voted_alone(spec, most))
    found["drafter"] = derails(EmbeddedDrafter("embedded/draft"), 0.0, 0)
    return found


def paced(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Wall time, memory and resuming, from the run's events."""
    sessions, current = [], []
    for one in events:
        if one["event"] == "session":
            current = [one]
            sessions.append(current)
        elif current and one["event"] != "raw":
            current.append(one)
    marks = [[one for one in session if one["event"] == "steps"] for session in sessions]
    longest = [one for one in max(marks, key=len) if one["steps"] >= LAST_PART]
    raw = [max(one["rates"].values()) for one in events if one["event"] == "raw"]
    return {
        "sessions": len(sessions),
        "stops": [one["reason"] for one in events if one["event"] == "stopped"],
        "killed_at": [one["steps"] for one in events if one["event"] == "killed"],
        "resumed_in_seconds": [s[1]["took"] for s in sessions[1:] if len(s) > 1 and s[1]["event"] == "first"],
        "wall_seconds": sum(session[-1]["time"] - session[0]["time"] for session in sessions),
        "longest_session": {"from": longest[0]["steps"], "to": longest[-1]["steps"]},
        "rss_growth_mb": longest[-1]["rss"] - longest[0]["rss"],
        "rss_peak_mb": max(one["rss"] for mark in marks for one in mark),
        "steady_votes_per_second": _rate(longest),
        "raw_answers_per_second": raw,
    }


def _rate(marks: list[dict[str, Any]]) -> float:
    first, last = marks[0], marks[-1]
    return float((last["samples"] - first["samples"]) / (last["took"] - first["took"]))


def machine() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": f"{model}, {os.cpu_count()} cores",
        "memory_gib": round(memory, 1),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "software": {name: version(name) for name in ("unerring", "ctranslate2", "numpy")},
    }


def gathered(folder: Path, most: int) -> dict[str, Any]:
    """All figures of the record."""
    journal = folder / "journal.db"
    started = time.perf_counter()
    found = unerring.verify(journal)
    took = time.perf_counter() - started
    pace = paced(Events(folder / "events.jsonl").read())
    report = unerring.report(journal)
    received, size = report["samples"]["received"], journal.stat().st_size
    return {
        "machine": machine(),
        "verified": {"steps": found.steps, "entries": found.entries, "problem": found.problem, "seconds": took},
        "pace": pace,
        "votes_per_second": received / pace["wall_seconds"],
        "of_raw": pace["steady_votes_per_second"] / (sum(pace["raw_answers_per_second"]) / 2),
        "journal": {
            "bytes": size,
            "bytes_per_vote": size / received,
            "sha256": hashlib.sha256(journal.read_bytes()).hexdigest(),
        },
        "report": report,
        "alone": alone(most),
    }


def page(record: dict[str, Any]) -> str:
    """The record for people."""
    report, pace, journal = record["report"], record["pace"], record["journal"]
    samples, ahead = report["samples"], report["speculation"]
    raw = sum(pace["raw_answers_per_second"]) / len(pace["raw_answers_per_second"])
    rows = [
        ("steps, each building on the one before", f"{report['steps']:,}"),
        ("wrong steps", "**0**" if record["verified"]["problem"] is None else record["verified"]["problem"]),
        ("wall time", f"{pace['wall_seconds'] / 60:.1f} minutes in {pace['sessions']} sessions"),
        ("killed (SIGKILL) after step", ", ".join(f"{step:,}" for step in pace["killed_at"])),
        ("from restart to next decided step", ", ".join(f"{took:.1f} s" for took in pace["resumed_in_seconds"])),
        ("samples", f"{samples['received']:,}: {samples['voted']:,} votes, {samples['flagged']:,} red-flagged"),
        ("red flags", ", ".join(f"{cause}: {count:,}" for cause, count in report["flags"].items())),
        ("votes a step", f"{report['votes_per_step']:.4f}"),
        ("steps with a dissenting vote", f"{report['disagreements']:,}"),
        ("steps whose first two votes both lost", f"{report['collisions']:,}"),
        ("steps asked ahead", f"{ahead['steps_ahead']:,}, in runs of {ahead['mean_run']:,.0f} on average"),
        ("samples wasted by wrong guesses", f"{ahead['wasted']:,} ({ahead['waste']:.3%})"),
        ("samples a second, longest session", f"{pace['steady_votes_per_second']:,.0f}"),
        (
            "answers a second of the model alone, before and after",
            f"{raw:,.0f}; ratio {record['of_raw']:.2f}",
        ),
        ("journal", f"{journal['bytes'] / MEGABYTE:,.0f} MB, {journal['bytes_per_vote']:.1f} bytes a sample"),
        ("memory", f"{pace['rss_peak_mb']:.0f} MB at most; {pace['rss_growth_mb']:+.1f} MB {_between(pace)}"),
        ("verified offline in", f"{record['verified']['seconds']:.0f} s"),
        ("SHA-256 of the journal", f"`{journal['sha256']}`"),
    ]
    figures = "\n".join(f"| {name} | {figure} |" for name, figure in rows)
    computer = record["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in computer["software"].items())
    return f"""# The record: 1,048,575 dependent steps, zero errors

The language models that ship in the package solved Towers of Hanoi with 20 disks. Each step was decided by a vote
among the answers of three small models, and each question follows from the step before. The known solution was never
used: votes decided every step, and a drafting model that never votes made the guesses from which later steps were
asked ahead.

To repeat it (about {pace["wall_seconds"] / 60:.0f} minutes on such a machine; it continues where Ctrl-C stopped it):

```
make million
```

Machine: {computer["processor"]}, {computer["memory_gib"]} GiB, {computer["system"]}; {versions}.

| | |
|---|---|
{figures}

## Votes

| tally | steps |
|---|---|
{_table(report["tallies"])}

| rounds | steps |
|---|---|
{_table(report["rounds_histogram"])}

The hardest steps: {_hardest(report)}
{_stops(pace)}
{_foretold(report)}

| voter | votes | red flags |
|---|---|---|
{_voters(report)}

## Each model without the votes of the others

{_alone(record["alone"])}

## Files

- [record.json](record.json): all measured figures, those above and more.
- [moves.txt.xz](moves.txt.xz): all moves, one a line (disk, from, to). `python benchmarks/record.py --replay
  docs/record/moves.txt.xz` replays them by the rules of the game.
- [verify.txt](verify.txt): the output of `unerring verify` on the journal.

Written by `python benchmarks/record.py` from the run's journal.
"""


def _between(pace: dict[str, Any]) -> str:
    return f"from step {pace['longest_session']['from']:,} to {pace['longest_session']['to']:,} in one process"


def _table(counts: dict[str, int]) -> str:
    return "\n".join(f"| {name} | {count:,} |" for name, count in counts.items())


def _hardest(report: dict[str, Any]) -> str:
    text = (
        f"{one['step']:,} ({'-'.join(map(str, one['tally']))}, {one['flags']} flagged, {one['rounds']} rounds)"
        for one in report["hardest"]
    )
    return "; ".join(text) + "."


def _stops(pace: dict[str, Any]) -> str:
    """Why the run stopped by itself, where it did."""
    if not pace["stops"]:
        return ""
    return (
        f"\nThe run stopped by itself: {'; '.join(pace['stops'])}. On this step one member is always wrong, one is "
        "always right, and one nearly always gives malformed answers, so that its few votes decide. The run was "
        "resumed with a higher cap (`unerring resume million/journal.db --vote-cap 300`), which has been the default "
        "of the embedded model since.\n"
    )


def _foretold(report: dict[str, Any]) -> str:
    """How probable the record was, by the calibration that ships with the model."""
    calibration = shipped_calibration("embedded")
    assert calibration is not None
    assumed, job, rule = (
        measured_assumptions(calibration),
        PlannedJob(report["steps"]),
        rule_named(report["policy"]["rule"]),
    )
    assert isinstance(rule, AheadBy)
    chance = expected_races(assumed, rule, job).success(job)
    planned = margin_plan(assumed, job).rule
    assert isinstance(planned, AheadBy)
    pilot = f"the pilot of {calibration.samples:,} samples that ships with the model"
    return f"""How probable was this result? According to {pilot}, k = {rule.k} decides
all {job.steps:,} steps correctly with a probability of {chance:.2f}, if all wrong votes on a step agree. For 95 %,
`unerring plan --model embedded --steps {job.steps}` plans k = {planned.k}."""


def _voters(report: dict[str, Any]) -> str:
    return "\n".join(f"| {one['name']} | {one['votes']:,} | {one['flags']:,} |" for one in report["voters"])


def _alone(alone: dict[str, Any]) -> str:
    """How far each got, as a table."""

    def first_wrong(step: int | None) -> str:
        return f"right for {alone['followed']:,}" if step is None else f"wrong at {step:,}"

    lines = ["| | single samples, four seeds | greedy | voting alone, same rule |", "|---|---|---|---|"]
    for name, steps in alone["single"].items():
        single = ", ".join(first_wrong(step).removeprefix("wrong at ") for step in steps)
        greedy, votes = first_wrong(alone["greedy"][name]), first_wrong(alone["votes"][name])
        lines.append(f"| {name} | wrong at {single} | {greedy} | {votes} |")
    lines.append(f"| embedded/draft, which only drafts guesses | | {first_wrong(alone['drafter'])} | |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("million"))
    parser.add_argument("--out", type=Path, default=Path("docs/record"))
    parser.add_argument("--most", type=int, default=100_000, help="steps to follow the others for")
    parser.add_argument("--replay", type=Path, metavar="MOVES", help="only replay the moves of a record")
    args = parser.parse_args()
    if args.replay is not None:
        return replay(args.replay)
    record = gathered(args.folder, args.most)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "record.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (args.out / "README.md").write_text(page(record), encoding="utf-8")
    with lzma.open(args.out / "moves.txt.xz", "wt", encoding="ascii") as out:
        out.writelines(moves_of(args.folder / "journal.db"))
    verified = record["verified"]
    text = f"{verified['entries']:,} entries, chain of hashes intact; {verified['steps']:,} steps committed"
    (args.out / "verify.txt").write_text(f"{text}: {verified['problem'] or 'zero errors'}.\n", encoding="utf-8")
    return 0 if verified["problem"] is None else 1


if __name__ == "__main__":
    sys.exit(main())
