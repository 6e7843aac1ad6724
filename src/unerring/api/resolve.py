"""From the words of a command line or a journal to processes and models."""

import inspect
import re
import shlex
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from unerring.adapters.embedded.catalog import DRAFT, parse_embedded_spec
from unerring.adapters.function import Function, FunctionSampler
from unerring.adapters.noise import NoisySampler
from unerring.adapters.permission import GIVEN, Permission
from unerring.adapters.plugins import import_object, installed_models, is_user_model, user_sampler
from unerring.adapters.scrubbing import about_words
from unerring.adapters.user_frames import error_with_place
from unerring.core.chain import MADE_WITH, Chain, parameters_of
from unerring.core.chain_form import misfit, not_a_chain
from unerring.core.journal.digests import SCRIPT_MODULE, same_process
from unerring.core.short_text import short
from unerring.core.suggestions import did_you_mean
from unerring.core.voting.canonical import Json, canonical
from unerring.core.voting.policy import Policy
from unerring.errors import InputError, UnerringError, UserCodeFailed
from unerring.processes import SHIPPED
from unerring.runtime.config import Speculation
from unerring.runtime.ensemble import RESERVE, SEPARATOR, Ensemble
from unerring.runtime.protocols import Sampler

Model: TypeAlias = str | Sampler | Function | Sequence["Model"]
"""What answers: a specification such as `embedded`, a sampler, a function, or several that take turns."""

_OF_OPENAI = re.compile(r"(gpt|chatgpt|o[1-9])\b")  # how names of OpenAI's models begin


def process_name(chain: Chain) -> str:
    """The name a chain goes by: a shipped one's own, or what its `name` says, else `package.module:Class`."""
    for name, shipped in SHIPPED.items():
        if type(chain) is shipped:
            return name
    own = getattr(chain, "name", None)
    if isinstance(own, str) and own and own not in SHIPPED:
        return own
    return class_name(chain)


def require_process(journal: str | Path, process: str, chain: Chain) -> None:
    """Raise `InputError` where the run in a journal is of another process than this one."""
    if not any(same_process(process, name) for name in (process_name(chain), class_name(chain))):
        raise InputError(f"{journal} holds a run of {process}, not of {process_name(chain)}")


def class_name(chain: Chain) -> str:
    """Where a chain's class is defined: `package.module:Class`."""
    return f"{type(chain).__module__}:{type(chain).__qualname__}"


def calibrating(chain: Chain, model: Model) -> str:
    """How a model is measured on a chain, and that used: as a command where their names say all, else in Python."""
    specified = [model] if isinstance(model, str) else model
    if not isinstance(specified, list | tuple) or not all(isinstance(one, str) for one in specified):
        return "unerring.calibrate(chain, model, out='cal.json'), then unerring.Target(calibration='cal.json')"
    told = parameters_of(chain).items()
    texts = ((name, value if isinstance(value, str) else canonical(value)) for name, value in told)
    settings = (word for name, text in texts for word in ("--set", f"{name}={text}"))
    models = (word for one in specified for word in ("--model", one))
    words = ["unerring", "calibrate", process_name(chain), *settings, *models, "--out", "cal.json"]
    return f"{shlex.join(words)}; then run it with `calibration` cal.json"


def make_chain(name: str, parameters: Mapping[str, Json], permission: Permission = GIVEN) -> Chain:
    """Make the chain called `name`, with its constructor's arguments; raises `InputError` with one clear line.

    Nothing is imported for it without the permission, which the words of a journal from somewhere else have not.
    """
    if name not in SHIPPED:
        permission.require_code("process", name)
    made = SHIPPED[name] if name in SHIPPED else _imported(name)
    if isinstance(made, type):
        # a journal may name any class, and only a chain's is ever called
        if not isinstance(made, Chain):
            raise InputError(not_a_chain(made, name))
        try:
            inspect.signature(made).bind(**parameters)
        except TypeError as error:
            takes = ", ".join(inspect.signature(made).parameters) or "no arguments"
            raise InputError(f"{name} cannot be made so: {error}; it takes {takes}") from None
        try:
            made = made(**parameters)
            if not hasattr(made, "parameters"):
                with suppress(AttributeError, TypeError):  # a class with slots
                    setattr(made, MADE_WITH, dict(parameters))
        except UnerringError:
            raise
        except (Exception, SystemExit) as error:
            raise UserCodeFailed(f"{name} cannot be made: {error_with_place(error)}") from error
    elif parameters:
        raise InputError(f"{name} is an object, made already; it takes no parameters")
    return required_chain(made, name)


def required_chain(chain: Any, name: str = "") -> Chain:
    """The chain, or `InputError` where the object is none, or has a method that cannot be called or is misspelled."""
    if isinstance(chain, type) and isinstance(chain, Chain):
        raise InputError(f"{chain.__name__} is a class: pass an object of it, {chain.__name__}(...)")
    if isinstance(chain, type) or not isinstance(chain, Chain):
        raise InputError(not_a_chain(chain, name))
    if (wrong := misfit(chain)) is not None:
        raise InputError(wrong)
    return chain


