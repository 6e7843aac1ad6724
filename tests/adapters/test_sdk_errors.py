"""Errors of SDKs raised in a model's function: which are transient, which lasting, and which the user's own."""

import asyncio
import email.message
import functools
import http.client
import socket
import urllib.error
from types import SimpleNamespace

import aiohttp
import pytest

import unerring
from unerring.adapters.function import FunctionSampler
from unerring.adapters.sdk_errors import provider_failure
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy
from unerring.core.voting.sample import Settings
from unerring.errors import FailureKind, InputError, ProviderBusy, ProviderDown, ProviderGone
from unerring.runtime.calls.patience import Patience
from unerring.testing import FakeClock

NOW = 1_800_000_000.0
SETTINGS = Settings(1.0, 64, 3, 0, 0)


def sdk(name, bases=(Exception,), **attributes):
    """An exception as an SDK raises it: a class with this name and these attributes."""
    error = type(name, tuple(bases), {})("something went wrong")
    vars(error).update(attributes)
    return error


def response(status, **headers):
    return SimpleNamespace(status_code=status, headers={name.replace("_", "-"): at for name, at in headers.items()})


def boto(code, status, **headers):
    return sdk(
        "ClientError",
        response={
            "Error": {"Code": code, "Message": "no"},
            "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers},
        },
    )


def grpc(name):
    return sdk("AioRpcError", code=lambda: SimpleNamespace(name=name))


API = type("APIStatusError", (Exception,), {})
CONNECTION = type("APIConnectionError", (Exception,), {})
UNKNOWN, TRANSIENT, RATE = FailureKind.UNKNOWN, FailureKind.TRANSIENT, FailureKind.RATE_LIMITED
OVERLOADED, DENIED, QUOTA = FailureKind.OVERLOADED, FailureKind.DENIED, FailureKind.QUOTA
REFUSED = FailureKind.REFUSED

