"""The lines of a batch's result files are matched with its requests."""

import json

from hypothesis import given
from hypothesis import strategies as st

from tables import each
from unerring.adapters.openai_batch.results import OutcomeKind, RequestOutcome, reconcile

NAMES = [f"{step}-0-{step:024x}-1" for step in range(8)]


def answered(name, body="fine"):
    """A line with an answer."""
    response = {"status_code": 200, "request_id": "r", "body": {"said": body}}
    return json.dumps({"id": "x", "custom_id": name, "response": response, "error": None}).encode()


def refused(name, status=400):
    """A line with a reply that is no answer, as OpenAI's error files have it."""
    response = {"status_code": status, "request_id": "r", "body": {"error": {"message": "no", "code": "bad"}}}
    return json.dumps({"id": "x", "custom_id": name, "response": response, "error": None}).encode()


def undone(name, code="batch_expired"):
    """A line of a request that was not carried out."""
    error = {"code": code, "message": f"{code}!"}
    return json.dumps({"id": "x", "custom_id": name, "response": None, "error": error}).encode()


def cut(line):
    """A line that is cut before its name."""
    return line[:10]


def kinds_of(outcomes):
    return {name: outcome.kind for name, outcome in outcomes.items()}


def said(outcome):
    return json.loads(outcome.body)["said"]


lines = st.one_of(
    st.tuples(st.just("answered"), st.sampled_from(NAMES), st.text(max_size=3)),
    st.tuples(st.just("refused"), st.sampled_from(NAMES), st.just("")),
    st.tuples(st.just("undone"), st.sampled_from(NAMES), st.just("")),
    st.tuples(st.just("cut"), st.sampled_from(NAMES), st.just("")),
    st.tuples(st.just("blank"), st.just(""), st.just("")),
    st.tuples(st.just("stranger"), st.just("another person's"), st.just("theirs")),
)
MADE = {
    "answered": answered,
    "stranger": answered,
    "refused": lambda name, _: refused(name),
    "undone": lambda name, _: undone(name),
    "cut": lambda name, _: cut(answered(name)),
    "blank": lambda *_: b"  ",
}


def written(file):
    return [MADE[kind](name, text) for kind, name, text in file]


@given(
    st.sets(st.sampled_from(NAMES), min_size=1),
    st.lists(lines, max_size=20),
    st.lists(lines, max_size=20),
    st.none() | st.integers(0, 20),
)
def test_whatever_the_files_hold_each_request_has_one_outcome(requested, output, errors, completed):
    """Any mix of answers, refusals, duplicates, gaps, foreign and cut lines gives exactly one outcome a request.

    It is the first answer if there is one, else the first other line, else that it was not done or is unknown.
    """
    outcomes = reconcile(requested, written(output), written(errors), completed)
    assert outcomes.keys() == requested
    every = output + errors
    nameless = any(kind == "cut" for kind, *_ in every)
    whole = {name for kind, name, _ in every if kind == "answered"} & requested
    for name, outcome in outcomes.items():
        own = [(kind, text) for kind, its, text in every if its == name and kind not in {"cut", "blank"}]
        answers = [text for kind, text in own if kind == "answered"]
        if answers:
            assert (outcome.kind, said(outcome)) == (OutcomeKind.ANSWERED, answers[0])
        elif own:
            assert outcome.kind is (OutcomeKind.REFUSED if own[0][0] == "refused" else OutcomeKind.UNDONE)
        elif nameless or completed is None or completed > len(whole):
            assert outcome.kind is OutcomeKind.UNKNOWN
        else:
            assert outcome.kind is OutcomeKind.UNDONE


