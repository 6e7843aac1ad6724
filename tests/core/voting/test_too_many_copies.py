"""The limit on copies: how many end a run, and that a share within the limit ends none."""

from random import Random

import pytest

from tables import each
from unerring.core.voting.copies import CopyDetector, ExcessTest


def excess(*copied, limit=0.01):
    found = ExcessTest(limit)
    for one in copied:
        found.add(one)
    return found.alarmed


def test_one_copy_is_never_too_many():
    """One copy, the first sample or one of a million, does not end a run, unless the limit is 0."""
    assert not excess(True)
    assert not excess(*[False] * 500_000, True, *[False] * 500_000)
    assert excess(True, limit=0.0)
    assert not excess(*[False] * 1000, limit=0.0)
    assert not excess(*[True] * 1000, limit=1.0)


def test_a_full_cache_ends_a_run_within_a_few_samples():
    """It takes two copies with no other reply, three after one new reply, and six in a row after a million."""
    assert excess(True, True)
    assert not excess(False, True, True)
    assert excess(False, True, True, True)
    late = [False] * 1_000_000
    assert not excess(*late, *[True] * 5)
    assert excess(*late, *[True] * 6)


def test_a_share_of_twice_the_limit_is_noticed():
    """Copies at 2 % with a limit of 1 % end each of 20 seeded runs within 10,000 samples."""
    for seed in range(20):
        chance, found = Random(seed), ExcessTest(0.01)
        for _ in range(10_000):
            found.add(chance.random() < 0.02)
        assert found.alarmed


def test_a_share_within_the_limit_ends_no_run():
    """Of 500 runs of 20,000 samples with copies at just the limit, at most six are ended.

    By Ville's inequality at most two in a thousand are on average; more than six of 500 has a chance below 1e-4.
    """
    ended = 0
    for seed in range(500):
        chance, found, done = Random(seed), ExcessTest(0.01), 0
        while done < 20_000:
            quiet = int(chance.expovariate(0.01))
            for _ in range(quiet):
                found.add(False)
            found.add(True)
            done += quiet + 1
        ended += found.alarmed
    assert ended <= 6


@each("limit", [-0.01, 1.01, float("nan")])
def test_a_limit_is_a_share(limit):
    """A limit outside 0 to 1 is refused."""
    with pytest.raises(ValueError, match="share from 0 to 1"):
        CopyDetector(limit)
