"""Sampler for models that LiteLLM reaches: `litellm/PROVIDER/MODEL` (`pip install 'unerring[litellm]'`).

The library sends the request; everything else is done as for `openai/MODEL`. An exception of the library is turned
back into the reply that caused it, and read by the same code. The library's own retries, caches and telemetry are off,
and so are its price map from the network and its reading of `.env` files. This module loads without the library.

One thing cannot be turned off: for some providers, a request whose connection was closed without an answer is sent
again.
"""

import asyncio
import importlib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import msgspec

from unerring.adapters.chat.request import FORMAT, LIMITS
from unerring.adapters.chat.sampler import ChatSampler
from unerring.adapters.http.client import Answer
from unerring.adapters.http.errors import MAX_ERROR_BYTES, Failure, one_line
from unerring.adapters.http.spec import DEFAULT_URL, OPENAI, EndpointSpec, Secret, parse_spec
from unerring.adapters.scrubbing import MIN_SECRET_CHARS, KeyFinder, secrets_in
from unerring.adapters.trust.permission import GIVEN, Permission
from unerring.errors import FailureKind, InputError, ProviderBusy

LITELLM = "litellm"
OPTIONAL_PARAMETERS = "temperature", "seed", "logprobs", "n", FORMAT  # parameters that some providers do not take
ORDINARY = frozenset({"model", "messages", *LIMITS, *OPTIONAL_PARAMETERS})  # parameters of every request
MAX_CAUSES = 20  # exceptions that are followed from one to its cause
MIN_OTHER_SECRET_CHARS = 16  # of other variables' secrets: shorter values may occur in an answer by chance

_SYNTAX = f"{LITELLM}/PROVIDER/MODEL"
# Parameters by which the library sends a request, and the key, to another host or another model. A journal keeps
# request fields, so it must not be able to set these.
_REDIRECTING = re.compile(
    r".*(_base|_url|_endpoint|_host|headers|fallbacks|client|proxy|credentials)|api_(key|version)|custom_llm_provider"
    r"|(aws|azure|vertex|watsonx|sagemaker|hf|region|deployment)_.*|model_list|organization",
    re.IGNORECASE,
)
# Exceptions of openai, httpx, aiohttp and Python, by their class names or those of their bases: connections that
# failed, and those that failed before anything was sent.
_NETWORK = {"APIConnectionError", "TransportError", "ClientError", "TimeoutError"}
_NOT_SENT = {"ConnectError", "ConnectTimeout", "PoolTimeout", "ClientConnectorError", "ConnectionRefusedError"}
# Headers that are no longer true once the library has unpacked the body.
_ENCODING_HEADERS = {"content-encoding", "content-length", "transfer-encoding"}


class LiteLLMSampler(ChatSampler):
    """Asks one model through LiteLLM; made from a specification such as `litellm/groq/llama-3.3-70b-versatile`.

    Options are those of `openai/MODEL`. Keys are where LiteLLM looks for them, in environment variables such as
    GROQ_API_KEY. Raises `InputError` where the library is not installed, or does not know the provider.
    """

    def __init__(self, spec: str, environ: Mapping[str, str] | None = None, permission: Permission = GIVEN) -> None:
        """`environ` has the keys that must not get into messages: the environment, if it is None."""
        parsed = _parsed(spec)
        provider = parsed.model.partition("/")[0]
        place = f"LiteLLM {provider if parsed.url == DEFAULT_URL else parsed.place}"
        environ = os.environ if environ is None else environ
        keys = _Keys(provider, environ)
        _require_permission(parsed, keys, environ, permission)
        library = _library()
        _require_known(library, parsed)
        name = parsed.name.replace(OPENAI, LITELLM, 1)
        super().__init__(parsed, name, place, keys, _LibraryBackend(library, parsed, place, keys))
        taken = library.get_supported_openai_params(parsed.model) or OPTIONAL_PARAMETERS
        for parameter in set(OPTIONAL_PARAMETERS).difference(taken):
            self._form.without(parameter)


