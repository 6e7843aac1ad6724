"""Make samplers from models: a specification, a function, a sampler, or several of these that take turns."""

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

from unerring.adapters.embedded.catalog import parse_embedded_spec
from unerring.adapters.function import Function, FunctionSampler
from unerring.adapters.plugins import installed_models, is_user_model, user_sampler
from unerring.adapters.providers import PROVIDERS, SamplerContext
from unerring.adapters.scrubbing import without_secrets_in_errors
from unerring.adapters.trust.permission import GIVEN, Permission
from unerring.adapters.user_code.modules import import_object
from unerring.api.chains import process_name, required_chain
from unerring.core.chain_form import is_chain
from unerring.core.checked_chain import CheckedChain
from unerring.core.journal.digests import FUNCTION_PREFIX
from unerring.core.journal.entries import Opened
from unerring.core.short_text import short
from unerring.core.suggestions import did_you_mean
from unerring.core.voting.policy import Policy
from unerring.errors import InputError
from unerring.runtime.config import Speculation
from unerring.runtime.ensemble import RESERVE, SEPARATOR, Ensemble
from unerring.runtime.protocols import Sampler

Stack: TypeAlias = ExitStack | AsyncExitStack
Model: TypeAlias = str | Sampler | Function | Sequence["Model"]
"""What answers: a specification such as `embedded`, a sampler, a function, or several that take turns."""

_OPENAI_MODEL_NAME = re.compile(r"(gpt|chatgpt|o[1-9])\b")  # how OpenAI's model names begin


class _UnknownModel(InputError):
    """No model has this name; `make_sampler` adds which ones there are."""


def require_chain_and_model(chain: Any, model: Model) -> None:
    """Raise `InputError` for a chain that is none, and where chain and model are swapped."""
    if not is_chain(chain) and is_chain(model):
        raise InputError("the chain comes first and then the model: run(chain, model); here they are swapped")
    if isinstance(chain, str):
        raise InputError(f"a chain is an object, such as unerring.Hanoi(disks=3); it cannot be the text {chain!r:.40}")
    required_chain(chain)


@contextmanager
def sampler_for(
    model: Model, chain: CheckedChain | None, seed: int, permission: Permission = GIVEN
) -> Iterator[Sampler]:
    """A sampler to read the properties of; it may not be asked, since an endpoint's is made without its key."""
    with ExitStack() as stack:
        yield make_sampler(model, SamplerContext(chain, seed, permission=replace(permission, sends=False)), stack)


def make_sampler(model: Model, context: SamplerContext, stack: Stack, escalate: Model | None = None) -> Sampler:
    """Make the sampler of a model; several models take turns.

    `escalate` is the model that answers steps that the others could not decide. Samplers made here are closed at the
    end of `stack`; a sampler that was passed in is not.
    """
    try:
        return _made_sampler(model, context, stack, escalate)
    except _UnknownModel as error:
        forms = [*(one.forms for one in PROVIDERS.values()), *installed_models()]
        there_are = ", ".join((*forms, "your own as package.module:Class (from Python: model=...)"))
        raise InputError(f"{error} The models are: {there_are}") from error.__cause__


def _made_sampler(model: Model, context: SamplerContext, stack: Stack, escalate: Model | None = None) -> Sampler:
    """The sampler of `make_sampler`; raises `_UnknownModel` for a name of no model."""
    members, reserves = _turns_and_reserves(model, context, stack)
    if escalate is not None:
        if reserves:
            raise InputError("the model already names what hard steps are escalated to; leave one of the two out")
        with _named_option("`escalate` is a model"):
            reserves, further = _turns_and_reserves(escalate, context, stack)
        if further:
            raise InputError("`escalate` names a model that escalates further; only one level is possible")
    return members[0] if len(members) == 1 and not reserves else Ensemble(members, reserves)


def _turns_and_reserves(model: Model, context: SamplerContext, stack: Stack) -> tuple[list[Sampler], list[Sampler]]:
    """The samplers of a model: those that take turns, and those in reserve."""
    if isinstance(model, str):
        if FUNCTION_PREFIX in model:
            raise InputError(_lost_function(model))
        first, _, last = model.partition(RESERVE)
        turns, reserves = first.split(SEPARATOR), last.split(SEPARATOR) if last else []
        return _samplers_of_specs(turns, context, stack), _samplers_of_specs(reserves, context, stack)
    if isinstance(model, list | tuple) and model:
        each = [_turns_and_reserves(one, context, stack) for one in model]
        return [one for members, _ in each for one in members], [one for _, reserves in each for one in reserves]
    if isinstance(model, type):
        raise InputError(f"{model.__name__} is a class: pass an object of it as the model, {model.__name__}(...)")
    if hasattr(model, "sample"):
        return [_required_sampler(model)], []
    if callable(model):
        return [_closed_at_end(FunctionSampler(model), stack)], []
    raise InputError(f"a model is a specification, a function or a sampler, not {short(model)}")


def _samplers_of_specs(specs: Sequence[str], context: SamplerContext, stack: Stack) -> list[Sampler]:
    """The samplers of specifications; errors leave out what in these may be a secret."""
    made = (without_secrets_in_errors(partial(_sampler_of_spec, context), one) for one in specs)
    return [_closed_at_end(one, stack) for one in made]