# an exception -> the kind of the failure that it is, None for the user's own; and the wait that it asks for
ERRORS = [
    (ConnectionError("gone"), UNKNOWN, None),
    (ConnectionResetError("reset"), UNKNOWN, None),
    (ConnectionRefusedError("refused"), TRANSIENT, None),
    (TimeoutError(), UNKNOWN, None),
    (socket.gaierror(-2, "no such host"), TRANSIENT, None),
    (http.client.RemoteDisconnected("closed"), UNKNOWN, None),
    (http.client.IncompleteRead(b""), UNKNOWN, None),
    (urllib.error.URLError("unreachable"), UNKNOWN, None),
    (aiohttp.ServerDisconnectedError(), UNKNOWN, None),
    (aiohttp.ClientPayloadError("cut"), UNKNOWN, None),
    (aiohttp.ServerTimeoutError(), UNKNOWN, None),
    (aiohttp.ClientResponseError(SimpleNamespace(real_url="http://x"), (), status=503), OVERLOADED, None),
    (aiohttp.ClientResponseError(SimpleNamespace(real_url="http://x"), (), status=401), DENIED, None),
    (aiohttp.ClientResponseError(SimpleNamespace(real_url="http://x"), (), status=400), None, None),
    # openai and anthropic
    (sdk("RateLimitError", [API], status_code=429, response=response(429, retry_after="7")), RATE, 7.0),
    (sdk("RateLimitError", [API], status_code=429, code="insufficient_quota"), QUOTA, None),
    (sdk("RateLimitError", [API], status_code=429, body={"error": {"code": "insufficient_quota"}}), QUOTA, None),
    (sdk("InternalServerError", [API], status_code=500), TRANSIENT, None),
    (sdk("OverloadedError", [API], status_code=529), OVERLOADED, None),
    (sdk("AuthenticationError", [API], status_code=401), DENIED, None),
    (sdk("PermissionDeniedError", [API], status_code=403), DENIED, None),
    (sdk("BadRequestError", [API], status_code=400), None, None),
    (sdk("NotFoundError", [API], status_code=404), None, None),
    (sdk("UnprocessableEntityError", [API], status_code=422), None, None),
    (sdk("APITimeoutError", [CONNECTION]), UNKNOWN, None),
    (sdk("APIConnectionError"), UNKNOWN, None),
    # httpx, requests, urllib3
    (sdk("HTTPStatusError", response=response(502)), TRANSIENT, None),
    (sdk("HTTPStatusError", response=response(429, Retry_After="12")), RATE, 12.0),
    (sdk("HTTPError", [OSError], response=response(503, retry_after="3")), OVERLOADED, 3.0),
    (sdk("ReadTimeout", [type("TimeoutException", (Exception,), {})]), UNKNOWN, None),
    (sdk("ConnectTimeout", [type("TimeoutException", (Exception,), {})]), TRANSIENT, None),
    (sdk("RemoteProtocolError"), UNKNOWN, None),
    (sdk("ConnectionError", [OSError]), UNKNOWN, None),  # that of requests is not Python's
    (sdk("NewConnectionError"), TRANSIENT, None),
    # Google
    (sdk("ResourceExhausted", code=429), RATE, None),
    (sdk("ServiceUnavailable", code=503), OVERLOADED, None),
    (sdk("DeadlineExceeded", code=504), TRANSIENT, None),
    (sdk("ServerError", code=500, status="INTERNAL"), TRANSIENT, None),
    (sdk("ClientError", code=400, status="INVALID_ARGUMENT"), None, None),
    (grpc("UNAVAILABLE"), OVERLOADED, None),
    (grpc("UNAUTHENTICATED"), DENIED, None),
    (grpc("INVALID_ARGUMENT"), None, None),
    # boto3
    (boto("ThrottlingException", 429, **{"retry-after": "2"}), RATE, 2.0),
    (boto("ThrottlingException", 400), RATE, None),
    (boto("AccessDeniedException", 403), DENIED, None),
    (boto("ValidationException", 400), None, None),
    (sdk("EndpointConnectionError"), TRANSIENT, None),
    (sdk("NoCredentialsError"), DENIED, None),
    (sdk("BadRequestError", [API], status_code=400, code="context_length_exceeded"), REFUSED, None),
    (sdk("BadRequestError", [API], status_code=400, body={"error": {"code": "content_filter"}}), REFUSED, None),
    (sdk("ContextWindowExceededError", status_code=400), REFUSED, None),
    (sdk("ContentPolicyViolationError", status_code=400), REFUSED, None),
    # groups, and what is a failure of the user's code alone
    (ExceptionGroup("two", [TimeoutError(), ConnectionError()]), UNKNOWN, None),
    (ExceptionGroup("two", [TimeoutError(), ValueError()]), None, None),
    (ValueError("mine"), None, None),
    (KeyError("choices"), None, None),
    (OSError(28, "no space left"), None, None),
    (sdk("Mine", code="E17", status=True, status_code="500"), None, None),
    (sdk("Mine", code=functools.partial(int, "x")), None, None),
    (urllib.error.HTTPError("http://x", 429, "slow down", email.message.Message(), None), RATE, None),
    # an answer, although its class is one of those that break off
    (urllib.error.HTTPError("http://x", 400, "Bad Request", email.message.Message(), None), None, None),
    (urllib.error.HTTPError("http://x", 404, "Not Found", email.message.Message(), None), None, None),
    (sdk("TransportError", [CONNECTION], status_code=422), None, None),
]


def test_each_sdks_errors_are_what_they_say():
    """Status or class name distinguish transient failures, with their wait, lasting failures and bugs."""
    wrong = []
    for error, kind, wait in ERRORS:
        found = provider_failure(error, "function ask", NOW)
        lasting = kind in {DENIED, QUOTA, REFUSED}
        held = (
            found is None
            if kind is None
            else isinstance(found, ProviderDown if lasting else ProviderBusy)
            and found.kind is kind
            and getattr(found, "retry_after", None) == wait
            and "function ask" in str(found)
            and str(found).isprintable()
        )
        if not held:
            wrong.append((repr(error), kind, found, found and found.kind))
    assert wrong == []


