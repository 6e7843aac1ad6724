"""A model that LiteLLM knows how to reach, as a sampler: `litellm/PROVIDER/MODEL` (`pip install 'unerring[litellm]'`).

The library makes the request, and everything else is done as for `openai/MODEL`: what it raises is turned back into
the reply that it came from, and read by the same code. Its own retries, caches and telemetry are off, and so are its
price map from the network and its reading of `.env` files. This module loads without it.

One thing it keeps doing: for some providers, a request whose connection was closed without an answer is sent again.
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
from unerring.adapters.http.connection import Answered, Connection
from unerring.adapters.http.errors import LARGEST_ERROR, Failure, one_line
from unerring.adapters.http.spec import DEFAULT_URL, KEYS, SHORTEST_SECRET, EndpointSpec, Secret, parse_spec
from unerring.adapters.http.spec import PROVIDER as CHAT
from unerring.adapters.openai import OpenAISampler
from unerring.adapters.permission import GIVEN, Permission
from unerring.adapters.scrubbing import KeyFinder
from unerring.errors import FailureKind, InputError, ProviderBusy

PROVIDER = "litellm"
OPTIONAL = "temperature", "seed", "logprobs", "n", FORMAT  # parameters that some providers do not take
ORDINARY = frozenset({"model", "messages", *LIMITS, *OPTIONAL})  # parameters of every request
DEEPEST = 20  # exceptions that stand behind one another

_WRITTEN = f"{PROVIDER}/PROVIDER/MODEL"
_SECRET = re.compile(r".*(_API_KEY|_TOKEN|_SECRET|_SECRET_KEY|_ACCESS_KEY|_PASSWORD)")
# Parameters by which it sends a request, and the key, to another host or another model: a journal keeps them, and must
# not say so.
_REDIRECTING = re.compile(
    r".*(_base|_url|_endpoint|_host|headers|fallbacks|client|proxy|credentials)|api_(key|version)|custom_llm_provider"
    r"|(aws|azure|vertex|watsonx|sagemaker|hf|region|deployment)_.*|model_list|organization",
    re.IGNORECASE,
)
_RANDOM = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])\S{16,}")  # what no answer has in it by chance
# Exceptions of openai, httpx, aiohttp and Python, by their names or those of their bases: connections that failed, and
# of these the ones before anything was sent.
_NETWORK = {"APIConnectionError", "TransportError", "ClientError", "TimeoutError"}
_NOT_SENT = {"ConnectError", "ConnectTimeout", "PoolTimeout", "ClientConnectorError", "ConnectionRefusedError"}
# What the body no longer is once the library has unpacked it.
_PACKING = {"content-encoding", "content-length", "transfer-encoding"}

log = logging.getLogger("unerring")


class LiteLLMSampler(OpenAISampler):
    """Asks one model through LiteLLM; made from a specification such as `litellm/groq/llama-3.3-70b-versatile`.

    Options are those of `openai/MODEL`. Keys are where LiteLLM looks for them, in environment variables such as
    GROQ_API_KEY. Raises `InputError` where the library is not installed, or does not know the provider.
    """

    def __init__(self, spec: str, environ: Mapping[str, str] | None = None, permission: Permission = GIVEN) -> None:
        """`environ` is where keys are that must not get into messages: the environment, if it is None."""
        words = _chat(spec)
        super().__init__(words, dict.fromkeys(KEYS.values(), "none"))  # its own key and line are replaced below
        self.name = self.name.replace(CHAT, PROVIDER, 1)
        provider = self.spec.model.partition("/")[0]
        self._where = f"LiteLLM {provider}" if self.spec.url == DEFAULT_URL else f"LiteLLM {self.spec.place}"
        environ = os.environ if environ is None else environ
        self._secret = _Keys(provider, environ)
        _require_permission(self.spec, self._secret, environ, permission)
        library = _library()
        _require_known(library, self.spec)
        taken = library.get_supported_openai_params(self.spec.model) or OPTIONAL
        for name in set(OPTIONAL).difference(taken):
            self._form.without(name)
            if name == "temperature":
                log.warning("%s takes no temperature: samples are drawn at its own", self.name)
        self._line = _LibraryConnection(library, self.spec, self._where, self._secret)

    def __repr__(self) -> str:
        return f"LiteLLMSampler({self.name!r})"


class _LibraryConnection(Connection):
    """The library in the place of a connection: it is handed bodies, and gives what was answered."""

    # Samplers that asked something, by event loop: the library's connections are common to all of a loop.
    _users: "dict[asyncio.AbstractEventLoop, set[_LibraryConnection]]" = {}  # noqa: RUF012

    def __init__(self, library: Any, spec: EndpointSpec, where: str, secret: Secret) -> None:  # not the parent's
        self._library = library
        self._where = where
        self._secret = secret
        self._timeout = spec.timeout
        self._always: dict[str, Any] = {
            "num_retries": 0,
            "max_retries": 0,
            "caching": False,
            "cache": {"no-cache": True, "no-store": True},
            "drop_params": True,
            "timeout": spec.timeout,
        }
        self._own = _own_parameters()
        if spec.url != DEFAULT_URL:
            self._always["api_base"] = spec.url

    async def exchange(self, body: bytes) -> Answered | Failure:
        """Have the library send a body, and return what was answered or the failure to get an answer."""
        asked = self._heeded(msgspec.json.decode(body))
        for loop in [loop for loop in self._users if loop.is_closed()]:
            del self._users[loop]
        self._users.setdefault(asyncio.get_running_loop(), set()).add(self)
        try:
            async with asyncio.timeout(self._timeout):
                reply = await self._library.acompletion(**asked, **self._always)
            return 200, _headers(reply), _reply(reply)
        except TimeoutError:
            words = f"{self._where}: no answer within {self._timeout:g} seconds"
            return ProviderBusy(words, None, FailureKind.UNKNOWN)
        except Exception as error:  # the library raises what it likes
            return answered(error) or self._unanswered(error)

    def _heeded(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The body, with what the library must not drop in silence though a provider may not take it."""
        forced = [name for name in asked if name not in ORDINARY]
        for name in forced:
            if name in self._always or name in self._own or _REDIRECTING.fullmatch(name):
                raise InputError(f"{name!r} cannot be among the further fields of a request: LiteLLM has its own use")
        return asked | {"allowed_openai_params": forced} if forced else asked

    def _unanswered(self, error: Exception) -> Failure:
        names = _names(error)
        kind = FailureKind.TRANSIENT if names & _NOT_SENT else FailureKind.UNKNOWN
        return ProviderBusy(one_line(f"{self._where}: {error}", self._secret), None, kind)

    async def aclose(self) -> None:
        """Close the library's connections, once nobody else uses them."""
        loop = asyncio.get_running_loop()
        users = self._users.get(loop, set())
        users.discard(self)
        if users:
            return
        self._users.pop(loop, None)
        if not self._users:
            await self._library.close_litellm_async_clients()
            self._library.in_memory_llm_clients_cache.flush_cache()


