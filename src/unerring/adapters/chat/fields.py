"""Fields of a request's body that the engine fills in itself, and what to give instead; no `extra` may name them."""

from collections.abc import Iterable

from unerring.errors import InputError

_OWNED = {
    "model": "the model's specification says it",
    "messages": "the process asks, and `system` stands before its questions",
    "prompt": "the process asks",
    "n": "the engine asks for as many samples as are wanted",
    "best_of": "it bills more samples than it returns",
    "seed": "each sample has its own, from the run's seed",
    "stream": "answers are read whole",
    "stream_options": "answers are read whole",
    "temperature": "give `temperature` or `first_temperature`",
    "max_tokens": "give `max_output_tokens`",
    "max_completion_tokens": "give `max_output_tokens`",
    "max_output_tokens": "`max_output_tokens` is a setting of its own",
    "logprobs": "the engine asks for it; the option logprobs=off of a specification leaves it out",
    "stop": "it belongs to a question: Subtask(stop=...)",
    "response_format": "it belongs to a question: Subtask(schema=...)",
    "extra_body": "give the fields in it themselves: they go into the body as they are",
    "extra_headers": "headers cannot be set",
    "api_key": "keys come from the environment, and journals keep none",
    "authorization": "keys come from the environment, and journals keep none",
}


def require_free_fields(names: Iterable[str]) -> None:
    """Raise `InputError` where one of the further fields of a request is the engine's own."""
    for name in names:
        if (instead := _OWNED.get(name.lower())) is not None:
            raise InputError(f"{name!r} cannot be among the further fields of a request: {instead}")