class _LibraryBackend:
    """The library as the backend of a sampler: it is given request bodies, and its replies become HTTP answers."""

    # Backends that sent something, by event loop: all of a loop share the library's connections.
    _users: "dict[asyncio.AbstractEventLoop, set[_LibraryBackend]]" = {}  # noqa: RUF012

    def __init__(self, library: Any, spec: EndpointSpec, place: str, secret: Secret) -> None:
        self._library = library
        self._place = place
        self._secret = secret
        self._timeout = spec.timeout
        self._fixed: dict[str, Any] = {
            "num_retries": 0,
            "max_retries": 0,
            "caching": False,
            "cache": {"no-cache": True, "no-store": True},
            "drop_params": True,
            "timeout": spec.timeout,
        }
        if spec.url != DEFAULT_URL:
            self._fixed["api_base"] = spec.url
        self._own = _own_parameters()

    async def exchange(self, body: bytes) -> Answer | Failure:
        """Have the library send a body; return the answer, or the failure to get one."""
        parameters = self._parameters(msgspec.json.decode(body))
        for loop in [loop for loop in self._users if loop.is_closed()]:
            del self._users[loop]
        self._users.setdefault(asyncio.get_running_loop(), set()).add(self)
        try:
            async with asyncio.timeout(self._timeout):
                reply = await self._library.acompletion(**parameters, **self._fixed)
            return 200, _headers(reply), _body(reply)
        except TimeoutError:
            words = f"{self._place}: no answer within {self._timeout:g} seconds"
            return ProviderBusy(words, None, FailureKind.UNKNOWN)
        except Exception as error:  # the library raises any exception
            return answered(error) or self._unanswered(error)

    def _parameters(self, fields: dict[str, Any]) -> dict[str, Any]:
        """A body's fields as parameters; those that the library must not drop in silence are named to it."""
        forced = [name for name in fields if name not in ORDINARY]
        for name in forced:
            if name in self._fixed or name in self._own or _REDIRECTING.fullmatch(name):
                raise InputError(f"{name!r} cannot be a further field of a request: LiteLLM uses it itself")
        return fields | {"allowed_openai_params": forced} if forced else fields

    def _unanswered(self, error: Exception) -> Failure:
        kind = FailureKind.TRANSIENT if _class_names(error) & _NOT_SENT else FailureKind.UNKNOWN
        return ProviderBusy(one_line(f"{self._place}: {error}", self._secret), None, kind)

    async def aclose(self) -> None:
        """Close the library's connections, once no other backend uses them."""
        loop = asyncio.get_running_loop()
        users = self._users.get(loop, set())
        users.discard(self)
        if users:
            return
        self._users.pop(loop, None)
        if not self._users:
            await self._library.close_litellm_async_clients()
            self._library.in_memory_llm_clients_cache.flush_cache()


def answered(error: BaseException) -> Answer | None:
    """The refusal that an exception of the library stands for; None where there was none, or it is not known."""
    causes = list(_causes(error))
    for cause in reversed(causes):  # the first cause has the reply itself, later ones reword it
        answer = _response(getattr(cause, "response", None))
        if answer is not None:
            return answer
    status = getattr(error, "status_code", None)
    if not isinstance(status, int) or _class_names(error) & _NETWORK:
        return None
    if 400 <= status <= 499 or status in {503, 529}:
        return status, {}, msgspec.json.encode({"error": {"message": str(error), "code": _code(error)}})
    return None  # the library also gives 500 to a reply that it could not read


def _response(response: Any) -> Answer | None:
    """What an HTTP response of httpx holds; None for an empty one, which the library made up."""
    try:
        status, body, headers = response.status_code, response.content, response.headers
        if not isinstance(status, int) or status < 300 or not (body or headers):
            return None
        return status, _lowered(headers), bytes(body)[:MAX_ERROR_BYTES]
    except Exception:  # no response of httpx, or one that was never read
        return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _ in range(MAX_CAUSES):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__


def _class_names(error: BaseException) -> set[str]:
    """The class names of an exception and its causes, with those of their bases."""
    return {kind.__name__ for cause in _causes(error) for kind in type(cause).__mro__}


def _code(error: BaseException) -> str:
    """An exception's classes as an error's code: `content_policy_violation_error bad_request_error`."""
    names = [kind.__name__ for kind in type(error).__mro__ if kind.__name__.endswith("Error")]
    return " ".join(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower() for name in names)


def _headers(reply: Any) -> dict[str, str]:
    """The headers of a reply, as the library passes them on."""
    hidden = getattr(reply, "_hidden_params", None) or {}
    headers = _lowered(hidden.get("additional_headers") or {})
    if hidden.get("cache_hit"):
        headers["x-litellm-cache-hit"] = "true"
    return {name.removeprefix("llm_provider-"): value for name, value in headers.items()}


