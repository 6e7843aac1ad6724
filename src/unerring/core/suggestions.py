"""Suggest the known word that a mistyped word is most like."""

from collections.abc import Iterable
from difflib import get_close_matches

MIN_LIKENESS = 0.75  # share of letters that two words have in common, in the same order


def did_you_mean(typed: str, known: Iterable[str]) -> str:
    """Return "; did you mean WORD?" for the known word most like the typed one, or an empty text."""
    like = get_close_matches(typed, [*known], n=1, cutoff=MIN_LIKENESS)
    return f"; did you mean {like[0]}?" if like else ""
