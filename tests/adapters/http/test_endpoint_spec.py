"""Specifications of endpoints, keys and proxies: which are accepted, and that no key is shown."""

import base64
import pickle

import pytest

from pilots import one_line
from tables import each
from unerring.adapters.http.spec import (
    KEY_VARIABLES,
    EndpointSpec,
    Proxy,
    Secret,
    canonical_url,
    parse_spec,
    proxy_for,
    secret_for,
)
from unerring.adapters.openai import OpenAISampler
from unerring.errors import InputError

CANARY = "sk-canary-5d1f0c9a7e"
LOCAL = "http://127.0.0.1:8000/v1"


# --- the words


@each(
    ("text", "spec"),
    [
        ("openai/gpt-4.1-mini", EndpointSpec("gpt-4.1-mini")),
        (f"openai/m@{LOCAL}", EndpointSpec("m", LOCAL)),
        (f"openai/meta-llama/Llama-3.1-8B:free@{LOCAL}", EndpointSpec("meta-llama/Llama-3.1-8B:free", LOCAL)),
        (f"openai/@cf/meta/llama@{LOCAL}", EndpointSpec("@cf/meta/llama", LOCAL)),
        ("openai/claude@20240620", EndpointSpec("claude@20240620")),
        (f"openai/m@{LOCAL},compact", EndpointSpec("m", LOCAL, compact=True)),
        ("openai/m,timeout=2.5", EndpointSpec("m", timeout=2.5)),
        (
            "openai/m,schema=off,seed=off,n=1,logprobs=off",
            EndpointSpec("m", "https://api.openai.com/v1", False, 120.0, False, False, False, False),
        ),
        ("openai/m@https://generativelanguage.googleapis.com/v1beta/openai/", None),
        ("openai/m@http://[::1]:8080", EndpointSpec("m", "http://[::1]:8080")),
    ],
)
def test_a_specification_is_read_and_written_alike(text, spec):
    """A specification is read as intended, and its name makes the same one again."""
    read = parse_spec(text)
    assert spec is None or read == spec
    assert parse_spec(read.name) == read
    assert parse_spec(read.name).name == read.name


@each(
    ("text", "name"),
    [
        ("openai/m@https://api.openai.com/v1", "openai/m"),
        ("openai/m@HTTPS://API.OpenAI.com:443/v1/", "openai/m"),
        (f"openai/m@{LOCAL}/", f"openai/m@{LOCAL}"),
        ("openai/m@http://box:80/v1", "openai/m@http://box/v1"),
        ("openai/m,timeout=120", "openai/m"),
        ("openai/m,timeout=30.0", "openai/m,timeout=30"),
        ("openai/m,timeout=0.3", "openai/m,timeout=0.3"),
        ("openai/m,seed=off,compact", "openai/m,compact,seed=off"),
    ],
)
def test_one_meaning_has_one_name(text, name):
    """Specifications that mean the same have the same name, so that a resumed run finds its model."""
    assert parse_spec(text).name == name


@each(
    "text",
    [
        "openai",
        "openai/",
        "gpt-4.1-mini",
        f"openai/@{LOCAL}",
        "openai/a b",
        "openai/m\n",
        "openai/m\u202e",
        "openai/m,",
        "openai/m,n=2",
        "openai/m,n",
        "openai/m,compact=1",
        "openai/m,compact,compact",
        "openai/m,seed=on",
        "openai/m,temperature=1",
        "openai/m,timeout=0",
        "openai/m,timeout=-1",
        "openai/m,timeout=nan",
        "openai/m,timeout=inf",
        "openai/m,timeout=1e6",
        "openai/m,timeout=soon",
        "openai/m@localhost:8000/v1",
        "openai/m@api.groq.com/openai/v1",
        "openai/m@ftp://box/v1",
        "openai/m@file:///etc/passwd",
        "openai/m@http://",
        "openai/m@http:///v1",
        "openai/m@http://box:port/v1",
        "openai/m@http://box:0/v1",
        "openai/m@http://box:70000/v1",
        "openai/m@http://bo x/v1",
        "openai/m@http://böx/v1",
        "openai/m@http://box\\evil/v1",
        "openai/m@http://box./v1",
        "openai/m@http://[::1/v1",
        "openai/m@http://box/v1\t",
        "openai/m@http://box/v1/chat/completions",
        "openai/m@http://api.openai.com/v1",
    ],
)
def test_a_bad_specification_is_refused_in_one_line(text):
    """Each kind of mistake is refused with one line that names it."""
    with pytest.raises(InputError) as raised:
        parse_spec(text)
    one_line(raised.value)


