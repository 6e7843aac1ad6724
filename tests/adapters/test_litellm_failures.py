"""How the LiteLLM sampler reads the library's exceptions: by the provider's own reply, or by their status."""

from types import SimpleNamespace

import pytest
from litellm_library import ENVIRON, ask, chained, failure, http, named

from unerring.adapters.litellm import LiteLLMSampler, answered
from unerring.errors import FailureKind, ProviderBusy, ProviderDown

REFUSALS = [
    (429, b'{"error": {"message": "Slow down"}}', FailureKind.RATE_LIMITED, ProviderBusy),
    (429, b'{"error": {"message": "Pay", "code": "insufficient_quota"}}', FailureKind.QUOTA, ProviderDown),
    (402, b"{}", FailureKind.QUOTA, ProviderDown),
    (401, b"{}", FailureKind.DENIED, ProviderDown),
    (403, b"{}", FailureKind.DENIED, ProviderDown),
    (404, b'{"error": {"message": "no such model"}}', FailureKind.INVALID, ProviderDown),
    (500, b"oh", FailureKind.TRANSIENT, ProviderBusy),
    (503, b"<html>busy</html>", FailureKind.OVERLOADED, ProviderBusy),
    (529, b"{}", FailureKind.OVERLOADED, ProviderBusy),
]


@pytest.mark.parametrize(("status", "body", "kind", "raised"), REFUSALS)
def test_a_refusal_is_read_from_the_reply_behind_an_exception(library, status, body, kind, raised):
    """Status, text and headers of the underlying reply decide, whatever exception the library makes of it."""
    made_up = SimpleNamespace(status_code=500, content=b"", headers={})
    top = named("InternalServerError", status_code=500, response=made_up)
    error = failure(library, chained(top, named("OpenAIError"), http(status, body, retry_after="7")))
    assert (type(error), error.kind) == (raised, kind)
    assert raised is ProviderDown or error.retry_after == 7


ALONE = [
    ("RateLimitError", 429, FailureKind.RATE_LIMITED),
    ("AuthenticationError", 401, FailureKind.DENIED),
    ("PaymentRequiredError", 402, FailureKind.QUOTA),
    ("NotFoundError", 404, FailureKind.INVALID),
    ("ServiceUnavailableError", 503, FailureKind.OVERLOADED),
    ("InternalServerError", 500, FailureKind.UNKNOWN),  # also a reply that the library could not read
    ("APIError", None, FailureKind.UNKNOWN),
]


@pytest.mark.parametrize(("name", "status", "kind"), ALONE)
def test_an_exception_without_a_reply_is_read_by_its_status(library, name, status, kind):
    """Without a reply, a status that can only be a refusal counts as one, and 500 does not."""
    assert failure(library, named(name, status_code=status)).kind is kind


@pytest.mark.parametrize(
    ("causes", "kind"),
    [
        (("ConnectError", "ClientConnectorError", "ConnectionRefusedError"), FailureKind.TRANSIENT),
        (("ConnectTimeout",), FailureKind.TRANSIENT),
        (("ReadError", "ClientOSError"), FailureKind.UNKNOWN),
        (("RemoteProtocolError",), FailureKind.UNKNOWN),
        (("ReadTimeout",), FailureKind.UNKNOWN),
    ],
)
def test_a_broken_connection_may_be_billed_unless_nothing_was_sent(library, causes, kind):
    """A broken connection is of unknown outcome if the request was sent, and free if no connection was made."""
    transport = type("TransportError", (Exception,), {})
    behind_it = [named(cause, transport) for cause in causes]
    assert failure(library, chained(named("InternalServerError", status_code=500), *behind_it)).kind is kind


def test_the_librarys_own_timeout_is_no_refusal(library):
    """The library's timeout has status 408, which must not count as a refusal: it may be billed."""
    base = type("APIConnectionError", (Exception,), {})
    assert failure(library, named("Timeout", base, status_code=408)).kind is FailureKind.UNKNOWN


def test_the_deadline_holds_whatever_the_library_does(library):
    """A call without an answer is cancelled after its timeout."""
    library.outcome = "silence"
    with pytest.raises(ProviderBusy, match=r"no answer within 0.01 seconds") as raised:
        ask(LiteLLMSampler("litellm/acme/one,timeout=0.01", ENVIRON))
    assert raised.value.kind is FailureKind.UNKNOWN


def test_a_refused_question_is_distinguished(library):
    """A filtered or too long question is refused by itself, with the provider's reply or without."""
    for name in ("ContentPolicyViolationError", "ContextWindowExceededError"):
        library.outcome = named(name, status_code=400)
        with pytest.raises(ProviderDown) as raised:
            ask(LiteLLMSampler("litellm/acme/one", ENVIRON))
        assert (raised.value.kind, raised.value.status) == (FailureKind.REFUSED, 400)


def test_an_endless_chain_of_causes_ends(library):
    """Exceptions that are each other's cause do not hang a call."""
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert answered(one) is None