def answered(error: BaseException) -> Answered | None:
    """The refusal that an exception of the library stands for; None where there was none, or nobody can tell."""
    each = list(_causes(error))
    for one in reversed(each):  # the first cause has the reply itself, later ones have their own idea of it
        found = _response(getattr(one, "response", None))
        if found is not None:
            return found
    status = getattr(error, "status_code", None)
    if not isinstance(status, int) or _names(error) & _NETWORK:
        return None
    if 400 <= status <= 499 or status in {503, 529}:
        return status, {}, msgspec.json.encode({"error": {"message": str(error), "code": _words_of(error)}})
    return None  # 500 is also what it calls a reply that it could not read


def _response(response: Any) -> Answered | None:
    """What is in an HTTP response of httpx; None where it is one that the library made up, without anything in it."""
    try:
        status, body, headers = response.status_code, response.content, response.headers
        if not isinstance(status, int) or status < 300 or not (body or headers):
            return None
        return status, _lowered(headers), bytes(body)[:LARGEST_ERROR]
    except Exception:  # no response of httpx, or one that was never read
        return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    one: BaseException | None = error
    for _ in range(DEEPEST):
        if one is None:
            return
        yield one
        one = one.__cause__ or one.__context__


def _names(error: BaseException) -> set[str]:
    """The names of an exception's types, and of those behind it."""
    return {kind.__name__ for one in _causes(error) for kind in type(one).__mro__}


