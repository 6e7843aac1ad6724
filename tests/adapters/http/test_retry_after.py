"""Waits that a provider asks for in headers with several limits."""

from tables import each
from unerring.adapters.http.retry_after import MAX_WAIT_SECONDS, requested_wait

NOW = 1_700_000_000.0


def seconds_asked(headers):
    """The seconds that headers ask to wait; None if they ask for no wait."""
    wait = requested_wait(headers, NOW)
    return None if wait is None else wait.seconds


def limits(**used_up):
    """Rate-limit headers: what remains of each limit, and when it is reset."""
    headers = {}
    for what, reset in used_up.items():
        name = "" if what == "all" else f"-{what}"
        headers[f"x-ratelimit-remaining{name}"] = "17" if reset is None else "0"
        headers[f"x-ratelimit-reset{name}"] = reset or "9000s"
    return headers


@each(
    ("used_up", "wait"),
    [
        ({"requests": "5s", "tokens": "60s"}, 60.0),
        ({"requests": "60s", "tokens": "5s"}, 60.0),
        ({"requests": "1m30s", "tokens": "89"}, 90.0),
        ({"requests": "7", "tokens": "8", "all": "9"}, 9.0),
        ({"requests": "9", "tokens": "8", "all": "7"}, 9.0),
        ({"requests": f"{NOW + 40:.0f}", "tokens": f"{(NOW + 70) * 1000:.0f}"}, 70.0),
    ],
    ids=str,
)
def test_where_several_limits_are_used_up_the_longest_is_waited_for(used_up, wait):
    """The next request needs all limits, so the longest of their waits counts."""
    assert seconds_asked(limits(**used_up)) == wait


@each(("used_up", "wait"), [({"requests": "5s", "tokens": None}, 5.0), ({"requests": None, "tokens": "6s"}, 6.0)])
def test_a_limit_that_is_not_used_up_is_not_waited_for(used_up, wait):
    """A limit with something remaining needs no wait, however far away its reset is."""
    assert seconds_asked(limits(**used_up)) == wait


def test_a_reset_that_cannot_be_read_does_not_hide_another():
    """Of two used-up limits, one with an unreadable reset, the other one counts."""
    assert seconds_asked(limits(requests="soon", tokens="60s")) == 60.0
    assert seconds_asked(limits(requests="60s", tokens="soon")) == 60.0
    assert seconds_asked(limits(requests="soon", tokens="later")) is None


def test_no_wait_is_longer_than_a_day():
    """The longest of several waits is capped at a day, as a single one is."""
    assert seconds_asked(limits(requests="5s", tokens="9000000s")) == MAX_WAIT_SECONDS
