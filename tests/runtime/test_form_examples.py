"""Answers that repeat the example of their form are flagged with that reason, and never voted for."""

import json

import pytest

from chain_runs import K3, Words, run
from unerring import Subtask, json_answer
from unerring.core.checked_chain import CheckedChain
from unerring.core.voting.redflag import FlagKind, RedFlag
from unerring.core.voting.step import OpenStep
from unerring.processes.general import General
from unerring.processes.solve import Solve
from unerring.runtime.question import Question
from unerring.testing import ScriptedSampler

EXAMPLE = '{"label": "the label", "why": "a short reason"}'


class Labelling(Words):
    """A chain of one step whose prompt shows the form of an answer."""

    def __init__(self, example=EXAMPLE, parse=json_answer):
        super().__init__(1)
        self.example, self.read = example, parse

    def subtask(self, state):
        return None if state else Subtask(f"Answer as {self.example}", self.read, example=self.example)


def reason(subtask, text):
    """The reason with which an answer is flagged; None if it votes."""
    try:
        Question(OpenStep(0, K3), subtask, None, "").choice(text)
    except RedFlag as flag:
        return flag.reason
    return None


def test_a_copied_example_never_wins_a_step():
    """Three samples that copy the prompt's example are flagged and drawn again, and a real answer wins."""
    answer = '{"label": "spam", "why": "it sells"}'
    outcome = run(Labelling(), ScriptedSampler([EXAMPLE] * 3 + [answer] * 3), K3)
    assert outcome.at == [json.loads(answer)]
    assert outcome.flags == [FlagKind.REJECTED] * 3


def test_a_text_of_the_example_is_a_copy_anywhere_in_an_answer():
    """One placeholder suffices, at any depth, in any case, with any blanks and marks; longer texts are no copies."""
    subtask = Labelling().subtask([])
    copies = ['{"label": "The  label."}', '["spam", {"why": ["a short reason"]}]', '"<the label>"', EXAMPLE]
    assert [text for text in copies if "repeats the example of the form" not in (reason(subtask, text) or "")] == []
    answers = ['{"label": "the label of a bottle", "why": "label"}', '{"the label": 1}', '""', "[]"]
    assert [text for text in answers if reason(subtask, text) is not None] == []


def test_an_example_that_is_no_json_is_a_copy_as_the_end_of_an_answer():
    """`label = the label` at the end of an answer repeats the form, whatever words precede it."""
    subtask = Labelling("label = the label", str.strip).subtask([])
    assert "label = the label" in reason(subtask, "Sure.\nLabel = the label\n")
    assert reason(subtask, "label = spam") is None


@pytest.mark.parametrize(
    ("role", "asked", "copied", "right"),
    [
        (
            "split",
            ("p",),
            {"parts": ["first smaller problem", "3 + 4"], "how": "add"},
            {"parts": ["1", "2"], "how": "+"},
        ),
        ("split", ("p",), {"parts": ["1", "2"], "how": "How the answers go together."}, {"parts": []}),
        ("solve", ("p", None), {"answer": "the answer"}, {"answer": "answer"}),
        ("compose", ("p", "add", ["a"], [1]), {"answer": ["The answer to the whole problem"]}, {"answer": 3}),
    ],
)
def test_the_general_roles_know_their_own_placeholders(role, asked, copied, right):
    """A part, a plan or an answer that is copied from the prompt's template is no vote."""
    subtask = getattr(Solve("p").roles, role)(*asked)
    assert "repeats the example of the form" in (reason(subtask, json.dumps(copied)) or "")
    assert reason(subtask, json.dumps(right)) is None


def test_the_examples_of_the_general_roles_are_those_of_their_prompts():
    """Each text that a role flags is in its prompt, so that a changed wording leaves no placeholder behind."""
    for roles in (General(), General(linear=True)):
        for subtask in (roles.split("p"), roles.solve("p", None), roles.compose("p", "add", ["a"], [1])):
            for texts in json.loads(subtask.example).values():
                for text in [texts] if isinstance(texts, str) else texts:
                    assert text in subtask.prompt


def test_a_tree_does_not_take_the_placeholders_for_parts():
    """The question of a tree flags the template's parts; in a row of steps its plan may be copied."""
    whole, row = Solve("How many?"), Solve("How many?", roles="linear")
    template = '{"parts": ["first smaller problem", "second smaller problem"], "how": "how the answers go together"}'
    steps = '{"parts": ["first step", "second step"], "how": "one after the other"}'
    fine = '{"parts": ["count", "double it"], "how": "one after the other"}'
    for chain, text, voted in ((whole, template, fine), (row, steps, fine)):
        subtask = CheckedChain(chain).subtask(chain.start(), 0)
        assert CheckedChain(chain).check is None
        assert "repeats the example of the form" in (reason(subtask, text) or "")
        assert reason(subtask, voted) is None
