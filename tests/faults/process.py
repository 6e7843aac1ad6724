"""Run the server in a separate process: `running("--model", "noise=noise:p=0.9")` as a context manager."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Running:
    """A server in another process: its base URL for clients, and its process."""

    url: str
    process: subprocess.Popen[str]

    def ledger(self, entries: bool = True) -> dict[str, Any]:
        """The ledger so far, as JSON data; its totals alone without `entries`."""
        with urlopen(f"{self.url}/ledger{'' if entries else '?totals'}", timeout=PATIENCE_SECONDS) as reply:  # noqa: S310
            return json.load(reply)


@contextmanager
def running(*arguments: object) -> Iterator[Running]:
    """Run `python -m faults` with these arguments until the block ends. It ends with this process, too."""
    command = [sys.executable, "-m", "faults", "--while-stdin", *map(str, arguments)]
    with subprocess.Popen(
        command, cwd=Path(__file__).parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            if not url:
                raise RuntimeError("the server did not start; its error is above")
            yield Running(url, process)
        finally:
            process.terminate()
