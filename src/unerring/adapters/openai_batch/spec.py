"""The specification of a model that is asked in batches: `openai-batch/MODEL@URL,option,...`."""

import math
import re
from dataclasses import dataclass

from unerring.adapters.http.spec import PROVIDER as CHAT
from unerring.adapters.http.spec import EndpointSpec, parse_spec
from unerring.adapters.openai_batch.request_id import MAX_BATCH_REQUESTS
from unerring.adapters.scrubbing import without_secrets_in_errors
from unerring.errors import InputError

PROVIDER = "openai-batch"
DEFAULT_BATCH_REQUESTS = 1000
DEFAULT_GATHER_SECONDS = 60.0
DEFAULT_POLL_SECONDS = 15.0
DEFAULT_WINDOW = "24h"
MAX_WAIT_SECONDS = 86_400.0
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
    batch: int = DEFAULT_BATCH_REQUESTS
    gather: float = DEFAULT_GATHER_SECONDS
    poll: float = DEFAULT_POLL_SECONDS
    window: str = DEFAULT_WINDOW

    @property
    def name(self) -> str:
        """The specification in its one canonical form."""
        words = [PROVIDER + self.chat.name.removeprefix(CHAT)]
        if self.batch != DEFAULT_BATCH_REQUESTS:
            words.append(f"batch={self.batch}")
        for name, seconds, usual in (
            ("gather", self.gather, DEFAULT_GATHER_SECONDS),
            ("poll", self.poll, DEFAULT_POLL_SECONDS),
        ):
            if seconds != usual:
                words.append(f"{name}={seconds}".removesuffix(".0"))
        if self.window != DEFAULT_WINDOW:
            words.append(f"window={self.window}")
        return ",".join(words)

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
    if provider != PROVIDER or not slash:
        raise InputError(f"a model that is asked in batches is written {PROVIDER}/MODEL or {PROVIDER}/MODEL@URL")
    first, *options = rest.split(",")
    own: dict[str, str] = {}
    others = []
    for option in options:
        name, equals, value = option.partition("=")
        if not equals or name not in {"batch", "gather", "poll", "window"}:
            others.append(option)
        elif name in own:
            raise InputError(f"the option {option!r} is given twice")
        else:
            own[name] = value
    try:
        chat = parse_spec(",".join([f"{CHAT}/{first}", *others]))
    except InputError as error:
        raise InputError(f"{error}; {PROVIDER} also has {_OPTIONS}") from None
    return BatchSpec(
        chat,
        _requests(own.get("batch", str(DEFAULT_BATCH_REQUESTS))),
        _seconds("gather", own.get("gather", str(DEFAULT_GATHER_SECONDS))),
        _seconds("poll", own.get("poll", str(DEFAULT_POLL_SECONDS))),
        _window(own.get("window", DEFAULT_WINDOW)),
    )


def _requests(text: str) -> int:
    count = int(text) if re.fullmatch("[0-9]{1,6}", text) else 0
    if not 1 <= count <= MAX_BATCH_REQUESTS:
        raise InputError(f"batch={text}: a batch has 1 to {MAX_BATCH_REQUESTS} requests; options are {_OPTIONS}")
    return count


def _seconds(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= MAX_WAIT_SECONDS:
        raise InputError(
            f"{name}={text}: it is in seconds, more than 0 and {MAX_WAIT_SECONDS:g} at most; options are {_OPTIONS}"
        )
    return seconds


def _window(text: str) -> str:
    if not _WINDOW.fullmatch(text):
        raise InputError(f"window={text}: write hours or days, such as 24h, the only one that OpenAI accepts")
    return text
