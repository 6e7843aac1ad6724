"""Convert errors of model SDKs into provider failures, by status and class name, without importing any SDK.

Covers OpenAI, Anthropic, LiteLLM, Google (api-core, genai, gRPC), boto3, httpx, requests, urllib3, urllib and aiohttp.
Rate limits, timeouts and broken connections are transient failures. A missing key or quota is a lasting one, and so is
a question that is refused as too long or against a policy. Everything else is an error of the user's own code, such as
an invalid request.
"""

from collections.abc import Iterator, Mapping
from inspect import getattr_static
from typing import Any

from unerring.adapters.http.errors import ErrorBody, error_from_json, failure, one_line
from unerring.adapters.http.spec import Secret
from unerring.errors import FailureKind, ProviderBusy, ProviderDown

# Class names of an exception and its bases, and codes of boto3 and gRPC; used where the HTTP status does not decide.
_BY_NAME: dict[FailureKind, frozenset[str]] = {
    FailureKind.DENIED: frozenset(
        {
            *("AuthenticationError", "PermissionDeniedError", "Unauthenticated", "PermissionDenied", "Forbidden"),
            *(
                "Unauthorized",
                "UNAUTHENTICATED",
                "PERMISSION_DENIED",
                "AccessDeniedException",
                "ExpiredTokenException",
            ),
            *(
                "UnrecognizedClientException",
                "InvalidSignatureException",
                "NoCredentialsError",
                "PartialCredentialsError",
            ),
            *("CredentialRetrievalError", "TokenRetrievalError", "DefaultCredentialsError", "RefreshError"),
        }
    ),
    FailureKind.REFUSED: frozenset({"ContextWindowExceededError", "ContentPolicyViolationError"}),
    FailureKind.QUOTA: frozenset({"BudgetExceededError", "ServiceQuotaExceededException", "InsufficientQuotaError"}),
    FailureKind.RATE_LIMITED: frozenset(
        {
            *(
                "RateLimitError",
                "TooManyRequests",
                "TooManyRequestsException",
                "ResourceExhausted",
                "RESOURCE_EXHAUSTED",
            ),
            *("ThrottlingException", "Throttling", "RequestLimitExceeded"),
        }
    ),
    FailureKind.OVERLOADED: frozenset(
        {
            *("OverloadedError", "ServiceUnavailable", "ServiceUnavailableError", "ServiceUnavailableException"),
            *("UNAVAILABLE", "ModelNotReadyException"),
        }
    ),
    FailureKind.TRANSIENT: frozenset(
        {  # nothing was sent, or the server says that nothing was done
            *("ConnectionRefusedError", "ConnectError", "ConnectTimeout", "ConnectTimeoutError", "PoolTimeout"),
            *("ClientConnectorError", "EndpointConnectionError", "NewConnectionError", "ProxyError", "gaierror"),
            *("InternalServerError", "InternalServerException", "BadGateway", "BadGatewayError", "INTERNAL"),
        }
    ),
    FailureKind.UNKNOWN: frozenset(
        {  # it was sent, and may have been carried out
            *("TimeoutError", "APITimeoutError", "Timeout", "TimeoutException", "ReadTimeout", "ReadTimeoutError"),
            *(
                "DeadlineExceeded",
                "DEADLINE_EXCEEDED",
                "GatewayTimeout",
                "ModelTimeoutException",
                "ServerTimeoutError",
            ),
            *("ConnectionError", "APIConnectionError", "HTTPClientError", "ConnectionClosedError", "TransportError"),
            *("NetworkError", "RemoteProtocolError", "ClientConnectionError", "ClientOSError", "ClientPayloadError"),
            *("ServerDisconnectedError", "ChunkedEncodingError", "IncompleteRead", "ProtocolError", "MaxRetryError"),
            *("RetryError", "URLError", "ServerError"),
        }
    ),
}
_MAX_GROUP_ERRORS = 100  # errors of a group that are read


