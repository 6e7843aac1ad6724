"""The number of samples to ask for in one call is learned from calls that returned fewer than asked for."""

from unerring.runtime.calls.call_size import SHORT_CALLS, CallSize, contiguous


def test_a_sampler_is_asked_for_all_at_once_until_its_calls_are_short():
    """One short call is ignored; only SHORT_CALLS in a row set a limit, by the largest of them."""
    size = CallSize()
    for brought in [2, 1] * SHORT_CALLS:
        size.note("m", brought, 2)
    assert size.split("m", [0, 1, 2, 3, 4]) == [[0, 1, 2, 3, 4]]
    for brought in (1, 2, 1)[:SHORT_CALLS]:
        size.note("m", brought, 5)
    assert size.split("m", [0, 1, 2, 3, 4]) == [[0, 1], [2, 3], [4]]
    assert not size.is_single("m")
    assert size.split("other", [0, 1, 2]) == [[0, 1, 2]]


def test_a_limit_of_one_is_a_call_a_sample():
    """An endpoint that a probe found to return one sample a call is asked for one at a time."""
    size = CallSize()
    size.limit("m", 1)
    assert size.is_single("m")
    assert size.split("m", [3, 4, 7]) == [[3], [4], [7]]


def test_a_call_has_numbers_without_gaps():
    """A call has its first number and a count, so a gap begins another call."""
    assert contiguous([0, 1, 3, 7, 8], int) == [[0, 1], [3], [7, 8]]
    assert contiguous([], int) == []