def require_chain_and_model(chain: Any, model: Model) -> None:
    """Raise `InputError` where the chain is none, or where chain and model stand in each other's place."""
    if not isinstance(chain, Chain) and isinstance(model, Chain):
        raise InputError("the chain comes first and then the model: run(chain, model); here they are swapped")
    if isinstance(chain, str):
        raise InputError(f"a chain is an object, such as unerring.Hanoi(disks=3); it cannot be the text {chain!r:.40}")
    required_chain(chain)


def _imported(name: str) -> Any:
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        shipped = ", ".join(sorted(SHIPPED))
        like = did_you_mean(name, SHIPPED)
        told = f"no process is called {name!r}{like}; shipped: {shipped}; your own: package.module:Class"
        raise InputError(about_words(told, name))
    if module_name == SCRIPT_MODULE:
        raise InputError(
            f"{attribute} was defined in a script, which its journal does not name: run the script again, or say "
            f"where the class is: `chain` module:{attribute}"
        )
    try:
        return import_object(name)
    except InputError as error:
        raise type(error)(about_words(str(error), name)) from error.__cause__


@dataclass(frozen=True, slots=True)
class SamplerContext:
    """What samplers are made for.

    seed: of their samples.
    run: the name of the run, the same when it is resumed.
    permission: what may be done for the words that name them.
    """

    seed: int
    run: str = "nothing"
    permission: Permission = GIVEN


@contextmanager
def sampler_for(model: Model, chain: Chain, seed: int, permission: Permission = GIVEN) -> Iterator[Sampler]:
    """A sampler to look at, as `make_sampler` makes it: one beyond a network is not to be asked anything."""
    with ExitStack() as made:
        yield make_sampler(model, chain, SamplerContext(seed, permission=replace(permission, sends=False)), made)


def make_sampler(
    model: Model, chain: Chain, origin: SamplerContext, made: ExitStack | AsyncExitStack, escalate: Model | None = None
) -> Sampler:
    """A sampler from a specification such as `embedded`, a function, a sampler, or a list of these to take turns.

    `escalate` is the same again, for what answers on steps that the others could not settle. Samplers made here are
    closed at the end of `made`; one that was passed in stays its owner's.
    """
    members, reserves = _members(model, chain, origin, made)
    if escalate is not None:
        if reserves:
            raise InputError("the model says already what hard steps are escalated to; leave one of the two out")
        reserves, further = _members(escalate, chain, origin, made)
        if further:
            raise InputError("what hard steps are escalated to cannot escalate them further")
    return members[0] if len(members) == 1 and not reserves else Ensemble(members, reserves)


def _members(
    model: Model, chain: Chain, origin: SamplerContext, made: ExitStack | AsyncExitStack
) -> tuple[list[Sampler], list[Sampler]]:
    """The samplers that a model stands for: those that take turns, and those in reserve."""
    if isinstance(model, str) and (RESERVE in model or SEPARATOR in model):
        first, _, last = model.partition(RESERVE)
        turns, reserve = first.split(SEPARATOR), last.split(SEPARATOR) if last else []
        return [_specified(one, chain, origin, made) for one in turns], [
            _specified(one, chain, origin, made) for one in reserve
        ]
    if isinstance(model, list | tuple) and model:
        each = [_members(one, chain, origin, made) for one in model]
        return [one for members, _ in each for one in members], [one for _, reserves in each for one in reserves]
    return [_single(model, chain, origin, made)], []


def _single(model: Model, chain: Chain, origin: SamplerContext, made: ExitStack | AsyncExitStack) -> Sampler:
    if isinstance(model, str):
        return _specified(model, chain, origin, made)
    if hasattr(model, "sample") and not isinstance(model, type):
        return _required_sampler(model)
    if callable(model) and not isinstance(model, type):
        return _to_close(FunctionSampler(model), made)
    if isinstance(model, type):
        raise InputError(f"{model.__name__} is a class: pass an object of it as the model, {model.__name__}(...)")
    raise InputError(f"a model is a specification, a function or a sampler, not {short(model)}")


def _specified(asked: str, chain: Chain, origin: SamplerContext, made: ExitStack | AsyncExitStack) -> Sampler:
    """The sampler of a specification; what is wrong with one is said without what in it may be a secret."""
    try:
        return _of_provider(asked, chain, origin, made)
    except InputError as error:
        raise type(error)(about_words(str(error), asked)) from error.__cause__