@each(
    "url",
    [
        f"https://user:{CANARY}@box/v1",
        f"https://{CANARY}@box/v1",
        f"https://box/v1?key={CANARY}",
        f"https://box/v1#{CANARY}",
        f"https://box/v1?{CANARY}@x",
        "https://box/v1?",
        f"http://{CANARY}:x@box/v1",
    ],
)
def test_an_address_with_a_secret_in_it_is_refused_and_not_repeated(url):
    """A user, password, query or fragment would be written to the journal; the error does not show it either."""
    with pytest.raises(InputError) as raised:
        parse_spec(f"openai/m@{url}")
    assert CANARY not in one_line(raised.value)


def test_an_option_that_holds_a_key_is_not_repeated():
    """A key written where an option belongs is not shown in the error."""
    with pytest.raises(InputError) as raised:
        parse_spec(f"openai/m,key={CANARY}")
    assert CANARY not in one_line(raised.value)


def test_hosts_that_look_alike_are_other_hosts():
    """A key is bound to its exact host: neither a subdomain nor a longer name gets it."""
    for host in ("api.openai.com.evil.example", "evil-api.openai.com", "eu.api.openai.com", "api.openai.com:8443"):
        spec = parse_spec(f"openai/m@https://{host}/v1")
        owner = "OPENAI_API_KEY" if spec.host == "api.openai.com" else "UNERRING_API_KEY"
        assert secret_for(spec, {owner: CANARY}).variable == owner
    assert canonical_url("https://API.OPENAI.COM/v1") == "https://api.openai.com/v1"


# --- keys


@each(("host", "variable"), KEY_VARIABLES.items())
def test_each_known_host_has_its_own_key(host, variable):
    """The key of a known host comes from that host's variable only."""
    spec = EndpointSpec("m", f"https://{host}/v1")
    everything = dict.fromkeys({*KEY_VARIABLES.values(), "UNERRING_API_KEY"}, "sk-of-another-provider") | {
        variable: CANARY
    }
    assert secret_for(spec, everything).header == f"Bearer {CANARY}"
    for environ in ({}, {variable: ""}, dict.fromkeys(set(everything) - {variable}, CANARY)):
        with pytest.raises(InputError, match=variable) as raised:
            secret_for(spec, environ)
        assert CANARY not in one_line(raised.value)


def test_other_hosts_get_the_common_key_or_none():
    """Any other host gets UNERRING_API_KEY if it is set, and otherwise no Authorization header."""
    spec = EndpointSpec("m", LOCAL)
    assert secret_for(spec, {"OPENAI_API_KEY": CANARY}).header is None
    assert secret_for(spec, {"UNERRING_API_KEY": CANARY}).header == f"Bearer {CANARY}"


@each("bad", ["\n", "\r\nX-Evil: 1", " ", "ü", "\x00", "\x7f", "\u200b"])
def test_a_key_that_is_no_header_value_is_refused_and_not_shown(bad):
    """A key with line breaks, spaces or other invalid characters is an error that names the variable only."""
    with pytest.raises(InputError, match="OPENAI_API_KEY") as raised:
        secret_for(EndpointSpec("m"), {"OPENAI_API_KEY": CANARY + bad})
    assert CANARY not in one_line(raised.value)


def test_a_key_is_shown_by_nothing():
    """Neither the secret, the sampler, its account nor its name show the key, and it is written nowhere."""
    sampler = OpenAISampler(f"openai/m@{LOCAL}", {"UNERRING_API_KEY": CANARY})
    secret = Secret(CANARY, "K")
    shown = (repr(secret), str(secret), f"{secret!s}{secret!r}", repr(sampler), sampler.name, sampler.account)
    assert not [text for text in shown if CANARY in text]
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_an_account_is_a_host_and_a_key():
    """Calls share a rate limiter if host and key are the same, and only then."""

    def account(url, key):
        return OpenAISampler(f"openai/m@{url}", {"UNERRING_API_KEY": key}).account

    assert account(LOCAL, CANARY) == account(LOCAL, CANARY)
    assert account(LOCAL, "") == "127.0.0.1:8000"
    assert len({account(LOCAL, CANARY), account(LOCAL, CANARY + "x"), account("https://box/v1", CANARY)}) == 3


