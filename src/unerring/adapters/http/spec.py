"""Endpoint, key and proxy of a model, from a specification `openai/MODEL@URL,option,...` and the environment.

A key comes from the environment alone and goes to the one host that it belongs to. It is kept in a `Secret`, which
shows it in the header only, and removes it from texts that come back.
"""

import math
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from unerring.adapters.scrubbing import MIN_SECRET_CHARS, KeyFinder, without_secrets, without_secrets_in_errors
from unerring.adapters.trust.permission import GIVEN, Permission, is_loopback
from unerring.errors import InputError

OPENAI = "openai"
DEFAULT_URL = "https://api.openai.com/v1"
DEFAULT_TIMEOUT_SECONDS = 120.0  # seconds
MAX_TIMEOUT_SECONDS = 86_400.0
ANY_HOST_VARIABLE = "UNERRING_API_KEY"
KEY_VARIABLES = {
    "api.openai.com": "OPENAI_API_KEY",
    "openrouter.ai": "OPENROUTER_API_KEY",
    "api.anthropic.com": "ANTHROPIC_API_KEY",
    "api.mistral.ai": "MISTRAL_API_KEY",
    "api.groq.com": "GROQ_API_KEY",
    "api.together.xyz": "TOGETHER_API_KEY",
    "api.deepseek.com": "DEEPSEEK_API_KEY",
    "generativelanguage.googleapis.com": "GEMINI_API_KEY",
}

_SYNTAX = (
    "openai/MODEL or openai/MODEL@URL, then any of ,compact ,timeout=SECONDS ,n=1 ,logprobs=off ,seed=off ,schema=off"
)
_ADDRESS = re.compile(r"@(?=[A-Za-z][A-Za-z0-9+.-]*://)")
_HALF_AN_ADDRESS = re.compile(r"@[^@/]+(:[0-9]+(/|$)|.*/v[0-9]+/?$)")
_HOST = re.compile(r"[a-z0-9]([a-z0-9_.-]*[a-z0-9])?|[0-9a-f:.]+")  # names and IPv4; IPv6 without its brackets
_PATH = re.compile(r"(/[A-Za-z0-9._~!$&'()*+;=:@%-]*)*")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]+")  # RFC 9110, section 5.5, without spaces


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """A model behind an address.

    model: the model's name at the provider.
    url: the base URL, without a slash at its end.
    compact: whether processes use their compact prompts.
    timeout: seconds for a request.
    several: whether a request may ask for more than one sample.
    logprobs: whether log-probabilities are asked for.
    seed: whether a seed is sent.
    schema: whether an answer's JSON schema is sent.
    """

    model: str
    url: str = DEFAULT_URL
    compact: bool = False
    timeout: float = DEFAULT_TIMEOUT_SECONDS
    several: bool = True
    logprobs: bool = True
    seed: bool = True
    schema: bool = True

    @property
    def name(self) -> str:
        """The specification in its one canonical form."""
        words = [f"{OPENAI}/{self.model}" + ("" if self.url == DEFAULT_URL else f"@{self.url}")]
        if self.compact:
            words.append("compact")
        if self.timeout != DEFAULT_TIMEOUT_SECONDS:
            words.append(f"timeout={self.timeout}".removesuffix(".0"))
        words += ["n=1"] * (not self.several)
        words += [f"{name}=off" for name in ("logprobs", "seed", "schema") if not getattr(self, name)]
        return ",".join(words)

    @property
    def host(self) -> str:
        """The host's name, in lower case."""
        return urlsplit(self.url).hostname or ""

    @property
    def place(self) -> str:
        """The host, with its port where that is not the default."""
        return urlsplit(self.url).netloc


