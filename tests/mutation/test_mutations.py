"""Small changes to the core and the journal make tests fail: a seeded sample of them, each tried alone.

`UNERRING_MUTANTS=200 pytest -m slow tests/mutation` tries more of them, `UNERRING_MUTANTS_SEED` others. A mutant is
found when a test fails or takes too long. Some mutants have no visible effect, so that not all can be.
"""

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COPIED = ("src", "tests", "examples", "docs", "benchmarks", "training", "pyproject.toml", "README.md", "Makefile")
SOURCE = Path("src/unerring")
PURE = ("runtime/calls/rate_control.py", "runtime/calls/throughput.py", "runtime/speculation/forecast.py")
JOURNAL = ("writer", "head", "schema", "reader")
COUNT = int(os.environ.get("UNERRING_MUTANTS", "36"))
SEED = int(os.environ.get("UNERRING_MUTANTS_SEED", "1"))
LEAST_FOUND = 0.80  # of the mutants tried: 38 of 45 (84 %) at first, and 4 of the other 7 have tests since
TEST_SECONDS = 3600.0  # each test has its own time limit besides
# What is run where the tests of the changed module alone notice nothing: all that is quick and in this process.
WIDER = (
    *("tests/core", "tests/laws", "tests/contracts", "tests/runtime", "tests/processes", "tests/golden"),
    *(f"tests/adapters/sqlite/test_journal_{name}.py" for name in ("head", "damage", "seals", "places")),
    *(f"tests/api/test_{name}.py" for name in ("resuming", "running", "calibrating")),
    "tests/api/journals/test_review.py",
    *("tests/adapters/sqlite/test_sqlite_journal.py", "tests/cli/text/test_report_text.py"),
)
log = logging.getLogger(__name__)


class Workshop:
    """A copy of the repository in which one file at a time is changed, and tests are run."""

    def __init__(self, folder: Path) -> None:
        self.root, self._caches, self._time = folder / "copy", folder / "caches", 1_700_000_000
        self.said = ""  # what the last run of tests printed
        self.root.mkdir()
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, self.root / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif (ROOT / name).exists():
                shutil.copy(ROOT / name, self.root / name)

    def write(self, path: Path, code: str) -> None:
        """Change a file. Each change has a time of its own: Python's caches go by whole seconds and length."""
        self._time += 2
        (self.root / path).write_text(code, encoding="utf-8")
        os.utime(self.root / path, (self._time, self._time))

    def passes(self, *tests: str, processes: int = 0) -> bool:
        """Whether these tests pass within their time limit."""
        environment = os.environ | {"PYTHONPATH": str(self.root / "src"), "PYTHONPYCACHEPREFIX": str(self._caches)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        options = ["-x", "-q", "-p", "no:cacheprovider", "-n", str(processes)]
        command = [sys.executable, "-m", "pytest", *options, *(test for test in tests if (self.root / test).exists())]
        try:
            done = subprocess.run(
                command,
                cwd=self.root,
                env=environment,
                capture_output=True,
                text=True,
                timeout=TEST_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            self.said = "took too long"
            return False
        self.said = done.stdout
        return done.returncode == 0

    def tests_of(self, path: Path) -> list[str]:
        """The test files that import a module by its name, besides those that are slow."""
        module = ".".join(path.with_suffix("").parts[1:])
        places = [place for room in WIDER for place in sorted((self.root / room).rglob("test_*.py"))]
        places += [self.root / room for room in WIDER if room.endswith(".py")]
        found = [place for place in places if f"{module} import" in place.read_text(encoding="utf-8")]
        return [str(place.relative_to(self.root)) for place in dict.fromkeys(found)]

    def noticed_by(self, mutant, code: str) -> str:
        """The failures with one mutant in place, as pytest prints them; empty if every test passes."""
        self.write(mutant.path, mutant.applied(code))
        try:
            own = self.tests_of(mutant.path)
            if (not own or self.passes(*own)) and self.passes(*WIDER, processes=2):
                return ""
            failed = [line for line in self.said.splitlines() if line.startswith(("FAILED", "ERROR"))]
            return failed[0] if failed else self.said.strip().rpartition("\n")[2] or "nothing could be run"
        finally:
            self.write(mutant.path, code)


def test_all_files_that_mutants_are_tried_on_and_by_exist():
    """A moved file is noticed here, and not after the first minutes of the slow test."""
    sources = [SOURCE / name for name in (*PURE, *(f"adapters/sqlite/{name}.py" for name in JOURNAL))]
    assert [str(path) for path in (*sources, *map(Path, WIDER)) if not (ROOT / path).exists()] == []


@pytest.mark.slow
@pytest.mark.timeout(6 * 3600)
def test_the_suite_notices_small_changes(tmp_path, capfd):
    """Of a seeded sample of small changes to the core and the journal, at least the recorded share is noticed."""
    pytest.importorskip("cosmic_ray")
    from mutants import drawn

    shop = Workshop(tmp_path)
    assert shop.passes(*WIDER, processes=2), f"the tests fail without any change:\n{shop.said}"
    core = sorted(path.relative_to(ROOT) for path in (ROOT / SOURCE / "core").rglob("*.py"))
    core += [SOURCE / name for name in PURE]
    journal = [SOURCE / f"adapters/sqlite/{name}.py" for name in JOURNAL]
    mutants = [
        *drawn(shop.root, core, COUNT - COUNT // 4, SEED),
        *drawn(shop.root, journal, COUNT // 4, SEED),
    ]
    missed = []
    for number, mutant in enumerate(mutants, 1):
        code = (shop.root / mutant.path).read_text(encoding="utf-8")
        found = shop.noticed_by(mutant, code)
        missed += [] if found else [mutant.described(code)]
        outcome = f"{'found ' if found else 'MISSED'} {mutant.described(code)}  {found[:150]}".rstrip()
        with capfd.disabled():
            print(f"{number}/{len(mutants)} {outcome}", flush=True)  # noqa: T201
    score = 1.0 - len(missed) / len(mutants)
    lines = "\n".join(missed)
    log.info("mutants: %d of %d found (%.0f %%)", len(mutants) - len(missed), len(mutants), 100 * score)
    assert score >= LEAST_FOUND, f"{len(missed)} of {len(mutants)} small changes are noticed by no test:\n{lines}"