class Two:
    """A chain of two steps, each decided for `a`."""

    def start(self):
        return 0

    def subtask(self, state):
        return None if state == 2 else unerring.Subtask(f"step {state}", lambda text: text)

    def advance(self, state, choice):
        return state + 1


def options(**given):
    return unerring.Options(policy=Policy(AheadBy(1)), speculate="off", clock=FakeClock(), **given)


@pytest.mark.parametrize("later", [False, True])
def test_a_transient_error_is_retried_and_a_lasting_one_stops_resumably(later, tmp_path):
    """A function that times out twice is called again.

    One whose key is refused stops the run, which can be resumed.
    """
    errors = [TimeoutError("slow"), sdk("RateLimitError", status_code=429)]

    def ask(prompt):
        if errors:
            raise errors.pop(0)
        return "a"

    async def ask_later(prompt):
        await asyncio.sleep(0)
        return ask(prompt)

    model = ask_later if later else ask
    clock = FakeClock()
    result = unerring.run(
        Two(),
        model,
        options=unerring.Options(
            policy=Policy(AheadBy(1)), speculate="off", clock=clock, patience=Patience(spread=0.0)
        ),
    )
    assert (result.state, clock.slept) == (2, [1.0, 2.0])
    errors.append(sdk("AuthenticationError", status_code=401))
    with pytest.raises(ProviderGone, match="AuthenticationError"):
        unerring.run(Two(), model, tmp_path / "run.db", options=options())
    assert unerring.resume(tmp_path / "run.db", Two(), model, options=unerring.Options(speculate="off")).state == 2


def test_any_other_error_ends_the_run_as_it_is_with_model_and_step():
    """A `KeyError` of the function is raised unchanged.

    A note names the model and the step, the traceback the line.
    """

    def ask(prompt, settings):
        return {}["choices"] if settings.step else "a"

    with pytest.raises(KeyError) as raised:
        unerring.run(Two(), ask, options=options())
    assert any("ask() of step 1" in note for note in raised.value.__notes__)
    assert raised.traceback[-1].path.name == "test_sdk_errors.py"


def test_a_function_is_called_as_its_signature_says():
    """`prompt -> text` and `prompt, settings -> text` are distinguished once, for every form of function."""

    class Model:
        def __call__(self, prompt):
            return prompt

        def whole(self, prompt, settings):
            return f"{prompt} {settings.slot}"

        async def later(self, prompt):
            return prompt

    class Later:
        async def __call__(self, prompt, settings):
            return f"{prompt} {settings.slot}"

    async def later(prompt, *, settings):
        return f"{prompt} {settings.slot}"

    def three(url, prompt, settings):
        return f"{prompt} {settings.slot}"

    def warm(prompt, temperature=0.7, **more):
        return f"{prompt}{temperature}"[:1]

    forms = {
        "p": [lambda prompt: prompt, Model(), Model().later, warm, lambda prompt, *, top_p=1: prompt],
        "p 0": [
            *(lambda prompt, settings: f"{prompt} {settings.slot}", Model().whole, Later(), later),
            functools.partial(three, "http"),
            *(lambda prompt, settings=None: f"{prompt} {settings.slot}", lambda *args: f"{args[0]} {args[1].slot}"),
            lambda prompt, s, more=1: f"{prompt} {s.slot}",
        ],
    }
    for answer, functions in forms.items():
        for function in functions:
            (sample,) = asyncio.run(FunctionSampler(function).sample("p", SETTINGS, 1))
            assert sample.text == answer, function
            assert FunctionSampler(function).takes_request is (answer == "p 0")
    for function in (lambda: "a", lambda prompt, settings, key: "a", lambda prompt, *, key: "a"):
        with pytest.raises(InputError, match=r"a model's function takes \(prompt\) or \(prompt, settings\)"):
            FunctionSampler(function)
