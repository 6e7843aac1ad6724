"""Waits that a provider asks for, over HTTP: the run waits, or stops if they exceed its patience."""

import re
import time

import pytest

import unerring
from doubling import Doubling
from faults.answers import Answer
from faults.faults import rate_limited
from faults.script import always, listed
from faults.server import serving
from unerring import Options
from unerring.errors import ProviderGone
from unerring.runtime.config import Guards


def doubled(prompt, temperature, seed, index, limit):
    return Answer(str(2 * int(prompt.strip(".").split()[1])), 20, 2)


def run(server):
    options = Options(guards=Guards(copies=1.0, probe=False))
    return unerring.run(Doubling(2), f"openai/m@{server.url}", k=1, options=options)


@pytest.mark.parametrize("unit", [1, 1000])
def test_a_time_since_1970_is_no_number_of_seconds(unit):
    """If Retry-After is a past moment, in seconds or milliseconds since 1970, the run continues without a wait."""
    with serving(models={"m": doubled}, script=listed(rate_limited(f"{time.time() * unit:.0f}"))) as server:
        assert run(server).state["value"] == 4


def test_a_wait_beyond_all_patience_says_which_header_was_read_and_how():
    """The run stops at once, resumable, and quotes the header and what it was read as."""
    asked = rate_limited(f"{time.time() + 7200:.0f}")
    with serving(models={"m": doubled}, script=always(asked)) as server:
        with pytest.raises(ProviderGone) as stopped:
            run(server)
        assert server.ledger.totals.requests == 1
    assert re.search(r"retry-after: \d{10} read as the time [\d:]+ UTC, 7\d{3} s from now", str(stopped.value))
