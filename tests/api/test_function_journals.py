"""Journals of functions that hold more than the arguments of their call: partials and methods."""

import gc
import sys
from dataclasses import dataclass
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


def test_another_form_of_an_answer_is_a_change(tmp_path):
    """What was decided is no answer of the new form: the error names the change, also where it is accepted."""
    path, form = tmp_path / "run.db", int

    async def process():
        return [await ask("say 7", form, show_form=False), await ask("say 8", int)]

    with pytest.raises(unerring.Stopped):
        unerring.run(process, echo, path, k=1, options=Options(progress=False, max_steps=1))
    form = str
    for accept in (False, True):
        with pytest.raises(unerring.ChainChanged, match=r"its parser changed, and so .*7 is not of the form"):
            unerring.run(process, echo, path, k=1, options=Options(progress=False, accept_changes=accept))


@dataclass
class Counted:
    """A class that is another one each time that it is made of its own fields."""

    count: int

    def __post_init__(self):
        self.count += 1


def test_a_class_that_changes_what_it_is_given_is_named():
    """Its value would not be the one that was voted on."""
    with pytest.raises(TypeError, match=r"\{'count': 2\} is not of the form: its value is \{'count': 3\}"):
        ask("How many?", Counted, model=lambda prompt: '{"count": 1}', k=1, options=QUIET)
