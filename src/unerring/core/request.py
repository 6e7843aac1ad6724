"""Request settings of a run, which are added to every request to its models.

Temperatures and the output limit become part of the run's policy; the system message and further fields of the body
are kept in the journal's opening entry (`Opened.request`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from unerring.core.arguments import require_flag
from unerring.core.chain import Subtask
from unerring.core.numbers import MAX_TEMPERATURE, require_number, require_whole
from unerring.core.voting.canonical import Json, NotJson, canonical
from unerring.core.voting.echo import echo_token
from unerring.core.voting.policy import Policy
from unerring.core.voting.sample import Message, Settings
from unerring.errors import InputError

MAX_EXTRA_CHARS = 1 << 16


@dataclass(frozen=True, slots=True)
class Request:
    """Request settings of a run, added to each question's own.

    temperature: of all samples; of all but the first of each step, where `first_temperature` is given.
    first_temperature: of the first sample of each step.
    max_output_tokens: the longest answer that is not flagged, and what each request is limited to.
    system: a system message before every question, joined with the question's own.
    extra: further fields of each request's body, JSON data, such as {"top_p": 0.9, "reasoning_effort": "low"}.
    nonce: whether each request ends with a unique line, so that no response cache has an answer to it.
    echo: whether each answer must end with a word of its own request, so that no other request's answer votes; schemas
        and tools are then not sent, since they leave no room for it.

    question_text: the part of every question's digest, as JSON text: `system` and `extra`. Computed from them.

    None keeps the setting of the model's policy or calibration; `nonce` and `echo` stay as they were in a resumed run,
    and are off in a new one. Raises `InputError` for settings that no request can have.
    """

    temperature: float | None = None
    first_temperature: float | None = None
    max_output_tokens: int | None = None
    system: str | None = None
    extra: Mapping[str, Json] = field(default_factory=dict)
    nonce: bool | None = None
    echo: bool | None = None
    question_text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("temperature", "first_temperature"):
            value = getattr(self, name)
            if value is not None:
                require_number(name, value, most=MAX_TEMPERATURE)
        if self.max_output_tokens is not None:
            require_whole("max_output_tokens", self.max_output_tokens)
        if self.system is not None:
            _require_text(self.system)
        _require_extra(self.extra)
        for name in ("nonce", "echo"):
            require_flag(name, getattr(self, name), optional=True)
        kept = {name: value for name, value in self.to_json().items() if name not in {"nonce", "echo"}}
        object.__setattr__(self, "question_text", canonical(kept) if kept else "")  # needed at every step

    def applied_to(self, policy: Policy) -> Policy:
        """The policy with these temperatures and this output limit, where they are given."""
        if self.temperature is not None:
            policy = replace(policy, first_temperature=self.temperature, later_temperature=self.temperature)
        if self.first_temperature is not None:
            policy = replace(policy, first_temperature=self.first_temperature)
        if self.max_output_tokens is not None:
            policy = replace(policy, flags=replace(policy.flags, max_output_tokens=self.max_output_tokens))
        return policy

    def with_switches(self, nonce: bool | None, echo: bool | None) -> "Request":
        """The request with nonces and echoes turned on or off; None leaves them as they are."""
        if nonce is None and echo is None:
            return self
        return replace(self, nonce=self.nonce if nonce is None else nonce, echo=self.echo if echo is None else echo)

    @property
    def is_plain(self) -> bool:
        """Whether there is no system message and no further field."""
        return self.system is None and not self.extra

    def to_json(self) -> dict[str, Json]:
        """The settings as JSON data for the journal, read back by `request_from`.

        Temperatures and the output limit are not among them, since the policy has them.
        """
        data: dict[str, Json] = {}
        if self.system is not None:
            data["system"] = self.system
        if self.extra:
            data["extra"] = dict(self.extra)
        if self.nonce:
            data["nonce"] = True
        if self.echo:
            data["echo"] = True
        return data

    def with_nonce(self, prompt: str, session: float, at: str, drawn: Settings) -> str:
        """A prompt as it is sent: with a unique last line where nonces are asked for.

        The line is computed from the run (its seed, and `session`, when it began), from the digest `at` of what the
        question depends on, and from the number of the call's first sample: only a request and its retries share one.
        """
        return prompt + nonce_line(f"{session!r}:{at}:{drawn.sample_seed()}") if self.nonce else prompt

    def token(self, session: float, at: str, drawn: Settings) -> str | None:
        """The word that the answer of a call must end with, where echoes are asked for.

        It is computed from the run, from the digest `at` of what the question depends on, and from the number of the
        call's first sample, so that each call of any session has its own.
        """
        return echo_token(f"{session!r}:{at}:{drawn.sample_seed()}") if self.echo else None

    def settings(self, subtask: Subtask, compact: bool, drawn: Settings) -> Settings:
        """`drawn`, merged with the question's and the run's request settings."""
        own = (subtask.schema, subtask.messages, subtask.stop, subtask.tools)
        if not any(own) and self.is_plain:
            return drawn
        return Settings(
            drawn.temperature,
            drawn.max_output_tokens,
            drawn.seed,
            drawn.step,
            drawn.slot,
            None if self.echo else subtask.schema_text(compact),  # a schema leaves no room for the echo
            self.with_system_message(subtask.messages_before(compact)),
            subtask.stop_strings(compact),
            self._fields(),
            None if self.echo else subtask.tools_text(compact),
        )

    def probe_settings(self, drawn: Settings) -> Settings:
        """The settings for a question that no process asks, such as a probe's."""
        return drawn if self.is_plain else replace(drawn, messages=self.with_system_message(()), extra=self._fields())

    def with_system_message(self, own: tuple[Message, ...]) -> tuple[Message, ...]:
        """The system message and a question's own messages; two system messages become one, as many templates need."""
        if self.system is None:
            return own
        if own and own[0].role != "user" and own[0].role != "assistant":
            return (Message(own[0].role, f"{self.system}\n\n{own[0].content}"), *own[1:])
        return (Message("system", self.system), *own)

    def _fields(self) -> str | None:
        return json.dumps(self.extra, ensure_ascii=False, separators=(",", ":")) if self.extra else None