class Secret:
    """A key, or none. No representation shows it.

    variable: the environment variable that the key is read from.
    """

    __slots__ = ("_finder", "_key", "variable")

    def __init__(self, key: str, variable: str) -> None:
        self._key = key
        self._finder = KeyFinder(key if len(key) >= MIN_SECRET_CHARS else "")
        self.variable = variable

    def __repr__(self) -> str:
        return f"Secret({self.variable})"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a key cannot be pickled")

    @property
    def header(self) -> str | None:
        """The value of the Authorization header."""
        return f"Bearer {self._key}" if self._key else None

    @property
    def digest(self) -> str:
        """Eight hex digits that tell keys apart; empty without a key."""
        return blake2b(self._key.encode(), digest_size=4, person=b"unerring").hexdigest() if self._key else ""

    def scrubbed(self, text: str) -> str:
        """The text without the key, also where it is cut or encoded."""
        return self._finder.without(text)


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy.

    url: its address, without a login.
    user: the user name; None where none is given.
    password: the password; None where none is given.
    """

    url: str
    user: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return f"Proxy({self.url})"

    @property
    def header(self) -> str | None:
        """The value of the Proxy-Authorization header."""
        if self.user is None:
            return None
        login = f"{unquote(self.user)}:{unquote(self.password or '')}"
        return "Basic " + b64encode(login.encode()).decode()


def parse_spec(text: str) -> EndpointSpec:
    """Parse `openai/MODEL@URL,option,...`; raises `InputError` with one line that says what to write.

    The line repeats nothing that may be a secret.
    """
    return without_secrets_in_errors(_parsed, text)


def _parsed(text: str) -> EndpointSpec:
    first, *options = text.split(",")
    provider, slash, named = first.partition("/")
    if provider != OPENAI or not slash:
        raise InputError(f"a model behind an OpenAI-compatible address is written {_SYNTAX}")
    marks = list(_ADDRESS.finditer(named))
    model, url = (named[: marks[-1].start()], named[marks[-1].end() :]) if marks else (named, DEFAULT_URL)
    if not marks and _HALF_AN_ADDRESS.search(named):
        raise InputError(f"the address after @ begins with http:// or https://: {_SYNTAX}")
    if without_secrets(model, {}) != model:
        raise InputError(f"the model's name looks like a key or a login; keys come from the environment: {_SYNTAX}")
    if not model or not model.isprintable() or any(map(str.isspace, model)):
        raise InputError(f"the model's name is missing, or has spaces in it: {_SYNTAX}")
    return replace(EndpointSpec(model, canonical_url(url)), **_options(options))


def _options(options: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    name: str
    value: bool | float
    for option in options:
        match option.split("=", 1):
            case ["compact"]:
                name, value = "compact", True
            case ["n", "1"]:
                name, value = "several", False
            case ["logprobs" | "seed" | "schema" as name, "off"]:
                value = False
            case ["timeout", seconds]:
                name, value = "timeout", seconds_option("timeout", seconds)
            case _:
                # its value stays out of the message: it may be a key
                raise InputError(f"there is no option {option.partition('=')[0]!r} of that kind: {_SYNTAX}")
        if name in values:
            raise InputError(f"the option {option!r} is given twice")
        values[name] = value
    return values


def seconds_option(name: str, text: str) -> float:
    """The seconds that an option of a specification gives; raises `InputError` for anything else."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= MAX_TIMEOUT_SECONDS:
        raise InputError(f"{name}={text}: it is a number of seconds, more than 0 and {MAX_TIMEOUT_SECONDS:g} at most")
    return seconds


def canonical_url(url: str) -> str:
    """The base URL in its canonical form; raises `InputError`, which repeats nothing that may be a secret."""
    if "?" in url or "#" in url or "@" in url.partition("://")[2].partition("/")[0]:
        raise InputError(
            "the address may have no user, password, query or fragment, since journals keep it; "
            "keys come from the environment"
        )
    split, host, port = _split(url)
    if split.scheme not in {"http", "https"}:
        raise InputError(f"the address begins with http:// or https://, not {url!r}")
    if not _HOST.fullmatch(host) or not _PATH.fullmatch(split.path) or port == 0:
        raise InputError(f"{url!r} is not an address; write one like {DEFAULT_URL} or http://127.0.0.1:8000/v1")
    path = split.path.rstrip("/")
    if path.endswith("/completions"):
        raise InputError(f"the address is the base, which ends before /chat/completions: {DEFAULT_URL}")
    if split.scheme == "http" and host in KEY_VARIABLES:
        raise InputError(f"write https:// before {host}: its key would travel unencrypted")
    place = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}[split.scheme]
    return f"{split.scheme}://{place}" + ("" if port in {None, usual} else f":{port}") + path


