"""What a user writes: a chain of steps, each a question with a canonical answer."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from unerring.core.entries import digest_of
from unerring.core.redflag import RedFlag
from unerring.core.vote import Json, canonical


@dataclass(frozen=True, slots=True)
class Subtask:
    """What one call asks.

    `prompt` is the whole question: a call sees the strategy and the current state, never the history.
    `parse` turns an answer's text into the choice, JSON data and all that is carried forward, or raises
    `RedFlag`. `compact` is the same question in the fewest words, for models trained on just that. `paraphrases` ask
    the same in other words, for the votes to be spread over: what misleads one wording may not mislead another.
    `shortlist` is for questions that may be answered well in many ways: after so many votes that settle nothing, the
    step comes to `{"candidates": choices}`, those that had votes, for the next step to have them judged. `schema` is
    the JSON schema of an answer that is one JSON object, sent to endpoints that can hold a model to it; `parse` judges
    all the same.
    """

    prompt: str
    parse: Callable[[str], Json]
    compact: str | None = None
    paraphrases: tuple[str, ...] = ()
    shortlist: int | None = None
    schema: dict[str, Json] | None = None

    def wordings(self, compact: bool) -> tuple[str, ...]:
        """The prompts to choose from: the compact one alone where it is wanted and there is one."""
        return (self.compact,) if compact and self.compact is not None else (self.prompt, *self.paraphrases)

    def worded(self, compact: bool) -> str:
        """The first of them."""
        return self.wordings(compact)[0]

    def held_to(self, compact: bool) -> str | None:
        """The schema as JSON text, where there is one; compact prompts are answered without.

        Fields stay in their order: models write them in it, so that thoughts come before what they lead to.
        """
        if self.schema is None or (compact and self.compact is not None):
            return None
        return json.dumps(self.schema, ensure_ascii=False, separators=(",", ":"))


@runtime_checkable
class Chain(Protocol):
    """A process whose steps depend on each other. States and choices are JSON data.

    All three methods must be functions of their arguments alone: resuming a run calls them again and
    expects the same results. They may also offer, each optional:

    - `check(state, choice) -> RedFlag | None`: flag a parsed answer that cannot be right;
    - `verify(choices, finished) -> str | None`: judge the decided choices, in the order of the steps, without
      any model; None if all hold, else what is wrong. `finished` says that no step is to follow;
    - `truth(state) -> choice`: the right choice where it is known, for measuring models, never for deciding;
    - `rehearse(prompt) -> Rehearsal`: answers for the noise sampler, which stands in for a model;
    - `length() -> int`: the number of steps, for progress and planning; a run that does not end there is stopped;
    - `state_at(step) -> state`: the state before any step, so that models can be measured on steps drawn at random;
    - `answer(state) -> JSON data`: what a finished run came to, from its last state;
    - `parameters() -> dict`: the arguments that make this chain again, kept in the journal;
    - `place(state) -> JSON data`: what the question at a state hangs on, where that is less than all of it: `subtask`,
      its parser and `check` use no more. Samples that were asked ahead are good wherever the place is the same;
    - `beside(state) -> state | None`: a state with the place of the next one, whatever the step comes to, for steps
      that do not wait for each other; None where the next question hangs on this one's answer. It goes with `place`;
    - `embedded: str`: the embedded model that was trained on its compact prompts, where that is not `embedded`.
    """

    def start(self) -> Json:
        """The state before the first step."""

    def subtask(self, state: Json) -> Subtask | None:
        """The question that decides the step from `state`, or None if the chain ends here."""

    def advance(self, state: Json, choice: Json) -> Json:
        """The state after the step."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A right answer to a prompt, as text, and some plausible wrong ones (at least one)."""

    right: str
    wrong: tuple[str, ...]


def check_of(chain: Chain) -> Callable[[Json, Json], RedFlag | None] | None:
    """The chain's own check, if it has one."""
    check: Callable[[Json, Json], RedFlag | None] | None = getattr(chain, "check", None)
    return check


def length_of(chain: Chain) -> int | None:
    """The chain's number of steps, if it says."""
    length: Callable[[], int] | None = getattr(chain, "length", None)
    return length() if length else None


def answer_of(chain: Chain, state: Json) -> Json:
    """What a run that ended in `state` came to; None if the chain does not say."""
    answer: Callable[[Json], Json] | None = getattr(chain, "answer", None)
    return answer(state) if answer else None


def parameters_of(chain: Chain) -> dict[str, Json]:
    """The arguments that make the chain again; empty if it does not say."""
    parameters: Callable[[], dict[str, Json]] | None = getattr(chain, "parameters", None)
    return parameters() if parameters else {}


def digest_at(chain: Chain, state: Json) -> str:
    """The digest of what the question at a state hangs on: all of the state, where the chain names no less."""
    place: Callable[[Json], Json] | None = getattr(chain, "place", None)
    return digest_of(canonical(place(state) if place else state))


def beside_of(chain: Chain) -> Callable[[Json], Json]:
    """The chain's own `beside`; for most chains every question hangs on the answer before it."""
    beside: Callable[[Json], Json] = getattr(chain, "beside", _nothing)
    return beside


def _nothing(state: Json) -> Json:
    return None


def verifier_of(chain: Chain) -> Callable[..., str | None] | None:
    """The chain's own verifier of decided choices, if it has one."""
    verify: Callable[..., str | None] | None = getattr(chain, "verify", None)
    return verify