def request_from(data: Mapping[str, Json] | None) -> Request:
    """The request whose `to_json` a journal keeps, None for a plain one; raises `ValueError` for other data."""
    given = data or {}
    system, extra = given.get("system"), given.get("extra", {})
    nonce, echo = given.get("nonce"), given.get("echo")
    known = given.keys() <= {"system", "extra", "nonce", "echo"} and isinstance(system, str | None)
    if (
        not known
        or not isinstance(extra, dict)
        or not isinstance(nonce, bool | None)
        or not isinstance(echo, bool | None)
    ):
        raise ValueError("the request settings are not written as this version writes them")
    assert isinstance(system, str | None)
    try:
        return Request(system=system, extra=extra, nonce=nonce, echo=echo)
    except InputError as error:
        raise ValueError(str(error)) from None


def nonce_line(name: str) -> str:
    """A unique last line that defeats response caches; prompt-prefix caches still work."""
    return f"\n\n(request {blake2b(name.encode(), digest_size=5).hexdigest()})"


def _require_text(system: object) -> None:
    if not isinstance(system, str) or not system.strip():
        raise InputError(f"system is the text of a system message; it cannot be {system!r:.40}")
    try:
        system.encode()
    except UnicodeEncodeError:
        raise InputError("system has half characters in it (surrogates), which cannot be sent") from None


def _require_extra(extra: object) -> None:
    if not isinstance(extra, Mapping) or not all(isinstance(name, str) for name in extra):
        raise InputError(f"the further fields of a request are a JSON object, not {extra!r:.60}")
    try:
        length = len(canonical(dict(extra)))
    except NotJson as error:
        raise InputError(f"the further fields of a request are JSON data, but {error}") from None
    if length > MAX_EXTRA_CHARS:
        raise InputError(f"the further fields of a request are longer than {MAX_EXTRA_CHARS:,} characters")
