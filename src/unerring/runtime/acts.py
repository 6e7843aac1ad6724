"""Run the side effects of a function process: each at the frontier, journaled before and after.

A side effect is begun only once all steps before it are decided. Its beginning is durable before it runs, and its
result before anything follows from it. One that was begun, and whose end is not in the journal, is run again with the
same key, unless it must not be run twice: then a person says whether it happened.
"""

import inspect
from functools import partial
from hashlib import blake2b
from types import BuiltinFunctionType
from typing import Any

from unerring.core.functions.awaitables import Act
from unerring.core.functions.function_chain import FunctionChain
from unerring.core.functions.names import plain_function
from unerring.core.journal.entries import digest_of
from unerring.core.journal.function_entries import ActBegun, ActEnded, ActErred
from unerring.core.journal.state import RunState
from unerring.core.user_code import OWN_ERRORS, add_method_note, error_line, json_of, ordinary_error
from unerring.core.voting.canonical import NotJson, canonical
from unerring.errors import ActUnknown, InputError, Interrupted
from unerring.runtime.config import unless_stopped
from unerring.runtime.frontier import Frontier

KEY_BYTES = 16
HOW_TO_SETTLE = "`settle` of `unerring.open(journal)`, or unerring review with --happened or --did-not-happen"
MAX_REASON_CHARS = 300  # of an error that the journal keeps


async def performed(frontier: Frontier) -> bool:
    """Run the side effect that the process waits for at the frontier; False where it waits for none.

    Raises `ActUnknown` for one that must not be run twice, and whose end is not known; `Interrupted` where the run is
    to stop; and the side effect's own error where the function does not continue after it.
    """
    function = frontier.chain.function
    act = None if function is None else function.act(frontier.at)
    if function is None or act is None:
        return False
    if (reason := frontier.config.stop.reason) is not None:
        raise Interrupted(reason)
    require_known_act(frontier)
    begun = frontier.run_state.acts.pending
    key = act.key or (key_of(frontier.run_state) if begun is None else begun.key)  # a fork continues one with its key
    result = await _tried(frontier, function, act, key)
    if result is not None:
        state = function.acted(frontier.at, result)
        digest = frontier.chain.digest(state, frontier.run_state.committed)
        await frontier.record_act(ActEnded(frontier.run_state.committed, result, digest, frontier.config.clock.time()))
        frontier.at = state
    return True


def key_of(state: RunState) -> str:
    """The idempotency key of the next side effect: the same whenever it is run again, and of no other one."""
    opened = state.opened
    assert opened is not None
    text = (
        f"{opened.process}\0{opened.time!r}\0{opened.seed}\0{state.committed}\0{state.acts.ended + state.acts.failed}"
    )
    return blake2b(f"{text}\0{state.last_digest}".encode(), digest_size=KEY_BYTES).hexdigest()


def require_known_act(frontier: Frontier) -> None:
    """Raise where a side effect was begun before, and cannot be run again as it is now.

    Raises `ActUnknown` for one that must not be run twice, and `InputError` where the function waits for another one,
    or for something else.
    """
    begun = frontier.run_state.acts.pending
    if begun is None:
        return
    function, step = frontier.chain.function, frontier.run_state.committed
    act = None if function is None else function.act(frontier.at)
    if begun.once or (act is not None and act.once and act.name == begun.name):
        raise ActUnknown(
            f"it is not known whether {begun.name} before step {step} happened (key {begun.key}), and it must not be "
            "run twice",
            begun.name,
            begun.key,
        )
    difference = None
    if act is None or act.name != begun.name:
        now = "nothing" if function is None else function.waits_for(frontier.at)
        difference = f"the function now reaches {now}"
    elif act.key not in {None, begun.key}:
        difference = f"its key was {begun.key} and is now {act.key}"
    elif None not in {begun.arguments, arguments := _arguments_of(act)} and arguments != begun.arguments:
        difference = "its arguments are others now"
    if difference is not None:
        raise InputError(
            f"{begun.name} was begun before step {step}, and {difference}: continue with the code that began it, or "
            f"say whether it happened: {HOW_TO_SETTLE}"
        )


def _arguments_of(act: Act[Any]) -> str | None:
    """The digest of a side effect's arguments; None where they are no JSON data."""
    try:
        return digest_of(canonical([list(act.arguments), dict(act.keywords)]))
    except NotJson:
        return None


async def _tried(frontier: Frontier, function: FunctionChain, act: Act[Any], key: str) -> str | None:
    """Run a side effect, also again, and return its result; None where the function continues after its failure."""
    config, clock, step = frontier.config, frontier.config.clock, frontier.run_state.committed
    arguments = _arguments_of(act)
    for failures in range(act.retries + 1):
        await frontier.record_act(ActBegun(step, act.name, key, act.once, clock.time(), arguments))
        try:
            returned = await _run(act, key)
        except OWN_ERRORS as error:
            failure = ordinary_error(error, "side effect")
            unknown = "; it is not known whether it happened" if act.once else ""
            add_method_note(failure, act.name, step, act.function, unknown)
            line = error_line(failure)[:MAX_REASON_CHARS]
        else:  # a result that cannot be kept stops the run, and is no reason for a retry
            return json_of(returned, act.name, "result", None, act.function)
        if act.once:
            raise failure
        if failures < act.retries:
            await frontier.record_act(ActErred(step, line, clock.time()))
            await unless_stopped(clock.sleep(config.patience.wait(failures, None, config.chance)), config.stop)
    if (state := function.act_failed(frontier.at, line)) is not None:
        digest = frontier.chain.digest(state, step)
        await frontier.record_act(ActErred(step, line, clock.time(), digest))
        frontier.at = state
        return None
    await frontier.record_act(ActErred(step, line, clock.time()))
    raise failure


async def _run(act: Act[Any], key: str) -> Any:
    """Call a side effect's function; one that takes an argument `key`, and was given none, is given the key."""
    arguments, keywords = _copied(act.arguments), _copied(dict(act.keywords))
    if _takes_key(act):
        keywords["key"] = key
    result = act.function(*arguments, **keywords)
    return await result if inspect.isawaitable(result) else result


def _copied(value: Any) -> Any:
    """A value with copies of its lists, dicts and sets: what is changed in them would not be changed on a resume."""
    if type(value) is dict:
        return {key: _copied(one) for key, one in value.items()}
    return type(value)(map(_copied, value)) if type(value) in {list, tuple, set} else value


def _takes_key(act: Act[Any]) -> bool:
    """Whether the function takes an argument by the name `key` that it is not given by position."""
    if isinstance(plain_function(act.function), BuiltinFunctionType):  # such as sorted, whose key is something else
        return False
    try:
        signature = inspect.signature(act.function)
        given = signature.bind_partial(*act.arguments, **act.keywords).arguments
    except (
        TypeError,
        ValueError,
    ):  # of a function that is not Python's nothing is known; a wrong call fails by itself
        return False
    key = signature.parameters.get("key")
    if isinstance(act.function, partial) and "key" in act.function.keywords:  # bound by the user, to another meaning
        return False
    return key is not None and key.kind in {key.POSITIONAL_OR_KEYWORD, key.KEYWORD_ONLY} and "key" not in given