def _lowered(headers: Mapping[Any, Any]) -> dict[str, str]:
    named = ((str(name).lower(), str(value)) for name, value in headers.items())
    return {name: value for name, value in named if name.removeprefix("llm_provider-") not in _ENCODING_HEADERS}


def _body(reply: Any) -> bytes:
    """A reply as OpenAI writes it, except for finish reasons, which are the provider's own.

    The library turns errors, and all reasons that it does not know, into `stop`. It says 0 tokens where the provider
    gave no count.
    """
    fields = reply.model_dump(mode="json", warnings=False)
    for choice in fields.get("choices") or ():
        reason = (choice.get("provider_specific_fields") or {}).get("native_finish_reason")
        if reason is not None and choice.get("finish_reason") == "stop":
            choice["finish_reason"] = reason
    usage = fields.get("usage")
    if isinstance(usage, dict) and not usage.get("prompt_tokens") and not usage.get("completion_tokens"):
        del fields["usage"]
    return msgspec.json.encode(fields)


class _Keys(Secret):
    """The keys in the environment: the provider's, and everything else that looks like a key."""

    __slots__ = ("_finders",)

    def __init__(self, provider: str, environ: Mapping[str, str]) -> None:
        variable = f"{provider.upper()}_API_KEY"
        own = environ.get(variable, "")
        super().__init__(own, variable)
        keys = {*secrets_in(environ, MIN_OTHER_SECRET_CHARS), *([own] if len(own) >= MIN_SECRET_CHARS else [])}
        self._finders = [KeyFinder(key) for key in sorted(keys, key=len, reverse=True)]

    def scrubbed(self, text: str) -> str:
        """The text without any of the keys."""
        for finder in self._finders:
            text = finder.without(text)
        return text


def _require_permission(spec: EndpointSpec, keys: _Keys, environ: Mapping[str, str], permission: Permission) -> None:
    """Raise `InputError` where the library would send a key to a host that it may not be sent to."""
    if "http" in spec.model.lower():  # some of its providers take an address as a model's name
        permission.require_code("model", f"{LITELLM}/{spec.model}")
    if spec.url != DEFAULT_URL and (keys.header or permission.journal):
        encrypted = spec.url.startswith("https:")
        permission.require_key_to(spec.host, spec.place, encrypted, keys.variable, environ)


def _parsed(text: str) -> EndpointSpec:
    """The specification as one of a chat model; raises `InputError` with one line that says what to write."""
    provider, _, rest = text.partition("/")
    named, slash, model = rest.partition(",")[0].partition("/")
    if provider != LITELLM or not slash or not named or not model or "@" in named:
        raise InputError(f"a model behind LiteLLM is written {_SYNTAX}, such as litellm/groq/llama-3.3-70b-versatile")
    try:
        return parse_spec(f"{OPENAI}/{rest}")
    except InputError as error:
        raise InputError(str(error).replace(f"{OPENAI}/MODEL", _SYNTAX)) from None


@cache
def _library() -> Any:
    # The library reads both as it is imported: whether to fetch prices from the network, and to read a .env file.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    try:
        litellm: Any = importlib.import_module("litellm")
    except ImportError as error:
        raise InputError(f"models behind LiteLLM need an extra ({error}): pip install 'unerring[litellm]'") from None
    litellm.telemetry = False
    litellm.suppress_debug_info = True  # it would print advice on standard output
    if "LITELLM_LOG" not in os.environ:
        logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)
    return litellm


def _own_parameters() -> frozenset[str]:
    """Parameters that the library uses itself and does not pass on; empty where it does not list them."""
    try:
        return frozenset(importlib.import_module("litellm.types.utils").all_litellm_params)
    except (ImportError, AttributeError, TypeError):
        return frozenset()


def _require_known(library: Any, spec: EndpointSpec) -> None:
    """Raise `InputError` for a provider that the library does not know, or whose key is missing."""
    provider = spec.model.partition("/")[0]
    try:
        library.get_llm_provider(spec.model)
    except Exception:
        raise InputError(f"LiteLLM knows no provider {provider!r}: a model is written {_SYNTAX}") from None
    try:
        missing = library.validate_environment(spec.model)["missing_keys"]
    except Exception:  # it does not know all providers that it can reach
        return
    keys = [name for name in missing if name.endswith("_API_KEY")]
    if keys and len(keys) == len(missing) and spec.url == DEFAULT_URL:
        raise InputError(f"{provider} needs a key: put it into the environment variable {' or '.join(keys)}")
