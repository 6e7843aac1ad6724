"""How a changed question is described: the parts that changed, and the first difference of its wording."""

from unerring import Subtask
from unerring.core.journal.digests import question_change, question_digest

LONG = "The number is {}. " + "Think well, and then say no more than the answer. " * 3
CHANGES = {  # a prompt of before, one of now, and what is said
    ("Double 3", "Please double 3"): '"Double 3" is now "Please double 3"',
    (LONG.format(3), LONG.format(12)): '"The number is 3. Think well, and then say no more …" is now '
    '"The number is 12. Think well, and then say no more…"',
    (LONG + "A", LONG + "B"): '"…re than the answer. A" is now "…re than the answer. B"',
    ("a\x1b[31m", "a\u202e"): r'"a\x1b[31m" is now "a\u202e"',
}


def test_the_first_difference_of_a_wording_is_shown():
    """If the journal has the text, both texts are quoted around the difference, with control characters escaped."""
    said = {}
    for (was, is_now), expected in CHANGES.items():
        before, now = Subtask(was, int), Subtask(is_now, int)
        found = question_change(question_digest(before), question_digest(now), (was,), now)
        if found != f"its wording changed: {expected}":
            said[was, is_now] = found
    assert said == {}


def test_a_change_without_a_text_asks_for_its_cause():
    """If the text was not kept or is the same, the usual causes are named; not for a schema."""
    before, now = Subtask("one", int), Subtask("two", int)
    digests = question_digest(before), question_digest(now)
    cause = "its wording changed (edited, or has it chance, a clock or a file in it?)"
    assert question_change(*digests, None, now) == cause
    assert question_change(*digests, ("two",), now) == cause
    more = Subtask("two", int, paraphrases=("zwei",))
    assert question_change(*digests, ("one",), more) == "its wording changed: 1 of them, now 2"
    held = Subtask("one", int, schema={"type": "integer"})
    assert question_change(digests[0], question_digest(held), ("one",), held) == "its schema changed"


def test_a_digest_never_changes_its_value():
    """A question has the same digest in every version, for any characters."""
    request = '{"system":"Be brief."}'
    plain = Subtask("Double 3", int)
    full = Subtask(
        'Wie "viel" ist 3 + 4?\n\ud800',
        int,
        compact="3 + 4 \U0001f600",
        paraphrases=("Drei plus vier é",),
        schema={"type": "integer"},
        messages=({"role": "system", "content": "Rechne."},),
        stop=("\n\n",),
        nullable=True,
        shortlist=5,
        example="7",
    )
    assert [question_digest(plain), question_digest(plain, request), question_digest(full, request)] == [
        "24dced323bcec7ea7ced82",
        "24dced323bcec7ea2c3757",
        "3e1e2bda95087298caccd7",
    ]
