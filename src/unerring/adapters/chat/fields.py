"""Refuse further fields of a chat request (`extra`) that have the name of a field that unerring sets itself."""

from collections.abc import Iterable

from unerring.errors import InputError

_SET_BY_UNERRING = {
    "model": "it is part of the model's specification",
    "messages": "they come from the process; `system` is put before its questions",
    "prompt": "it comes from the process",
    "n": "unerring asks for as many samples as it needs",
    "best_of": "it bills more samples than it returns",
    "seed": "each sample has its own, from the run's seed",
    "stream": "answers are read as a whole",
    "stream_options": "answers are read as a whole",
    "temperature": "give `temperature` or `first_temperature`",
    "max_tokens": "give `max_output_tokens`",
    "max_completion_tokens": "give `max_output_tokens`",
    "max_output_tokens": "`max_output_tokens` is a setting of its own",
    "logprobs": "unerring asks for it; the option logprobs=off of a specification leaves it out",
    "stop": "it belongs to a question: Subtask(stop=...)",
    "response_format": "it belongs to a question: Subtask(schema=...)",
    "extra_body": "give the fields in it themselves: they go into the body as they are",
    "extra_headers": "headers cannot be set",
    "api_key": "keys come from the environment, and journals keep none",
    "authorization": "keys come from the environment, and journals keep none",
}


def require_free_fields(names: Iterable[str]) -> None:
    """Raise `InputError` where a further field of a request has the name of a field that unerring sets."""
    for name in names:
        if (instead := _SET_BY_UNERRING.get(name.lower())) is not None:
            raise InputError(f"{name!r} cannot be among the further fields of a request: {instead}")
