"""Errors in the function of a process name the function, the step and what to do."""

import asyncio
import functools
import time

import pytest

import unerring
from tables import each
from unerring import InputError, Subtask, act, gather, json_answer
from unerring.adapters.scrubbing import without_secrets
from unerring.core.functions.awaitables import Ask
from unerring.core.functions.function_chain import function_chain, named_arguments


def question(prompt, **given):
    return Ask(Subtask(prompt, json_answer), int, **given)


def run(process, **given):
    return unerring.run(process, lambda prompt: "1", k=1, options=unerring.Options(progress=False), **given)


async def sleeps():
    await question("one")
    await asyncio.sleep(0.1)


async def gathers_by_asyncio():
    await question("one")
    await asyncio.gather(question("two"), question("three"))


async def waits_for_a_task():
    await question("one")
    await asyncio.get_running_loop().create_future()


@each("process", [sleeps, gathers_by_asyncio, waits_for_a_task])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_process_awaits_only_what_is_journaled(process):
    """Anything else that is awaited is an error, on the user's line, that says where such code belongs."""
    with pytest.raises(TypeError, match="awaits only ask, act and gather, not something of asyncio") as caught:
        run(process)
    assert f"in {process.__name__}() of step 1" in caught.value.__notes__


def test_a_function_that_depends_on_a_clock_is_noticed():
    """Where it runs again and asks something else, the error has both questions."""

    async def process():
        total = 0
        for number in range(40):
            asked = f"{total} at {time.perf_counter_ns()}"
            total = await question(asked, guess=1 + (number == 20))
        return total

    with pytest.raises(TypeError, match=r"first the question '0 at \d+', now the question '0 at \d+'; what depends"):
        run(process)


def test_a_resumed_function_that_asks_something_else_is_noticed(tmp_path):
    """The step is named, and both texts where the journal has them."""
    words = ["first"]
    answers = iter(["1", "2", *"1111111111"])

    async def process():
        return [await question(f"the {words[0]} wording"), await question("the end")]

    def model(prompt):
        return next(answers)

    options = unerring.Options(progress=False, max_steps=1)
    with pytest.raises(unerring.Stopped):
        unerring.run(process, model, tmp_path / "run.db", k=2, options=options)
    words[0] = "second"
    with pytest.raises(unerring.ChainChanged, match=r"step 0 is asked differently.*first wording.*second wording"):
        unerring.run(process, model, tmp_path / "run.db", k=2, options=unerring.Options(progress=False))


def test_an_error_of_the_function_names_it_and_the_step():
    """The user's own exception is passed on, with a note."""

    async def process():
        await question("one")
        return {}["total"]

    with pytest.raises(KeyError) as caught:
        run(process)
    assert any("process() of step 1" in note for note in caught.value.__notes__)


def test_a_result_that_is_no_json_data_is_named():
    """The error names the function and what it returned."""

    async def process():
        await question("one")
        return {"when": {1}}

    with pytest.raises(TypeError, match=r"process\(\) returned a set at result\['when'\]"):
        run(process)


@each(
    "awaited, said",
    [
        (lambda: gather([question("one")]), r"write gather\(\*list\)"),
        (lambda: gather("one"), "gather takes what ask"),
        (lambda: act("send"), "act takes a function and its arguments"),
        (lambda: act(print, key=""), "a text of 1 to 200 characters"),
        (lambda: act(print, once=True, retries=1), "takes no retries"),
        (lambda: act(print, retries=-1), "retries of act is a whole number from 0"),
        (lambda: act(print, once=2), "once of act is True or False, not 2"),
    ],
)
def test_wrong_arguments_are_errors_at_once(awaited, said):
    """They are raised where they are written, as errors of the function, and no message looks like a secret."""
    with pytest.raises((TypeError, ValueError), match=said) as caught:
        awaited()
    assert not isinstance(caught.value, InputError)
    assert without_secrets(str(caught.value)) == str(caught.value)


def test_an_ask_is_awaited_by_its_process_only():
    """In an ordinary coroutine the error says so."""

    async def main():
        await question("one")

    with pytest.raises(RuntimeError, match=r"by unerring\.gather"):
        asyncio.run(main())


async def two(first, *others, last=3, **named):
    return [first, list(others), last, named]


@each(
    "args, kwargs",
    [((1,), {}), ((1, 2, 3), {"last": 4}), ((1,), {"other": 5}), ((), {"first": [1, {"a": None}]})],
)
def test_arguments_are_kept_by_name_and_make_the_same_call(args, kwargs):
    """The process made again from its parameters returns the same."""
    kept = named_arguments(two, args, kwargs)
    again = function_chain(two, kept)
    assert again.parameters() == kept
    assert again.answer(None) == asyncio.run(two(*args, **kwargs))


async def pair(a=1, b=2, *, c=3):
    return [a, b, c]


@each("args", [{"b": 5}, {"c": 5}, {"a": 4, "c": 5}, [7], {}])
def test_an_argument_left_out_keeps_its_default(args):
    """The others keep their places."""
    given = dict(args) if isinstance(args, dict) else {"a": args[0]}
    assert run(pair, args=args).answer == list(({"a": 1, "b": 2, "c": 3} | given).values())