def _split(url: str) -> tuple[SplitResult, str, int | None]:
    # urlsplit drops tabs and newlines without an error
    if not url.isascii() or not url.isprintable():
        raise InputError(f"{url!r} is not an address: it has characters that no address may have")
    try:
        split = urlsplit(url)
        return split, split.hostname or "", split.port
    except ValueError:
        raise InputError(f"{url!r} is not an address; write one like {DEFAULT_URL}") from None


def secret_for(spec: EndpointSpec, environ: Mapping[str, str], permission: Permission = GIVEN) -> Secret:
    """The key that belongs to the endpoint's host.

    Raises `InputError` where the key of a known host is missing, is not a key, or may not be sent to the host.
    """
    variable = KEY_VARIABLES.get(spec.host, ANY_HOST_VARIABLE)
    key = environ.get(variable, "")
    if not key:
        if variable != ANY_HOST_VARIABLE:
            raise InputError(f"{spec.host} needs a key: put it into the environment variable {variable}")
        return Secret("", variable)
    if not _HEADER_VALUE.fullmatch(key):
        raise InputError(f"{variable} does not hold a key: it has spaces or other characters that no key has")
    if (
        variable == ANY_HOST_VARIABLE and len(key) >= MIN_SECRET_CHARS
    ):  # a provider's own key only goes to its own host
        permission.require_key_to(spec.host, spec.place, spec.url.startswith("https:"), variable, environ)
    return Secret(key, variable)


def proxy_for(spec: EndpointSpec, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy that the environment names for the host; raises `InputError` for one that cannot be used.

    HTTP_PROXY, HTTPS_PROXY and NO_PROXY are read as Python's own `urllib` reads them. Loopback addresses, which no
    proxy can reach, need no exemption.
    """
    scheme = urlsplit(spec.url).scheme
    proxies = _proxies(environ)
    url = proxies.get(scheme, "")
    if not url or is_loopback(spec.host) or _exempt(spec, proxies.get("no", "")):
        return None
    try:
        split = urlsplit(url if "://" in url else f"http://{url}")
        host, port = split.hostname or "", split.port
    except ValueError:
        host, port = "", None
    if split.scheme != "http" or not _HOST.fullmatch(host):
        raise InputError(f"the proxy in {scheme.upper()}_PROXY cannot be used: it has to be http://HOST:PORT")
    place = f"[{host}]" if ":" in host else host
    return Proxy(f"http://{place}:{port or 80}", split.username, split.password)


def _proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Proxies by scheme, and the exempt hosts as `no`; variables in lower case take precedence, as in `urllib`."""
    named = [(name, value) for name, value in environ.items() if name.lower().endswith("_proxy")]
    named.sort(key=lambda pair: pair[0].islower())
    proxies = {name.lower().removesuffix("_proxy"): value for name, value in named}
    if "REQUEST_METHOD" in environ and "http_proxy" not in environ:
        # in a CGI script HTTP_PROXY is a header of a request from outside (CVE-2016-1000110)
        proxies.pop("http", None)
    return {scheme: value for scheme, value in proxies.items() if value}


def _exempt(spec: EndpointSpec, exemptions: str) -> bool:
    """Whether NO_PROXY names the host: alone, with its port, or by the end of its name."""
    names = [name.strip().lstrip(".").lower() for name in exemptions.split(",")]
    if "*" in names:
        return True
    return any(name and f".{place}".endswith(f".{name}") for name in names for place in (spec.host, spec.place))
