"""Convert the finish reasons of all providers: an answer may vote only if its reason is known to mean a complete one.

Servers differ in words and in spelling (`end_turn`, `COMPLETE`, `maxTokens`, `content-filter`); case and punctuation
are ignored. An answer with an unknown reason does not vote: most new reasons are new ways to fail.
"""

from unerring.core.voting.sample import Finish

MAX_FINISH_CHARS = 60  # of a reason that are kept

_COMPLETE = frozenset(
    {
        "stop",  # OpenAI and nearly everyone; Gemini: STOP
        "eos",  # Together
        *("eostoken", "endoftext", "eosfound"),  # TGI, watsonx; AI21, Aleph Alpha; LM Studio
        *("endturn", "stopsequence"),  # Anthropic, Bedrock; Cohere, TGI
        *("stopsequencereached", "stopstringfound"),  # Aleph Alpha; LM Studio
        *("complete", "completed"),  # Cohere, OpenAI's Responses
        *("finishreasonstop", "reasonstop"),  # names of protocol buffers: Vertex, xAI
        "normal",  # Baidu
    }
)
_LENGTH = frozenset(
    {
        *("length", "maxtokens", "maxoutputtokens", "maxcompletiontokens", "maximumtokens", "tokenlimit"),
        *("finishreasonmaxtokens", "reasonmaxlen"),
    }
)
_REFUSED = frozenset(
    {
        *("refusal", "refused", "recitation", "blocklist", "blocked", "prohibitedcontent", "spii", "sensitive"),
        *("guardrailintervened", "errortoxic", "moderation"),
    }
)
_FILTERS = ("filter", "safety", "guardrail")  # as a part of any word: content_filter, content-filtered, IMAGE_SAFETY


def finish_of(reason: str | None, always_given: bool) -> Finish:
    """Why an answer ended. `always_given`: the server gives reasons, so that an answer without one is incomplete."""
    if reason == "stop":
        return Finish.STOP
    word = "".join(character for character in (reason or "")[:200].lower() if character.isalnum())
    if word in _COMPLETE or (not reason and not always_given):
        return Finish.STOP
    if word in _LENGTH:
        return Finish.LENGTH
    if word in _REFUSED or any(part in word for part in _FILTERS):
        return Finish.REFUSED
    return Finish.OTHER
