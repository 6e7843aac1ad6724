"""Journals of functions that hold more than the arguments of their call: partials and methods."""

import gc
import sys
from functools import partial

import pytest

import unerring
from tables import each
from unerring import InputError, Options, act, ask

QUIET = Options(progress=False)


def echo(prompt):
    return prompt.split("\n")[0].split()[-1]


async def limited(number, limit=10):
    return [await ask(f"say {number}", int), limit]


class Limits:
    """An object whose method is a process."""

    def __init__(self, limit):
        self.limit = limit

    async def limited(self, number):
        return [await ask(f"say {number}", int), self.limit]


@each(
    "process, other, said",
    [
        (partial(limited, limit=5), partial(limited, limit=6), "was begun with other arguments of"),
        (partial(limited, limit=5), limited, "was begun with other arguments of"),
        (
            Limits(5).limited,
            Limits(6).limited,
            "other arguments of|missing a required argument: 'self'",
        ),
    ],
)
def test_what_a_function_holds_is_not_replaced(tmp_path, process, other, said):
    """Neither the name in the journal nor another partial or object continues the run, or begins a fork of it."""
    path = tmp_path / f"{id(process)}-{id(other)}.db"

    def go(given, **options):
        return unerring.run(given, echo, path, k=1, options=Options(progress=False, **options), args=[3]).answer

    assert go(process) == [3, 5]
    assert go(process) == unerring.resume(path, process, echo, QUIET).answer == [3, 5]
    with pytest.raises(unerring.ChainChanged, match="limit"):
        go(other)
    for given in (None, other):
        with pytest.raises(InputError, match=said):
            unerring.resume(path, given, echo, QUIET)
        with pytest.raises(InputError, match=said):
            unerring.fork(path, 0, tmp_path / "fork.db", given)
    assert unerring.fork(path, 0, tmp_path / f"{path.stem}-fork.db", process).step == 0


def test_a_run_that_stops_ends_its_function_quietly(monkeypatch):
    """What its `finally` awaits is not run, and no exception of it is shown."""
    shown = []
    monkeypatch.setattr(sys, "unraisablehook", shown.append)

    async def process():
        try:
            for number in range(3):
                await ask(f"say {number}", int)
        finally:
            await act(print, "the end")

    with pytest.raises(unerring.Stopped):
        unerring.run(process, echo, k=1, options=Options(progress=False, max_steps=1))
    gc.collect()
    assert shown == []