def provider_failure(error: BaseException, model: str, now: float) -> ProviderBusy | ProviderDown | None:
    """Convert an exception into a failure of the provider; None where it is the user's own error.

    `now` is seconds since 1970, for a Retry-After that is a date. A group is a failure where each of its errors is.
    """
    if isinstance(error, BaseExceptionGroup):
        failures = [provider_failure(one, model, now) for one in error.exceptions[:_MAX_GROUP_ERRORS]]
        lasting = [one for one in failures if isinstance(one, ProviderDown)]
        return None if None in failures else (lasting or failures)[0]
    if isinstance(error, ProviderBusy | ProviderDown):
        return error
    names, message = set(_names(error)), f"{type(error).__name__}: {error}"
    status, refused = next(_statuses(error), None), False
    if status is not None:
        codes = f"{error_from_json(getattr(error, 'body', None)).codes} {_code(error)}".strip()
        failed = failure(status, ErrorBody(message, codes), _headers(error), model, _NO_SECRET, now)
        if failed.kind is not FailureKind.INVALID:
            return failed
        refused = True  # by an answer, so the connection did not fail, whatever the class: HTTPError is a URLError
    kind = next((kind for kind, known in _BY_NAME.items() if names & known), None)
    if kind is None or (refused and kind is FailureKind.UNKNOWN):
        return None
    words = one_line(f"{model}: {message}", _NO_SECRET)
    if kind in {FailureKind.DENIED, FailureKind.QUOTA, FailureKind.REFUSED}:
        return ProviderDown(words, kind)
    return ProviderBusy(words, None, kind)


_NO_SECRET = Secret("", "")


def _names(error: BaseException) -> Iterator[str]:
    """Names that identify an error: those of its classes, and the codes of boto3 and gRPC."""
    yield from (kind.__name__ for kind in type(error).__mro__)
    yield _code(error)


def _code(error: BaseException) -> str:
    """The error's code as text, where it has one: of OpenAI, boto3 or gRPC."""
    code = _plain_code(error)
    if callable(code):  # gRPC's
        try:
            code = getattr(code(), "name", None)
        except Exception:  # another library's method, which may need arguments
            return ""
    if isinstance(code, str):
        return code
    response = getattr(error, "response", None)
    inner = response.get("Error") if isinstance(response, Mapping) else None
    code = inner.get("Code") if isinstance(inner, Mapping) else None
    return code if isinstance(code, str) else ""


def _plain_code(error: BaseException) -> Any:
    """The attribute `code`, unless it is a property: that of aiohttp is deprecated and warns."""
    return None if isinstance(getattr_static(error, "code", None), property) else getattr(error, "code", None)


def _statuses(error: BaseException) -> Iterator[int]:
    """HTTP statuses that an exception names, the most specific first."""
    response = getattr(error, "response", None)
    places: list[Any] = [getattr(error, name, None) for name in ("status_code", "http_status", "status")]
    places.append(_plain_code(error))
    places += [getattr(response, name, None) for name in ("status_code", "status")]
    if isinstance(response, Mapping):
        metadata = response.get("ResponseMetadata")
        places.append(metadata.get("HTTPStatusCode") if isinstance(metadata, Mapping) else None)
    for status in places:
        if isinstance(status, int) and not isinstance(status, bool) and 400 <= status <= 599:
            yield int(status)


def _headers(error: BaseException) -> dict[str, str]:
    """The headers of the answer that an exception comes from, in lower case."""
    response = getattr(error, "response", None)
    metadata = response.get("ResponseMetadata") if isinstance(response, Mapping) else None
    places: list[Any] = [
        getattr(response, "headers", None),
        getattr(error, "headers", None),
        metadata.get("HTTPHeaders") if isinstance(metadata, Mapping) else None,
    ]
    for headers in places:
        try:
            return {str(name).lower(): str(value) for name, value in headers.items()}
        except (AttributeError, TypeError, ValueError):
            continue
    return {}