@each(
    "process, args, said",
    [
        (two, (), "missing a required argument: 'first'"),
        (two, ({1},), "the argument first of two\\(\\) is a set"),
        (two, (float("nan"),), "the argument first of two\\(\\) is no JSON data"),
        (functools.partial(two, 1), {"nothing": 1, "first": 2}, "multiple values"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(process, args, said):
    """With the name of the parameter."""
    if said == "multiple values":
        said = "first|multiple"
    with pytest.raises((InputError, TypeError), match=said):
        run(process, args=args)


@each("args", ["hello", b"hello", {1, 2}, 5, (number for number in range(2))])
def test_arguments_are_a_list_or_a_dict(args):
    """A text would be read letter by letter, and a set has no order."""
    with pytest.raises(InputError, match="args must be a list of arguments in order, or a dict of them by name"):
        run(two, args=args)


class Callable:
    """An object that is called like an async function."""

    async def __call__(self):
        return await question("one")


def yields():
    yield question("one")


async def yields_and_waits():
    yield await question("one")


@each(
    "given, said",
    [
        (len, "len is no process: .* written as `async def`"),
        (lambda: question("one"), r"lambda> is no process: .* written as `async def`"),
        (yields, "yields is no process: .* written as `async def`, without yield"),
        (yields_and_waits, "yields_and_waits is no process: .* without yield"),
        (functools.partial(yields), "yields is no process"),
        (Callable(), "is no process: pass the method that is one, such as its __call__"),
    ],
)
def test_other_functions_are_refused_by_name(given, said):
    """They are no chains, and the error says how a function is a process."""
    with pytest.raises(InputError, match=said):
        run(given)
    assert run(Callable().__call__).answer == 1


def test_a_function_that_was_called_is_refused():
    """The error says to pass the function itself."""
    called = two(1)
    with pytest.raises(InputError, match=r"two\(\) was called: pass two itself, and its arguments as `args`"):
        run(called)
    called.close()


@each("awaited", [question("one"), gather(question("one")), act(len, "one")])
def test_what_is_not_awaited_has_no_truth_value(awaited):
    """`if ask(...)` would always be true, and ask nothing."""
    with pytest.raises(TypeError, match="has a value once it is awaited"):
        bool(awaited)


def test_chains_take_no_arguments():
    """`args` are for functions."""
    with pytest.raises(InputError, match="args are those of an async function"):
        run(unerring.Hanoi(2), args=(1,))


def test_a_function_without_steps_is_a_process():
    """It may find that there is nothing to do."""

    async def process(entries):
        return [await question(entry) for entry in entries]

    result = run(process, args=[[]])
    assert (result.answer, result.steps) == ([], 0)


@each(
    "change, said",
    [
        ("ends at once", "now reaches its end at step 0, where it had an answer"),
        ("acts first", r"now reaches act\(.*two\) at step 0, where it had an answer"),
        ("ends after one", "now reaches its end at step 1, where it had the result of a side effect"),
        ("asks more", "returned there, and now reaches the question 'more'"),
    ],
)
def test_a_function_that_takes_another_course_is_noticed(tmp_path, change, said):
    """Also where the change is accepted: its answers of before have no place in it."""
    journal, changed = tmp_path / f"{change}.db", ""

    def two():
        return 2

    async def process():
        if changed == "ends at once":
            return 0
        if changed == "acts first":
            await act(two)
        first = await question("one")
        if changed == "ends after one":
            return first
        await act(two)
        await question("last")
        return await question("more") if changed == "asks more" else first

    def go(accept):
        options = unerring.Options(progress=False, accept_changes=accept)
        return unerring.run(process, lambda prompt: "1", journal, k=1, options=options)

    assert go(False).answer == 1
    changed = change
    with pytest.raises(unerring.ChainChanged):
        go(False)
    with pytest.raises(unerring.ChainChanged, match=said):
        go(True)


async def asks_a_model():
    return unerring.ask("one", int, model=lambda prompt: "1")


async def awaits_a_model():
    return await unerring.aask("one", int, model=lambda prompt: "1")


async def begins_a_run():
    return unerring.run(asks_a_model, lambda prompt: "1", k=1)


async def awaits_a_run():
    return await unerring.arun(asks_a_model, lambda prompt: "1", k=1)


@each(
    "process, said",
    [
        (asks_a_model, "leave out model"),
        (awaits_a_model, "leave out model"),
        (begins_a_run, "the function of a process begins no other run"),
        (awaits_a_run, "the function of a process begins no other run"),
    ],
)
def test_a_process_begins_no_run(process, said):
    """The error says what to await instead, and names the function."""
    with pytest.raises((TypeError, RuntimeError), match=said) as caught:
        run(process)
    assert f"in {process.__name__}() of step 0" in caught.value.__notes__


def send(text):
    raise AssertionError("it must not be run")


@each("ending", ["asks", "ends"])
def test_a_side_effect_that_is_not_awaited_is_an_error(ending):
    """`act(...)` without an await runs nothing: the function is stopped at its next await, or at its end."""

    async def process():
        await question("one")
        act(send, "text")
        if ending == "asks":
            await question("two")

    with pytest.raises(TypeError, match=r"act\(send, \.\.\.\) was not run: write `await` before it") as caught:
        run(process)
    assert any("process() of step 1" in note for note in caught.value.__notes__)


def test_a_question_that_is_not_awaited_has_no_text():
    """In a text an `ask(...)` without an await is an error."""

    async def process():
        first = question("one")
        return await question(f"{first} and more")

    with pytest.raises(TypeError, match="has a value once it is awaited"):
        run(process)


def test_side_effects_that_are_held_and_awaited_later_are_run():
    """They may be made before they are awaited."""

    async def process():
        acts = [act(lambda number: number, number) for number in range(3)]
        await question("one")
        return [await one for one in acts]

    assert run(process).answer == [0, 1, 2]
