"""The record that docs/record publishes, and the script that makes one."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def script(name, *arguments):
    """Run one of the benchmarks' scripts."""
    command = [sys.executable, ROOT / "benchmarks" / name, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_the_published_moves_solve_the_puzzle():
    """Every one of the record's 1,048,575 moves is legal, and they bring all 20 disks to the last peg."""
    done = script("record.py", "--replay", ROOT / "docs" / "record" / "moves.txt.xz")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "1,048,575 legal moves; all 20 disks on peg 2\n"


def test_a_record_is_made_and_verified(tmp_path):
    """On a small puzzle, the record's script leaves a verified journal and its events; again, it changes nothing."""
    for _ in range(2):
        done = script("million.py", "--folder", tmp_path, "--disks", 7, "--raw-seconds", 0.2)
        assert (done.returncode, done.stderr) == (0, "")
        assert "127 steps" in done.stdout
        assert "zero errors" in done.stdout
    events = [json.loads(line)["event"] for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert events == ["raw", "session", "first", "finished", "raw"]
