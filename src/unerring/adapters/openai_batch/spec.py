"""The specification of a model that is asked in batches: `openai-batch/MODEL@URL,option,...`."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from unerring.adapters.http.spec import OPENAI, EndpointSpec, parse_spec, seconds_option
from unerring.adapters.openai_batch.request_id import MAX_BATCH_REQUESTS
from unerring.adapters.scrubbing import without_secrets_in_errors
from unerring.errors import InputError

BATCHES = "openai-batch"
QUIET_SHARE = 0.05  # of the gathering time without a new request, after which a batch is sent

_OPTIONS = "batch=REQUESTS, gather=SECONDS, poll=SECONDS or window=24h"
_WINDOW = re.compile(r"([1-9][0-9]{0,2})([hd])")
_UNIT_SECONDS = {"h": 3600.0, "d": 86_400.0}


@dataclass(frozen=True, slots=True)
class BatchSpec:
    """A model that is asked in batches.

    chat: the model and its address.
    batch: the most requests of a batch.
    gather: seconds for which a batch is gathered at most.
    poll: seconds between the first two polls.
    window: the time that the provider has for a batch, such as 24h.
    """

    chat: EndpointSpec
    batch: int = 1000
    gather: float = 60.0
    poll: float = 15.0
    window: str = "24h"

    @property
    def name(self) -> str:
        """The specification in its one canonical form."""
        usual = BatchSpec(self.chat)
        given = {name: getattr(self, name) for name in _READERS if getattr(self, name) != getattr(usual, name)}
        words = [f"{name}={value}".removesuffix(".0") for name, value in given.items()]
        return ",".join([BATCHES + self.chat.name.removeprefix(OPENAI), *words])

    @property
    def quiet(self) -> float:
        """Seconds without a new request after which a batch is sent."""
        return self.gather * QUIET_SHARE

    @property
    def window_seconds(self) -> float:
        """The window in seconds."""
        match = _WINDOW.fullmatch(self.window)
        assert match is not None
        return int(match[1]) * _UNIT_SECONDS[match[2]]


def parse_batch_spec(text: str) -> BatchSpec:
    """Parse `openai-batch/MODEL@URL,option,...`; raises `InputError` with one line that says what to write.

    The line repeats nothing that may be a secret.
    """
    return without_secrets_in_errors(_parsed, text)


def _parsed(text: str) -> BatchSpec:
    provider, slash, rest = text.partition("/")
    if provider != BATCHES or not slash:
        raise InputError(f"a model that is asked in batches is written {BATCHES}/MODEL or {BATCHES}/MODEL@URL")
    first, *options = rest.split(",")
    own: dict[str, Any] = {}
    others = []
    try:
        for option in options:
            name, equals, value = option.partition("=")
            if not equals or name not in _READERS:
                others.append(option)
            elif name in own:
                raise InputError(f"the option {option!r} is given twice")
            else:
                own[name] = _READERS[name](name, value)
        return BatchSpec(parse_spec(",".join([f"{OPENAI}/{first}", *others])), **own)
    except InputError as error:
        raise InputError(f"{error}; {BATCHES} also has {_OPTIONS}") from None


def _requests(name: str, text: str) -> int:
    count = int(text) if re.fullmatch("[0-9]{1,6}", text) else 0
    if not 1 <= count <= MAX_BATCH_REQUESTS:
        raise InputError(f"{name}={text}: a batch has 1 to {MAX_BATCH_REQUESTS} requests")
    return count


def _window(name: str, text: str) -> str:
    if not _WINDOW.fullmatch(text):
        raise InputError(f"{name}={text}: write hours or days, such as 24h, the only one that OpenAI accepts")
    return text


_READERS: dict[str, Callable[[str, str], Any]] = {
    "batch": _requests,
    "gather": seconds_option,
    "poll": seconds_option,
    "window": _window,
}