@given(st.lists(lines, max_size=30), st.randoms())
def test_outcomes_do_not_depend_on_the_order_of_lines(file, chance):
    """Lines in another order give each request the same outcome, unless two lines have different failures."""
    shuffled = list(file)
    chance.shuffle(shuffled)
    kinds = {}
    for kind, name, _ in file:
        kinds.setdefault(name, set()).add(kind)
    steady = {name for name, its in kinds.items() if not {"refused", "undone"} <= its or "answered" in its}
    before, after = (reconcile(NAMES, written(each), [], len(NAMES)) for each in (file, shuffled))
    assert all(before[name].kind is after[name].kind for name in NAMES if name in steady or name not in kinds)


def test_a_batch_without_an_input_file_has_the_requests_of_its_results():
    """Without a list of requests, exactly those that the result files name have an outcome."""
    outcomes = reconcile(None, [answered(NAMES[0])], [undone(NAMES[1])], 1)
    assert kinds_of(outcomes) == {NAMES[0]: OutcomeKind.ANSWERED, NAMES[1]: OutcomeKind.UNDONE}


def test_an_unreadable_line_fails_the_request_it_names():
    """If a line is cut but still has its name, the outcome of only that request is unknown."""
    outcomes = reconcile(NAMES[:3], [answered(NAMES[0]), answered(NAMES[1])[:80], answered(NAMES[2])], [], 3)
    assert kinds_of(outcomes) == {
        NAMES[0]: OutcomeKind.ANSWERED,
        NAMES[1]: OutcomeKind.UNKNOWN,
        NAMES[2]: OutcomeKind.ANSWERED,
    }


@each(
    "line",
    [
        b"\xff\xfe",
        b"[" * 100_000,
        b"null",
        b"12",
        b'{"custom_id": 3}',
        b'{"response": {}}',
        b"{" + b'"a":{' * 5000,
        b'{"custom_id":"%s","response":{"status_code":"two hundred"}}' % NAMES[0].encode(),
        b'{"custom_id":"%s","response":[]}' % NAMES[0].encode(),
        b'{"custom_id":"%s"}' % NAMES[0].encode(),
        b'{"custom_id":"%s","response":{"status_code":1e999}}' % NAMES[0].encode(),
    ],
    ids=range(11),
)
def test_hostile_lines_are_of_unknown_outcome(line):
    """Lines of any bytes neither raise nor count as an answer: the request may have been billed."""
    assert kinds_of(reconcile(NAMES[:1], [line], [], 1)) == {NAMES[0]: OutcomeKind.UNKNOWN}


def test_an_error_without_a_reply_is_put_into_the_shape_of_one():
    """An error that came without an HTTP reply is brought into the form of the chat endpoint's errors."""
    line = {"custom_id": NAMES[0], "response": None, "error": {"code": "server_error", "message": "broke"}}
    outcome = reconcile(NAMES[:1], [], [json.dumps(line).encode()], 0)[NAMES[0]]
    assert (outcome.kind, outcome.status) == (OutcomeKind.REFUSED, 0)
    assert json.loads(outcome.body) == {"error": {"code": "server_error", "message": "broke"}}


def test_a_gap_costs_nothing_where_the_provider_counts_it_as_not_done():
    """A missing request was not done if the provider's counts leave no room for it, and is unknown otherwise."""
    file = [answered(name) for name in NAMES[:3]]
    assert reconcile(NAMES[:4], file, [], 3)[NAMES[3]].kind is OutcomeKind.UNDONE
    assert reconcile(NAMES[:4], file, [], 4)[NAMES[3]].kind is OutcomeKind.UNKNOWN
    assert reconcile(NAMES[:4], file, [], None)[NAMES[3]].kind is OutcomeKind.UNKNOWN


def test_outcomes_say_why():
    """A missing request's outcome says how the batch ended, and an expired one's what the provider said."""
    assert "expired" in reconcile(NAMES[:1], [], [], 0, "expired")[NAMES[0]].reason
    assert reconcile(NAMES[:1], [], [undone(NAMES[0])], 0)[NAMES[0]] == RequestOutcome(
        OutcomeKind.UNDONE, reason="batch_expired!"
    )