def _words_of(error: BaseException) -> str:
    """An exception's types as an error's code: `content_policy_violation_error bad_request_error`."""
    names = [kind.__name__ for kind in type(error).__mro__ if kind.__name__.endswith("Error")]
    return " ".join(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower() for name in names)


def _headers(reply: Any) -> dict[str, str]:
    """The headers of a reply, as the library hands them on."""
    hidden = getattr(reply, "_hidden_params", None) or {}
    headers = _lowered(hidden.get("additional_headers") or {})
    if hidden.get("cache_hit"):
        headers["x-litellm-cache-hit"] = "true"
    return {name.removeprefix("llm_provider-"): value for name, value in headers.items()}


def _lowered(headers: Mapping[Any, Any]) -> dict[str, str]:
    named = ((str(name).lower(), str(value)) for name, value in headers.items())
    return {name: value for name, value in named if name.removeprefix("llm_provider-") not in _PACKING}


def _reply(reply: Any) -> bytes:
    """A reply in the words of OpenAI, but for finish reasons, which are the provider's own: the library makes `stop`
    of errors, and of all that it does not know. It says 0 where the provider did not tell the tokens: not known.
    """
    told = reply.model_dump(mode="json", warnings=False)
    for choice in told.get("choices") or ():
        own = (choice.get("provider_specific_fields") or {}).get("native_finish_reason")
        if own is not None and choice.get("finish_reason") == "stop":
            choice["finish_reason"] = own
    usage = told.get("usage")
    if isinstance(usage, dict) and not usage.get("prompt_tokens") and not usage.get("completion_tokens"):
        del told["usage"]
    return msgspec.json.encode(told)


class _Keys(Secret):
    """The keys in the environment: that of the provider, and everything else that looks like one."""

    __slots__ = ("_each",)

    def __init__(self, provider: str, environ: Mapping[str, str]) -> None:
        variable = f"{provider.upper()}_API_KEY"
        own = environ.get(variable, "")
        super().__init__(own, variable)
        others = {value for name, value in environ.items() if _SECRET.fullmatch(name) and _RANDOM.fullmatch(value)}
        each = others | {own} if len(own) >= SHORTEST_SECRET else others
        self._each = [KeyFinder(key) for key in sorted(each, key=len, reverse=True)]

    def scrubbed(self, text: str) -> str:
        """The text without any of the keys."""
        for key in self._each:
            text = key.without(text)
        return text


def _require_permission(spec: EndpointSpec, keys: _Keys, environ: Mapping[str, str], permission: Permission) -> None:
    """Raise `InputError` where the library would send a key to a host that it may not be sent to."""
    if "http" in spec.model.lower():  # some of its providers take an address for the name of a model
        permission.require_code("model", f"{PROVIDER}/{spec.model}")
    if spec.url != DEFAULT_URL and (keys.header or permission.journal):
        encrypted = spec.url.startswith("https:")
        permission.require_key_to(spec.host, spec.place, encrypted, keys.variable, environ)


def _chat(text: str) -> str:
    """The specification as one of a chat model; raises `InputError` with one line that says what to write."""
    provider, _, rest = text.partition("/")
    named, slash, model = rest.partition(",")[0].partition("/")
    if provider != PROVIDER or not slash or not named or not model or "@" in named:
        raise InputError(f"a model behind LiteLLM is written {_WRITTEN}, such as litellm/groq/llama-3.3-70b-versatile")
    words = f"{CHAT}/{rest}"
    try:
        parse_spec(words)
    except InputError as error:
        raise InputError(str(error).replace(f"{CHAT}/MODEL", _WRITTEN)) from None
    return words


@cache
def _library() -> Any:
    # Looked at as it is imported: whether it fetches prices from the network, and whether it reads a .env file.
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
    """Parameters that the library takes for itself and does not hand on; empty where it does not say."""
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
        raise InputError(f"LiteLLM knows no provider {provider!r}: a model is written {_WRITTEN}") from None
    try:
        missing = library.validate_environment(spec.model)["missing_keys"]
    except Exception:  # it does not know all that it can reach
        return
    keys = [name for name in missing if name.endswith("_API_KEY")]
    if keys and len(keys) == len(missing) and spec.url == DEFAULT_URL:
        raise InputError(f"{provider} wants a key: put it into the environment variable {' or '.join(keys)}")