def _sampler_of_spec(context: SamplerContext, asked: str) -> Sampler:
    spec = model_for_chain(context.chain, asked)
    provider = PROVIDERS.get(spec.partition("/")[0])
    if provider is not None:
        return provider.make(spec, context)
    if is_user_model(spec):
        context.permission.require_code("model", spec)
    if (own := user_sampler(spec)) is not None:
        return own
    raise _UnknownModel(f"no model is called {spec!r}{_suggestion(spec) or '.'}")


@contextmanager
def _named_option(said: str) -> Iterator[None]:
    """Say in errors about a model which option takes it, and what else that takes."""
    try:
        yield
    except InputError as error:
        kind = InputError if isinstance(error, _UnknownModel) else type(error)  # `said` names the models instead
        raise kind(f"{said}: {error}") from error.__cause__


def _suggestion(spec: str) -> str:
    """The model that a wrong specification probably means."""
    provider, slash, rest = spec.partition("/")
    if not slash and _OPENAI_MODEL_NAME.match(spec):
        return f"; did you mean openai/{spec}?"
    like = did_you_mean(provider, (*PROVIDERS, *installed_models()))
    return f"{like[:-1]}{slash}{rest}?" if like else ""


def is_function(model: str) -> bool:
    """Whether a journal's name of its model is that of one Python function, and of no others."""
    return model.startswith(FUNCTION_PREFIX) and SEPARATOR not in model and RESERVE not in model


def _lost_function(model: str) -> str:
    """What to do about a journal's model that is, or has among several, a Python function."""
    function = re.split(rf"{re.escape(SEPARATOR)}|{re.escape(RESERVE)}", model.partition(FUNCTION_PREFIX)[2])[0]
    said = f"the Python function {function:.60}, which no journal can make again: run its script again"
    if is_function(model):
        command = f" (on a command line as module:{function:.60})" if function.isidentifier() else ""
        return f"the model was {said}, or give the function as `model`{command}"
    again = "" if RESERVE in model else ", or call unerring.resume(journal, model=[...])"
    return f"one of the run's models was {said}{again}"


def function_again(opened: Opened, name: str) -> Model:
    """The function that the model of a run was, by its name `module:function`; under its own name in the journal.

    Raises `InputError` where the run's model was no function: a run keeps its model.
    """
    if not is_function(opened.model):
        if FUNCTION_PREFIX in opened.model:
            raise InputError(_lost_function(opened.model))
        raise InputError(
            f"the run keeps its model, {opened.model}: on resuming, `model` is for one that was a Python function"
        )
    function: Any = without_secrets_in_errors(import_object, name) if ":" in name else None
    if isinstance(function, type) or not callable(function):
        raise InputError(f"{name:.80} is no function: `model` is written module:function here")
    model: Function = function
    return model


def require_model(model: Model, chain: CheckedChain) -> None:
    """Raise `InputError` for a model that is none or cannot be made; it is not asked."""
    with sampler_for(model, chain, 0):
        return


def _required_sampler(model: Any) -> Sampler:
    lacking = [name for name in ("name", "paid", "compact") if not hasattr(model, name)]
    if lacking:
        raise InputError(
            f"{model!r} is no sampler: it lacks {', '.join(lacking)} (see unerring.runtime.protocols.Sampler)"
        )
    sampler: Sampler = model
    return sampler


def _closed_at_end(sampler: Sampler, stack: Stack) -> Sampler:
    """The sampler, which is closed at the end of the stack if it can be."""
    close: Callable[[], None] | None = getattr(sampler, "close", None)
    if close is not None:
        stack.callback(close)
    aclose: Callable[[], Awaitable[None]] | None = getattr(sampler, "aclose", None)
    if aclose is not None and isinstance(stack, AsyncExitStack):
        stack.push_async_callback(aclose)
    return sampler


def model_for_chain(chain: CheckedChain | None, model: Model) -> Any:
    """The model of a run: `embedded` means the embedded model that was trained for the process."""
    if isinstance(model, list | tuple) and len(model) == 1:
        return model_for_chain(chain, model[0])
    own = None if chain is None else chain.embedded
    return own if own is not None and model == "embedded" else model


def recommended_policy(model: Model) -> Policy | None:
    """The policy that comes with a model, if any: the embedded models have one."""
    if isinstance(model, list | tuple) and len(model) == 1:
        return recommended_policy(model[0])
    if isinstance(model, str) and model.partition("/")[0] == "embedded":
        return parse_embedded_spec(model)[0].policy
    policy: Policy | None = getattr(model, "recommended_policy", None)
    return policy


def speculation_for(speculate: Model, sampler: Sampler, context: SamplerContext, stack: Stack) -> Speculation | None:
    """The source of a run's guesses: `off`, `leader`, `guess`, `auto`, or a drafting model in any of its forms."""
    chain, permission = context.chain, replace(context.permission, journal=None)  # named by the user, not a journal
    assert chain is not None
    own = chain.guess
    if speculate == "auto":
        drafter: str | None = getattr(sampler, "drafter", None)
        speculate = drafter or ("guess" if own else "leader")
    if speculate == "off":
        return None
    if speculate == "leader":
        return Speculation()
    if speculate != "guess":
        with _named_option("`speculate` is auto, off, leader, guess, or a model that drafts"):
            return Speculation(_made_sampler(speculate, replace(context, permission=permission), stack))
    if own is None:
        raise InputError(f"{process_name(chain)} has no method guess(state) to speculate with; try leader, or a model")
    return Speculation(own)
