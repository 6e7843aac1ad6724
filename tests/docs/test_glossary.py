"""The glossary has every word that reports use without explaining it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
GLOSSARY = ROOT / "docs" / "glossary.md"

WORDS_OF_REPORTS = (
    *("process", "rule", "step", "sample", "vote", "red flag", "copy", "tally", "dissent", "round", "voter", "plan"),
    *("certificate", "budget", "session", "margin", "k", "journal", "undecided", "doubtful", "review", "resume"),
    *("verify", "speculation", "guess", "calibration", "pilot", "target", "echo", "nonce", "fork", "rejudge"),
    *("answer", "candidate", "endpoint", "wrong leader", "reply", "slot", "cap", "parked", "set aside", "shortlist"),
    *("settled", "in flight"),
)


def terms() -> dict[str, list[str]]:
    """The terms of the glossary, each with its lines."""
    found = {}
    for paragraph in GLOSSARY.read_text("utf-8").split("\n\n"):
        term = re.match(r"\*\*([^*]+)\*\* - ", paragraph)
        if term:
            found[term[1]] = paragraph.strip().split("\n")
    return found


def test_words_of_reports_are_explained():
    """Each technical word of a report or of the command line has a paragraph."""
    assert set(WORDS_OF_REPORTS) - set(terms()) == set()


def test_each_term_has_two_lines():
    """A term is explained in two lines: what it is, and what follows from that."""
    assert {term: len(lines) for term, lines in terms().items() if len(lines) != 2} == {}
