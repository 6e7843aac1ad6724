"""Side effects of function processes: run once, journaled, run again with the same key, and never on a guess."""

import asyncio
import re
import sqlite3
from contextlib import suppress
from functools import partial
from itertools import pairwise

import pytest

import unerring
from faults.answers import noise
from faults.server import serving
from tables import each
from unerring import ActFailed, ActUnknown, InputError, StepUndecided, Subtask, act, gather, json_answer
from unerring.adapters.sqlite.reader import JournalReader
from unerring.api.journals.acts import settle
from unerring.core.functions.awaitables import Ask
from unerring.core.functions.execution import Execution
from unerring.core.journal.entries import Probed
from unerring.core.journal.function_entries import ActBegun, ActEnded, ActErred, Conceded
from unerring.runtime.calls.patience import Patience
from unerring.testing import FakeClock


def question(prompt):
    return Ask(Subtask(prompt, json_answer), int)


def echo(prompt):
    """A model that answers with the last number of the prompt."""
    return prompt.split()[-1]


def run(process, journal, model=echo, **given):
    options = unerring.Options(progress=False, clock=FakeClock(), patience=Patience(first=1.0, spread=0.0), **given)
    return unerring.run(process, model, journal, k=2, options=options)


def acts_in(journal):
    """The entries of side effects."""
    kinds = ActBegun | ActEnded | ActErred
    return [entry for entry in JournalReader(journal).entries() if isinstance(entry, kinds)]


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "run.db"


def test_a_result_is_journaled_and_not_made_again(journal):
    """A finished run that is run again returns the same, and runs no side effect; its result is JSON data."""
    runs = []

    def effect(number):
        runs.append(number)
        return {"number": number, "pair": (1, 2)}

    async def process():
        first = await question("say 7")
        return await act(effect, first)

    assert run(process, journal).answer == {"number": 7, "pair": [1, 2]}
    assert run(process, journal).answer == {"number": 7, "pair": [1, 2]}
    assert runs == [7]
    assert [type(entry) for entry in acts_in(journal)] == [ActBegun, ActEnded]