@each(
    ("text", "scrubbed"),
    [
        ("", ""),
        ("nothing", "nothing"),
        (CANARY, "[key]"),
        (f"Bearer {CANARY}, and {CANARY}.", "Bearer [key], and [key]."),
    ],
)
def test_a_key_is_removed_from_texts(text, scrubbed):
    """Every occurrence is replaced, and nothing else changes."""
    assert Secret(CANARY, "K").scrubbed(text) == scrubbed


def test_a_placeholder_is_no_secret():
    """EMPTY, the key of local servers, is not removed from answers, since that would change votes."""
    assert Secret("EMPTY", "K").scrubbed("the set is EMPTY") == "the set is EMPTY"
    assert Secret("", "K").scrubbed("text") == "text"


# --- proxies


@each(
    ("url", "environ", "expected"),
    [
        ("https://box/v1", {}, None),
        ("https://box/v1", {"HTTPS_PROXY": "http://proxy:3128"}, Proxy("http://proxy:3128")),
        ("https://box/v1", {"https_proxy": "proxy"}, Proxy("http://proxy:80")),
        ("https://box/v1", {"HTTP_PROXY": "http://proxy:3128"}, None),
        ("http://box/v1", {"HTTP_PROXY": "http://proxy:3128"}, Proxy("http://proxy:3128")),
        ("http://box/v1", {"HTTP_PROXY": "http://proxy:3128", "REQUEST_METHOD": "GET"}, None),
        ("http://box/v1", {"HTTP_PROXY": "http://a:1", "http_proxy": "http://b:2"}, Proxy("http://b:2")),
        ("http://box/v1", {"HTTP_PROXY": "http://a:1", "http_proxy": ""}, None),
        ("https://box/v1", {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "other, box"}, None),
        ("https://a.box.lan/v1", {"HTTPS_PROXY": "http://proxy:1", "no_proxy": ".box.lan"}, None),
        ("https://abox.lan/v1", {"HTTPS_PROXY": "http://p:1", "no_proxy": "box.lan"}, Proxy("http://p:1")),
        ("https://box:8443/v1", {"HTTPS_PROXY": "http://p:1", "no_proxy": "box:8443"}, None),
        ("https://box:9443/v1", {"HTTPS_PROXY": "http://p:1", "no_proxy": "box:8443"}, Proxy("http://p:1")),
        ("https://box/v1", {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "*"}, None),
        ("http://127.0.0.1:8000/v1", {"HTTP_PROXY": "http://proxy:1"}, None),
        ("http://localhost:8000/v1", {"HTTP_PROXY": "http://proxy:1"}, None),
        ("https://box/v1", {"HTTPS_PROXY": "http://me:pw@proxy:1"}, Proxy("http://proxy:1", "me", "pw")),
    ],
)
def test_a_proxy_is_used_for_the_hosts_that_it_applies_to(url, environ, expected):
    """Proxies and exemptions of the environment are read as urllib reads them; loopback is always exempt."""
    assert proxy_for(EndpointSpec("m", url), environ) == expected


@each("proxy", [f"socks5://me:{CANARY}@p:1", f"https://{CANARY}@p", "http://", "http://p:x"])
def test_a_proxy_that_cannot_be_used_is_refused(proxy):
    """The error names the variable and does not show its value."""
    with pytest.raises(InputError, match="HTTPS_PROXY") as raised:
        proxy_for(EndpointSpec("m"), {"HTTPS_PROXY": proxy})
    assert CANARY not in one_line(raised.value)


def test_a_proxy_does_not_show_its_password():
    """Its representation has the address only; user and password go into a header, with escapes resolved."""
    proxy = proxy_for(EndpointSpec("m"), {"HTTPS_PROXY": f"http://m%40e:{CANARY}@p:1"})
    assert CANARY not in repr(proxy)
    assert base64.b64decode(proxy.header.removeprefix("Basic ")).decode() == f"m@e:{CANARY}"
    assert Proxy("http://p:1").header is None
