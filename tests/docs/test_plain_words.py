"""Code and documentation use plain words: a list of private words that must not come back."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]

BANNED = {  # patterns of words, each with what to write instead; a final s is allowed for
    "anew": "again",
    "anybody": "any person, any process",
    "bare loop": "plain loop",
    "became of": "the outcome of",
    "book": "accounting, ledger",
    "desk": "scheduler, accounting",
    "comes? to": "reaches, is, totals",
    "fate": "outcome",
    "folded": "applied, computed from",
    "for good(?! voter)": "permanently",
    "front door": "public functions, what users call",
    "go on|goes on|went on": "continue",
    "hangs? on": "depends on",
    "heard|hear": "received, counted",
    "kept out": "excluded",
    "in good order": "cleanly",
    "looks? again": "draws further votes",
    "mend(?:s|ed|ing)?": "repair, correct",
    "no news": "no reply",
    "nobody": "no person, no process",
    "next to no(?:ne|thing)?": "almost no",
    "out of form": "malformed, in the wrong format",
    "peace": "a pause",
    "rightly": "correctly",
    "seat": "an assignment",
    "somebody": "a person, another process",
    "surroundings": "a configuration",
    "told": "output, message, reported",
    "tells? of": "reports, logs",
    "tried out": "probed",
    "under way": "in flight (calls), in progress (a run)",
}
ALLOWED = {  # a file and a word that may stay in it, with the reason
    ("docs/howto/your-own-process.md", "book"): "the cash book of an example",
    ("examples/migration.py", "book"): "the cash book of an example",
    ("docs/decisions/0021-folders-instead-of-prefixes.md", "desk"): "it lists former names of classes",
    ("tests/docs/test_examples.py", "book"): "the cash book of an example",
    ("src/unerring/core/reporting/report.py", "under way"): "a key of the report, which scripts read",
    ("src/unerring/core/reporting/summary.py", "under way"): "the same key",
    ("tests/core/reporting/test_summary.py", "under way"): "the same key",
    ("tests/endpoints/test_faulty_chain.py", "under way"): "the same key",
    ("src/unerring/runtime/probes/random_letters.py", "under way"): "a sentence that journals keep",
    ("src/unerring/processes/general.py", "go on"): "part of a prompt, which must not change",
    ("src/unerring/processes/general.py", "somebody"): "part of a prompt, which must not change",
}


def pages() -> list[Path]:
    """The files that readers see: code, tests, documentation, benchmarks, examples and training."""
    folders = [ROOT / name for name in ("src", "tests", "docs", "benchmarks", "examples", "training")]
    found = [file for folder in folders for kind in ("*.py", "*.md") for file in folder.rglob(kind)]
    return sorted({*ROOT.glob("*.md"), *found} - {Path(__file__)})


def words_of(text: str) -> str:
    """A text with its names split into words: `heard_late` and `HeardLate` both have `heard`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", text).lower()


def banned_in(text: str) -> list[tuple[int, str]]:
    """The banned words of a text, each with its line."""
    pattern = re.compile("|".join(rf"\b(?:{word})s?\b".replace(" ", r"\s+") for word in BANNED))
    plain = words_of(text)
    return [(plain.count("\n", 0, found.start()) + 1, " ".join(found[0].split())) for found in pattern.finditer(plain)]


def test_no_page_uses_a_banned_word():
    """No docstring, comment, message, name or page of documentation has a word of the list."""
    found = []
    for page in pages():
        name = str(page.relative_to(ROOT))
        for line, word in banned_in(page.read_text(encoding="utf-8")):
            if (name, word) not in ALLOWED:
                found.append(f"{name}:{line}: {word}")
    assert found == []


def test_banned_words_are_found_in_names_and_across_lines():
    """A word counts within a name, in capitals, and with a line break in it."""
    assert banned_in("def in_peace(): ...\nclass PeaceKept: ...\n# kept\nout") == [
        (1, "peace"),
        (2, "peace"),
        (3, "kept out"),
    ]
