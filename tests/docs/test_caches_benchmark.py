"""Some cells of the table in docs/why/caches.md are measured again, and endpoints without a cache pass."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def caches():
    """The script that makes the table, as a module."""
    before, names = sys.path[:], set(sys.modules)
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import caches

        yield caches
    finally:
        sys.path[:] = before
        for name in set(sys.modules) - names:
            if str(ROOT / "benchmarks") in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]


def session(caches, kind, share, shape, letters=False, steps=400, nonce=False):
    """One session behind a cache, as in the table."""
    cache = None if kind is None else caches.KINDS[kind].at(share, 1)
    engine = caches.Engine(cache, caches.SHAPES[shape], letters, 1)
    return caches.virtually(caches.session(engine, steps, 1, False, nonce))


SILENT = "silent: new identity, usage copied"
SHARING = "shares replies that are in flight"


def test_a_cache_that_answers_everything_is_found_at_the_start(caches):
    """It is found marked or silent, for every form of question, whether or not the model writes letters."""
    kinds = ("says so in a header", "usage of 0", "identity of the original", SILENT, SHARING)
    missed = [
        (kind, shape, letters)
        for kind in kinds
        for shape in caches.SHAPES
        for letters in (True, False)
        if not session(caches, kind, 1.0, shape, letters, steps=1).at_start
    ]
    assert missed == []


def test_silent_copies_among_other_replies_are_found_by_their_time(caches):
    """If a silent cache answers a fifth of the repeated requests, more than half of the copies are found.

    No copies were found before long questions with short answers were.
    """
    for shape in caches.SHAPES:
        outcome = session(caches, SILENT, 0.2, shape)
        assert outcome.found > 0.5 * outcome.copies > 0, shape
        assert outcome.accused == 0, shape
        assert outcome.stopped, shape


def test_engines_without_a_cache_pass(caches):
    """So do engines that keep prompts, which answer a long question's second time twice as fast."""
    for shape in caches.SHAPES:
        for letters in (True, False):
            outcome = session(caches, None, 1.0, shape, letters)
            assert (outcome.stopped, outcome.accused, outcome.copies) == (False, 0, 0), shape


def test_with_nonces_there_are_no_copies(caches):
    """No cache has an answer to a request with a nonce."""
    for kind in caches.KINDS:
        outcome = session(caches, kind, 1.0, "short/short", steps=50, nonce=True)
        assert (outcome.copies, outcome.accused, outcome.stopped) == (0, 0, False), kind


def test_the_page_has_the_table(caches):
    """Every kind and share has its row in docs/why/caches.md."""
    page = (ROOT / "docs" / "why" / "caches.md").read_text(encoding="utf-8")
    table = page.partition(caches.BEGIN)[2].partition(caches.END)[0]
    for kind in caches.KINDS:
        for share in caches.SHARES:
            assert table.count(f"| {kind} | {share:.0%} |") == 2
    assert "Without a cache: 0 of 160 sessions were stopped" in table