@each("source", ["off", "leader", "guess"])
def test_a_side_effect_waits_for_the_steps_before_it(tmp_path, source):
    """It is run when all steps before it are decided, in the order of the function, on no guess."""
    journal = tmp_path / f"{source}.db"
    seen = []

    def effect(total):
        seen.append((total, sum(1 for _ in unerring.steps(journal))))

    async def process():
        for number in range(12):
            answer = await Ask(Subtask(f"say {number}", json_answer), int, guess=number + number % 3 // 2)
            if number % 4 == 1:
                await act(effect, answer)

    run(process, journal, speculate=source)
    assert seen == [(1, 2), (5, 6), (9, 10)]


@each("is_async", [False, True])
def test_a_function_that_takes_a_key_is_given_it(tmp_path, is_async):
    """The key is the user's, or one of the run and the place; it is the same when the side effect is run again."""
    journal, keys, fails = tmp_path / f"{is_async}.db", [], [True, False]

    def effect(key):
        keys.append(key)
        if fails.pop(0):
            raise ConnectionError("gone")

    async def waiting(key):
        await asyncio.sleep(0)
        effect(key)

    async def process():
        await act(waiting if is_async else effect)
        fails.append(False)
        await act(waiting if is_async else effect, key="of mine")

    with pytest.raises(ConnectionError, match="gone"):
        run(process, journal)
    run(process, journal)
    assert keys[0] == keys[1] != keys[2] == "of mine"
    assert len(keys[0]) == 32


def test_retries_wait_longer_and_longer(journal):
    """A side effect with retries is run again after 1, 2 and 4 seconds, each attempt journaled."""
    clock, times = FakeClock(), []

    def effect():
        times.append(clock.time())
        if len(times) < 4:
            raise OSError(f"attempt {len(times)}")
        return len(times)

    async def process():
        return await act(effect, retries=3)

    patience = Patience(first=1.0, spread=0.0)
    options = unerring.Options(progress=False, clock=clock, patience=patience)
    assert unerring.run(process, echo, journal, k=2, options=options).answer == 4
    assert [later - before for before, later in pairwise(times)] == [1.0, 2.0, 4.0]
    reasons = [entry.reason for entry in acts_in(journal) if isinstance(entry, ActErred)]
    assert reasons == [
        f"OSError: attempt {number}, in test_retries_wait_longer_and_longer.<locals>.effect() of step 0"
        for number in (1, 2, 3)
    ]


def test_a_failure_that_the_function_catches_is_kept(journal):
    """After `ActFailed` the function continues; a run that is resumed does not try the side effect again."""
    runs = []

    def effect():
        runs.append(1)
        raise ValueError("no such account")

    async def process():
        try:
            await act(effect)
        except ActFailed as failed:
            why = str(failed)
        return [await question("say 3"), "no such account" in why]

    assert run(process, journal).answer == [3, True]
    assert run(process, journal).answer == [3, True]
    assert runs == [1]


def test_a_failure_that_the_function_does_not_catch_stops_the_run(journal):
    """The side effect's own error is raised; the same call again runs it again."""
    runs = []

    def effect():
        runs.append(1)
        if len(runs) == 1:
            raise ValueError("not yet")
        return "done"

    async def process():
        return [await question("say 3"), await act(effect)]

    with pytest.raises(ValueError, match="not yet") as caught:
        run(process, journal)
    assert any("effect() of step 1" in note for note in caught.value.__notes__)
    assert run(process, journal).answer == [3, "done"]


@each("happened", [True, False])
def test_a_side_effect_that_must_not_be_run_twice_waits_for_a_person(tmp_path, happened):
    """If it is not known whether it happened the run stops, and a person says it; only then the run continues."""
    journal, runs = tmp_path / f"{happened}.db", []

    def effect(number):
        runs.append(number)
        if len(runs) == 1:
            raise ConnectionError("no reply")
        return "sent"

    async def process():
        number = await question("say 5")
        return [await act(effect, number, once=True), await question("say 6")]

    with pytest.raises(ConnectionError):
        run(process, journal)
    for _ in range(2):
        with pytest.raises(ActUnknown, match="must not be run twice") as caught:
            run(process, journal)
    assert caught.value.key == unerring.review(journal, process).act.key
    kept = unerring.open(journal)
    kept.settle(happened, *(["by hand"] if happened else []))
    with pytest.raises(unerring.InputError, match="waits for no side effect"):
        kept.settle(happened)
    assert run(process, journal).answer == (["by hand", 6] if happened else ["sent", 6])
    assert len(runs) == (1 if happened else 2)
    assert unerring.verify(journal, process).ok


def test_a_side_effect_may_use_what_belongs_to_the_thread(journal, tmp_path):
    """A plain function runs in the thread that called `run`: a SQLite connection made there can be used."""
    connection = sqlite3.connect(tmp_path / "other.db")
    connection.execute("create table seen (number int)")

    async def process():
        await act(
            lambda number: connection.execute("insert into seen values (?)", (number,)).rowcount,
            await question("say 4"),
        )

    run(process, journal)
    assert connection.execute("select number from seen").fetchall() == [(4,)]


def test_a_result_that_is_no_json_data_is_named(journal):
    """The error names the side effect's function."""

    async def process():
        await act(lambda: {1, 2})

    with pytest.raises(TypeError, match="returned a set"):
        run(process, journal)


class Unreadable(Exception):
    """An exception whose message raises another one."""

    def __str__(self):
        raise KeyError("message")


@each(
    "error, said",
    [
        (ValueError("half \ud800"), "ValueError: half \\\\ud800, in"),
        (Unreadable(), r"Unreadable: its message cannot be read \(KeyError\), in"),
    ],
)
def test_a_failure_whose_message_is_no_text_is_kept(tmp_path, error, said):
    """The journal has what can be read of it, whether or not the function catches it."""

    def effect():
        raise error

    async def uncaught():
        await act(effect)

    async def caught():
        with suppress(ActFailed):
            await act(effect)
        return "caught"

    path = tmp_path / f"{type(error).__name__}.db"
    with pytest.raises(type(error)):
        run(uncaught, path)
    assert re.match(said, unerring.report(path).to_dict()["stopped"]["reason"])
    for _ in range(2):
        assert run(caught, path.with_suffix(".other")).answer == "caught"


def test_whether_a_side_effect_happened_is_true_or_false(journal):
    """A text, such as "no", would count as true."""
    with pytest.raises(InputError, match="happened must be True or False"):
        settle(journal, "no")


@each("once, retries", [(False, 0), (False, 3), (True, 0)])
def test_a_side_effect_whose_result_cannot_be_kept_is_not_run_again(tmp_path, once, retries):
    """It happened: it is no failure that is retried, or that the function could catch."""
    runs = []

    def effect():
        runs.append(1)
        return {1, 2}

    async def process():
        with suppress(ActFailed):
            await act(effect, once=once, retries=retries)

    with pytest.raises(TypeError, match="returned a set"):
        run(process, tmp_path / f"{once}-{retries}.db")
    assert runs == [1]


def first_key(key, number):
    return [key, number]


def only_by_position(key, /):
    return key


def of_its_own(*, function, key):
    return [function, len(key)]


@each(
    "made, expected",
    [
        (lambda: act(first_key, "mine", 3), ["mine", 3]),
        (lambda: act(only_by_position, "mine"), "mine"),
        (lambda: act(of_its_own, function=3), [3, 32]),
        (lambda: act({"a": 5}.get, "a"), 5),
    ],
)
def test_a_key_is_given_where_none_is(made, expected):
    """A function whose first argument happens to be called `key` keeps the one that it is given."""

    async def process():
        return await made()

    assert run(process, None).answer == expected


def test_what_a_side_effect_changes_in_its_arguments_is_lost(journal):
    """The function sees in the first run what it sees in a resumed one, where the side effect does not run."""

    def effect(numbers, table):
        numbers.append(5)
        table["inner"].append(6)
        return [numbers, table]

    async def process():
        numbers, table = [1], {"inner": [2]}
        changed = await act(effect, numbers, table=table)
        return [changed, numbers, table]

    expected = [[[1, 5], {"inner": [2, 6]}], [1], {"inner": [2]}]
    assert run(process, journal).answer == expected
    assert run(process, journal).answer == expected


@each("source", ["off", "leader"])
def test_a_function_may_continue_after_an_undecided_step(tmp_path, source):
    """It catches `StepUndecided`; the step is on record as undecided, and a run again has the same end."""
    journal, asked = tmp_path / f"{source}.db", []

    def model(prompt):
        asked.append(prompt)
        return str(len(asked) % 3) if "hard" in prompt else "8"

    async def process():
        found = []
        for name in ("hard", "easy", "hard"):
            try:
                found.append(await question(name))
            except StepUndecided as undecided:
                found.append([undecided.step, sum(undecided.tally)])
        return found

    expected = [[0, 4], 8, [2, 4]]
    assert run(process, journal, model, speculate=source, vote_cap=4).answer == expected
    count = len(asked)
    assert run(process, journal, model, vote_cap=4).answer == expected
    assert len(asked) == count
    kept = [entry for entry in JournalReader(journal).entries() if isinstance(entry, Conceded)]
    assert [entry.step for entry in kept] == [0, 2]
    assert unerring.verify(journal, process).ok
    assert unerring.report(journal).to_dict()["status"] == "finished"


def test_an_undecided_step_of_a_gather_ends_it(journal):
    """`StepUndecided` is raised where the gather is awaited."""
    count = [0]

    def model(prompt):
        count[0] += 1
        return str(count[0]) if "hard" in prompt else "8"

    async def process():
        try:
            return await gather(question("one"), question("hard"), question("three"))
        except StepUndecided as undecided:
            return undecided.step

    assert run(process, journal, model, vote_cap=4).answer == 1
    assert run(process, journal, model, vote_cap=4).answer == 1


@each("source", ["off", "auto"])
def test_a_function_that_begins_with_a_side_effect_is_probed(tmp_path, source):
    """The endpoint is probed before the first question, whatever stands before it."""

    async def process():
        return [await act(lambda: "loaded"), await Ask(Subtask("say 1", lambda text: 1), int)]

    with serving(models={"m": noise(p=1.0)}) as server:
        options = unerring.Options(progress=False, speculate=source)
        spec = f"openai/m@{server.url}"
        unerring.run(process, spec, tmp_path / f"{source}.db", k=1, options=options)
    assert any(isinstance(entry, Probed) for entry in JournalReader(tmp_path / f"{source}.db").entries())


def test_a_guessed_step_before_a_side_effect_needs_no_other_execution(journal, monkeypatch):
    """A process of 60 guessed steps, each followed by a side effect, is executed once."""
    begun = []
    monkeypatch.setattr(
        Execution, "_begun", lambda self, *given: begun.append(1) or self._function(*given[0], **given[1])
    )

    async def process():
        for number in range(60):
            await Ask(Subtask(f"say {number}", json_answer), int, guess=number)
            await act(lambda: None)

    run(process, journal, speculate="guess")
    assert len(begun) == 1


def test_an_error_that_was_caught_before_is_the_functions_own_when_it_is_raised_again(journal):
    """The run does not stop as if the step were undecided now."""
    count = [0]

    def model(prompt):
        count[0] += 1
        return str(count[0]) if "hard" in prompt else "8"

    async def process():
        try:
            await question("hard")
        except StepUndecided as undecided:
            kept = undecided
        await question("easy")
        raise kept

    with pytest.raises(RuntimeError, match="raised again what it was given before") as caught:
        run(process, journal, model, vote_cap=4)
    assert any("process() of step 2" in note for note in caught.value.__notes__)


@each("change", ["name", "arguments", "key", "gone"])
def test_a_begun_side_effect_that_is_another_now_is_settled_first(tmp_path, change):
    """The run does not continue, and asks no model, before a person says whether it happened."""
    journal, version, asked = tmp_path / f"{change}.db", [1], []

    def model(prompt):
        asked.append(prompt)
        return echo(prompt)

    def first(number):
        raise ConnectionError("gone")

    def second(number):
        return number

    async def process():
        number = await question("say 5")
        if version == [1]:
            await act(first, number, key="a")
        elif change != "gone":
            effect = second if change == "name" else first
            await act(effect, number + (change == "arguments"), key="b" if change == "key" else "a")
        return await question("say 6")

    with pytest.raises(ConnectionError):
        run(process, journal, model)
    version[0] = 2
    before = len(asked)
    with pytest.raises(
        unerring.InputError, match=r"first was begun before step 1, and .*happened or --did-not-happen"
    ):
        run(process, journal, model)
    assert len(asked) == before
    kept = unerring.open(journal)
    kept.settle(happened=False)
    if change in {"name", "gone"}:
        assert run(process, journal, model).answer == 6
    else:
        with pytest.raises(ConnectionError):
            run(process, journal, model)


def test_a_side_effect_keeps_a_key_that_the_user_bound(journal):
    """An argument `key` of a partial function, or of a builtin one, is not the idempotency key."""
    seen = []

    def store(data, key):
        seen.append((data, key))

    async def process():
        await act(partial(store, key="s3/object"), 1)
        return await act(sorted, [2, 1])

    assert run(process, journal).answer == [1, 2]
    assert seen == [(1, "s3/object")]


@each("at", [0, 1])
def test_a_fork_does_not_run_side_effects_before_its_first_step_again(tmp_path, at):
    """Those that ended are taken over; one that was begun is run again with the same key."""
    journal, forked, keys = tmp_path / f"{at}.db", tmp_path / f"{at}-forked.db", []

    def load(key):
        keys.append(key)
        return "rows"

    def send(key):
        keys.append(key)
        if len(keys) == 2:
            raise ConnectionError("gone")

    async def process():
        loaded = await act(load)
        number = await question("say 5")
        await act(send)
        return [loaded, number]

    with pytest.raises(ConnectionError):
        run(process, journal)
    unerring.fork(journal, at, forked, process, echo)
    result = unerring.resume(forked, process, echo)
    assert result.answer == ["rows", 5]
    assert len(keys) == 3
    assert (keys[1] == keys[2]) is (at == 1)