def _of_provider(asked: str, chain: Chain, origin: SamplerContext, made: ExitStack | AsyncExitStack) -> Sampler:
    spec = embedded_for(chain, asked)
    provider, _, rest = spec.partition("/")
    if provider == "embedded":
        from unerring.adapters.embedded.sampler import EmbeddedDrafter, EmbeddedSampler

        drafting = parse_embedded_spec(spec)[1] == (DRAFT,)
        return EmbeddedDrafter(spec) if drafting else _to_close(EmbeddedSampler(spec, origin.seed), made)
    if provider == "noise":
        rehearse = getattr(chain, "rehearse", None)
        if rehearse is None:
            raise InputError("the noise sampler needs a process with a method rehearse(prompt)")
        return _to_close(NoisySampler(rehearse, **_noise(rest)), made)
    if provider == "openai":
        from unerring.adapters.openai import OpenAISampler

        return _to_close(OpenAISampler(spec, permission=origin.permission), made)
    if provider == "openai-batch":
        from unerring.adapters.openai_batch.sampler import BatchSampler

        return _to_close(BatchSampler(spec, origin.run, permission=origin.permission), made)
    if provider == "litellm":
        from unerring.adapters.litellm import LiteLLMSampler

        return _to_close(LiteLLMSampler(spec, permission=origin.permission), made)
    if is_user_model(spec):
        origin.permission.require_code("model", spec)
    own = user_sampler(spec)
    if own is not None:
        return _to_close(own, made)
    known = ("embedded", "embedded/digits", "either with /a, /b, /c", "openai/MODEL[@URL]", "openai-batch/MODEL[@URL]")
    others = ("litellm/PROVIDER/MODEL", "noise/p=0.99,v=0.95,c=0", *installed_models())
    own_model = "your own: package.module:Class (from Python: model=...)"
    there_are = ", ".join((*known, *others, own_model))
    raise InputError(f"no model is called {spec!r}{_meant(spec)}; there are: {there_are}")


def _meant(spec: str) -> str:
    """What a specification that names no model may be meant to be."""
    provider, slash, rest = spec.partition("/")
    if not slash and _OF_OPENAI.match(spec):
        return f"; did you mean openai/{spec}?"
    like = did_you_mean(provider, ("embedded", "noise", "openai", "openai-batch", "litellm", *installed_models()))
    return f"{like[:-1]}{slash}{rest}?" if like else ""


def require_model(model: Model, chain: Chain) -> None:
    """Raise `InputError` where a model is none, or its specification cannot be used; nothing is asked of it."""
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


def _to_close(sampler: Sampler, made: ExitStack | AsyncExitStack) -> Sampler:
    """The sampler, to be closed at the end if it can be."""
    close: Callable[[], None] | None = getattr(sampler, "close", None)
    if close is not None:
        made.callback(close)
    aclose: Callable[[], Awaitable[None]] | None = getattr(sampler, "aclose", None)
    if aclose is not None and isinstance(made, AsyncExitStack):
        made.push_async_callback(aclose)
    return sampler


def _noise(text: str) -> dict[str, float]:
    names = {"p": "p", "v": "v", "c": "correlated"}
    figures = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        try:
            figures[names[name]] = float(value)
        except (KeyError, ValueError):
            raise InputError(f"noise is written noise/p=0.99,v=0.95,c=0, not noise/{text}") from None
    return figures


def embedded_for(chain: Chain, model: Model) -> Any:
    """The model that is meant: `embedded`, asked by a process that another embedded model knows, is that one."""
    if isinstance(model, list | tuple) and len(model) == 1:
        return embedded_for(chain, model[0])
    own: str | None = getattr(chain, "embedded", None)
    return own if own is not None and model == "embedded" else model


def recommended_policy(model: Model) -> Policy | None:
    """The policy measured for a model, where one is: the embedded models' are shipped with them."""
    if isinstance(model, list | tuple) and len(model) == 1:
        return recommended_policy(model[0])
    if isinstance(model, str) and model.partition("/")[0] == "embedded":
        return parse_embedded_spec(model)[0].policy
    policy: Policy | None = getattr(model, "recommended_policy", None)
    return policy


def speculation_for(
    speculate: Model, chain: Chain, sampler: Sampler, origin: SamplerContext, made: ExitStack | AsyncExitStack
) -> Speculation | None:
    """Where a run's guesses come from: `off`, `leader`, `guess`, `auto`, or a drafting model in any of its forms."""
    origin = replace(origin, permission=replace(origin.permission, journal=None))  # the user says, never a journal
    own: Callable[[Json], Json] | None = getattr(chain, "guess", None)
    if speculate == "auto":
        drafter: str | None = getattr(sampler, "drafter", None)
        speculate = drafter or ("guess" if own else "leader")
    if speculate == "off":
        return None
    if speculate == "leader":
        return Speculation()
    if speculate != "guess":
        return Speculation(make_sampler(speculate, chain, origin, made))
    if own is None:
        raise InputError(f"{process_name(chain)} has no method guess(state) to speculate with; try leader, or a model")
    return Speculation(own)
