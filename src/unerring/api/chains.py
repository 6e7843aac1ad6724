"""Make chains by their names, check a user's own, and name them in journals."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from unerring.adapters.scrubbing import about_words, without_secrets_in_errors
from unerring.adapters.trust.permission import GIVEN, Permission
from unerring.adapters.user_code.modules import import_object, object_of_class
from unerring.core.arguments import require_arguments
from unerring.core.chain import Chain
from unerring.core.chain_form import is_chain, misfit, not_a_chain, own_method
from unerring.core.checked_chain import MADE_WITH, CheckedChain
from unerring.core.functions.function_chain import (
    FunctionChain,
    function_chain,
    is_function_process,
    named_arguments,
)
from unerring.core.functions.names import plain_function
from unerring.core.journal.digests import SCRIPT_MODULE, same_process
from unerring.core.suggestions import did_you_mean
from unerring.core.voting.canonical import Json
from unerring.errors import InputError
from unerring.processes import SHIPPED

LOCAL = "<locals>"  # in the name of a class or function that is defined within a function: no name makes it again


class DefinedInScript(InputError):
    """A process that was defined in a script, or within a function: its journal does not say where to find it."""


def process_name(chain: CheckedChain) -> str:
    """The name of a chain in journals: of a shipped one, or its own attribute `name`, else `package.module:Name`."""
    for name, shipped in SHIPPED.items():
        if type(chain.original) is shipped:
            return name
    own = chain.name
    if isinstance(own, str) and own and own not in SHIPPED:
        return own
    return class_name(chain)


def require_process(journal: str | Path, process: str, chain: CheckedChain) -> None:
    """Raise `InputError` where the run in a journal is of another process."""
    if not any(same_process(process, name) for name in (process_name(chain), class_name(chain))):
        raise InputError(f"{journal} holds a run of {process}, not of {process_name(chain)}")


def class_name(chain: CheckedChain) -> str:
    """The place of a chain's class, or of the function that it is made of: `package.module:Class`."""
    defined: Any = type(chain.original)
    if chain.function is not None:
        defined = plain_function(chain.function.function)
    return f"{defined.__module__}:{defined.__qualname__}"


def name_to_import(chain: Chain, given: str) -> str | None:
    """The name that makes a chain again, where its journal's name of it does not; `given` made this one."""
    checked = required_chain(chain)
    own = process_name(checked)
    if own in {*SHIPPED, class_name(checked)} and is_made_by_name(own):
        return None
    # a class or a function takes the journal's parameters; a name of an object takes none
    if checked.function is not None or isinstance(import_object(given), type) or not checked.parameters():
        return given
    return class_name(checked)


def is_made_by_name(process: str) -> bool:
    """Whether the name that a journal has of its process makes it; the names of `Chain.name` and of scripts do not."""
    module, colon, _ = process.partition(":")
    return process in SHIPPED or (bool(colon) and module != SCRIPT_MODULE and LOCAL not in process)


def make_chain(name: str, parameters: Mapping[str, Json], permission: Permission = GIVEN) -> Chain:
    """Make the chain called `name`, with its constructor's arguments; raises `InputError` where that fails.

    Nothing is imported without permission, which another person's journal does not have.
    """
    if name not in SHIPPED:
        permission.require_code("process", name)
    made = SHIPPED[name] if name in SHIPPED else _imported_process(name)
    if isinstance(made, type):
        # a journal may name any class; only a class of chains is called
        if not is_chain(made):
            raise InputError(not_a_chain(made, name))
        made = object_of_class(made, parameters, name)
        if own_method(made, "parameters") is None:
            with suppress(AttributeError, TypeError):  # a class with slots
                setattr(made, MADE_WITH, dict(parameters))
    elif is_function_process(made):
        made = function_chain(made, parameters)
    elif parameters:
        raise InputError(f"{name} is an object, not a class; it takes no parameters")
    return required_chain(made, name).original


def process_of(process: Any, args: Sequence[Any] | Mapping[str, Any] = ()) -> CheckedChain:
    """A chain, or an async function with its arguments, as the runtime calls it.

    Raises `InputError` for another object, and for arguments that the function does not take.
    """
    if is_function_process(process):
        require_arguments("args", args)
        positional, named = ((), args) if isinstance(args, Mapping) else (args, {})
        return CheckedChain(FunctionChain(process, named_arguments(process, positional, named)))
    if args:
        raise InputError("args are those of an async function: a chain is made with its own arguments")
    return required_chain(process)


def required_chain(chain: Any, name: str = "", parameters: Mapping[str, Json] = MappingProxyType({})) -> CheckedChain:
    """A user's chain, as the runtime calls it; an async function takes `parameters`, those that its run began with.

    Raises `InputError` for another object, and for a method that is misspelled or cannot be called.
    """
    if isinstance(chain, CheckedChain):
        return chain
    if is_function_process(chain):
        return CheckedChain(function_chain(chain, parameters))
    if isinstance(chain, type) and is_chain(chain):
        raise InputError(f"{chain.__name__} is a class: pass an object of it, {chain.__name__}(...)")
    if isinstance(chain, type) or not is_chain(chain):
        raise InputError(not_a_chain(chain, name))
    if (wrong := misfit(chain)) is not None:
        raise InputError(wrong)
    return CheckedChain(chain)


def _imported_process(name: str) -> Any:
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        shipped = ", ".join(sorted(SHIPPED))
        like = did_you_mean(name, SHIPPED)
        said = f"no process is called {name!r}{like or '.'} The processes that ship are {shipped}"
        said += "; your own, a class or an async function, is written package.module:Name"
        raise InputError(about_words(said, name))
    if module_name == SCRIPT_MODULE and LOCAL not in attribute:
        raise DefinedInScript(
            f"{attribute} was defined in a script, which its journal does not name: run the script again, or give "
            f"`chain` module:{attribute}"
        )
    if LOCAL in attribute:
        raise DefinedInScript(
            f"{attribute} was defined within a function, where no name finds it: run its script again, or pass "
            "the process itself: `chain`"
        )
    return without_secrets_in_errors(import_object, name)
