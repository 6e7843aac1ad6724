"""`ask` and `aask`: one question decided by voting, what it gives, and where it is refused."""

import asyncio
from dataclasses import dataclass
from datetime import date
from enum import Enum
from math import isclose

import pytest

import unerring
from unerring import Decision, InputError, Options, Policy, RedFlag, StepUndecided, Stopped
from unerring.core.answers.ask import make_ask
from unerring.core.functions.awaitables import Ask
from unerring.core.functions.running import running_process
from unerring.core.planning.calibration import Calibration, VoterCount
from unerring.core.voting.race import FirstTo
from unerring.core.voting.redflag import FlagKind
from unerring.core.voting.sample import Sample, Usage
from unerring.testing import ScriptedSampler


class Mood(Enum):
    GLAD = 1
    SAD = 2


@dataclass(frozen=True)
class Person:
    name: str
    born: date | None = None


def asked(answers, *arguments, **named):
    """The decision of a question that a script answers."""
    return unerring.ask("Well?", *arguments, model=ScriptedSampler(answers), **named)


def test_a_decision_says_how_the_votes_fell():
    """Value, tally by text, margin, votes, flags, samples; nothing is said of errors without a calibration."""
    decision = asked(["Yes", "no", "maybe", '"yes"', "yes.", "yes"], ["yes", "no"])
    assert isinstance(decision, Decision)
    assert (decision.value, decision.tally, decision.margin) == ("yes", {"yes": 4, "no": 1}, 3)
    assert (decision.votes, decision.flags, decision.error_probability, decision.journal) == (5, 1, None, None)
    assert [sample.choice for sample in decision.samples] == ["yes", "no", None, "yes", "yes", "yes"]
    assert decision.samples[2].reason == "the answer is 'maybe', none of: yes, no"
    assert str(decision).splitlines()[:2] == [
        "answer       yes",
        "votes        4 for yes, 1 for no; 1 sample red-flagged",
    ]
    assert repr(decision) == "<Decision 'yes', 4 for yes, 1 for no; 1 sample red-flagged>"
    assert decision.to_dict()["tally"] == {"yes": 4, "no": 1}
    assert "4 for yes" in decision._repr_html_()


def test_a_decision_has_no_truth_value():
    """`if` would take a decision on False as true."""
    with pytest.raises(TypeError, match="take its `value`"):
        bool(asked(["no", "no", "no"], bool))


def test_the_value_has_the_type_that_was_asked_for():
    """A date, a member of an enum, an object of a class; a text where nothing is said."""
    assert asked(["2026-02-03"] * 3, date).value == date(2026, 2, 3)
    assert asked(["sad"] * 3, Mood).value is Mood.SAD
    assert asked(['{"name": "Ada"}', '{"born": null, "name": "Ada"}', '{"name":"Ada"}'], Person).value == Person("Ada")
    assert asked([" Paris\n", "Paris", "Paris"]).value == "Paris"
    assert asked(["null"] * 3, int | None).value is None
    assert asked(["ff", "FF", "0xff"], lambda text: int(text, 16)).value == 255


def test_the_prompt_ends_with_the_form_unless_that_is_turned_off():
    """Each wording ends with the sentence that says how to answer."""
    prompts = []

    def model(prompt):
        prompts.append(prompt)
        return "5"

    unerring.ask("How many?", int, model=model, k=2, paraphrases=["What number?"])
    end = "\n\nAnswer with a whole number and nothing else."
    assert {*prompts} == {f"How many?{end}", f"What number?{end}"}
    prompts.clear()
    unerring.ask("How many?", int, model=model, k=2, show_form=False)
    assert {*prompts} == {"How many?"}


def test_a_check_flags_answers_that_cannot_be_right():
    """False, a text and a RedFlag flag a sample as rejected; True and None accept it."""

    def check(number):
        if number == 4:
            raise RedFlag("four is raised")
        return {1: False, 2: "two is too few", 3: RedFlag("three is odd")}.get(number)

    decision = asked(["1", "2", "3", "4", "5", "5", "5"], int, check=check)
    assert decision.value == 5
    flagged = [(one.flag, one.reason) for one in decision.samples if one.flag]
    reasons = ["the check refuses 1", "two is too few", "three is odd", "four is raised"]
    assert flagged == [(FlagKind.REJECTED.value, reason) for reason in reasons]


def test_an_error_in_a_check_is_the_persons_own():
    """It stops the question with a note of the check, and so does a return that is no verdict."""
    with pytest.raises(ZeroDivisionError) as error:
        asked(["1"] * 3, int, check=lambda number: number / 0)
    assert error.value.__notes__ == ["in check()"]
    with pytest.raises(TypeError, match=r"^check\(\) returned 1; it returns True or None for an answer that may vote"):
        asked(["1"] * 3, int, check=lambda number: number)


def test_the_same_call_again_gives_what_is_decided(tmp_path):
    """With a journal the stored decision is returned without a call; without a model function's help, too."""
    journal = tmp_path / "q.db"
    for answer in (["yes", "no"], Person):
        text = "yes" if isinstance(answer, list) else '{"name": "yes"}'
        first = unerring.ask("Well?", answer, model=lambda prompt, text=text: text, journal=journal, k=2)
        model = ScriptedSampler([])
        with pytest.raises(InputError, match="its model is function"):
            unerring.ask("Well?", answer, model=model, journal=journal, k=2)
        again = unerring.ask("Well?", answer, model=lambda prompt, text=text: text, journal=journal, k=2)
        assert (again.value, again.tally, again.samples) == (first.value, first.tally, first.samples)
        assert again.journal == str(journal)
        for file in tmp_path.iterdir():
            file.unlink()


def test_a_changed_question_is_refused(tmp_path):
    """Another prompt, other choices or another type on the same journal stop with what differs."""

    def model(prompt):
        return "yes"

    first = tmp_path / "a.db"
    unerring.ask("Is it so?", ["yes", "no"], model=model, journal=first)
    with pytest.raises(unerring.ChainChanged, match="its parameter prompt was Is it so\\? and is Is it not\\?"):
        unerring.ask("Is it not?", ["yes", "no"], model=model, journal=first)
    with pytest.raises(unerring.ChainChanged, match="its parameter answer"):
        unerring.ask("Is it so?", ["yes", "no", "perhaps"], model=model, journal=first)
    second = tmp_path / "b.db"
    unerring.ask("Is it so?", ["yes", "no"], model=model, journal=second, check=bool)
    with pytest.raises(unerring.ChainChanged, match="its wording changed"):
        unerring.ask("Is it not?", ["yes", "no"], model=model, journal=second, check=bool)


def test_a_question_of_choices_can_be_resumed_from_its_journal_alone(tmp_path):
    """A journal makes the process of a question that JSON data can name; that of another one is its program's."""
    journal = tmp_path / "q.db"
    sampler = ScriptedSampler(["yes", "no", "yes", "yes", "yes", "yes"])
    with pytest.raises(Stopped):
        unerring.ask("Well?", bool, model=sampler, journal=journal, options=Options(vote_cap=3))
    assert unerring.resume(journal, model=sampler, options=Options(vote_cap=9)).answer is True


def test_votes_without_a_decision_are_an_error():
    """At the cap nothing is elected."""
    with pytest.raises(StepUndecided):
        asked([str(number % 3) for number in range(60)], int)


def test_k_and_the_policy_say_how_many_votes_decide():
    """Three by default, another k, or the rule of a policy that is given."""
    assert asked(["a"] * 9).votes == 3
    assert asked(["a"] * 9, k=5).votes == 5
    assert asked(["a", "b", "a"], options=Options(policy=Policy(FirstTo(2)))).votes == 3


def test_a_calibration_gives_the_probability_of_an_error():
    """By Bayes' rule: with 10 wrong of 100 votes and a margin of 3 the odds are ((1 - p) / p)^3, p smoothed."""
    calibration = Calibration("ask", {}, "scripted", "truth", 0.1, steps=100)
    calibration.voters.append(VoterCount("scripted", steps=100, votes=100, wrong=10))
    decision = asked(["a", "a", "b", "a", "a"], calibration=calibration)
    wrong = 10.5 / 101
    assert isclose(decision.error_probability, 1 / (1 + ((1 - wrong) / wrong) ** 3))
    assert "right with   probability 0.998" in str(decision)
    with pytest.raises(InputError, match="the calibration is of scripted, not of function"):
        unerring.ask("Well?", model=lambda prompt: "a", calibration=calibration)
    with pytest.raises(InputError, match="the calibration has no votes"):
        asked(["a"] * 3, calibration=Calibration("ask", {}, "scripted", "truth", 0.1))


def test_tokens_and_observers_are_those_of_a_run():
    """Tokens are added up, and the caller's observer sees the step."""
    seen = []

    class Watch:
        def decided(self, decided, state):
            seen.append(decided.step)

    samples = [Sample("a", Usage(10, 2), voter="scripted")] * 3
    decision = asked(samples, options=Options(observer=Watch()))
    assert (decision.tokens, seen) == (Usage(30, 6), [0])


@pytest.mark.parametrize(("answer", "truth"), [(["a", "b"], "b"), (int, 7), (bool, False), (Person, Person("Ada"))])
def test_a_known_truth_lets_the_noise_sampler_answer(answer, truth):
    """A question can be rehearsed without a model."""
    decision = unerring.ask("Well?", answer, model="noise/p=0.9", truth=truth, k=8, seed=3)
    assert decision.value == truth


def test_the_noise_sampler_answers_what_a_function_reads():
    """A function that reads answers names no wrong ones: then a wrong answer is empty, alone and in a process."""

    def read(text):
        if not text:
            raise RedFlag("it is empty")
        return int(text)

    async def process():
        return await unerring.ask("Well?", read, truth=7)

    noise = {"model": "noise/p=0.5", "k": 5, "seed": 3}
    alone = unerring.ask("Well?", read, truth=7, **noise)
    assert alone.value == unerring.run(process, **noise).answer == 7
    assert alone.flags > 0


def test_without_a_model_a_question_is_for_a_process():
    """Within a process it is an `Ask`, with guess and truth as choices; elsewhere a forgotten model is an error."""
    with running_process():
        question = unerring.ask("When?", date, guess=date(2026, 2, 3), truth=date(2026, 2, 4))
        for name, value in {"k": 3, "journal": "q.db", "seed": 5, "calibration": "c", "options": Options()}.items():
            with pytest.raises(TypeError, match=f"^within a function process {name} is that of its run: leave it out"):
                unerring.ask("When?", date, **{name: value})
    assert isinstance(question, Ask)
    assert (question.guess, question.truth, question.right) == ("2026-02-03", "2026-02-04", "2026-02-04")
    assert question.wrong == ("2026-02-05",)
    assert question.value(question.subtask.parse("2026-02-03")) == date(2026, 2, 3)
    with pytest.raises(TypeError, match=r"^ask\(\) takes model=\.\.\., such as"):
        unerring.ask("When?", date)


def test_options_are_made_as_such():
    """Settings in a dict are refused by the name of the argument, before a call."""
    with pytest.raises(InputError, match=r"^options must be made as unerring.Options\(...\); got {}"):
        unerring.ask("Well?", int, model=ScriptedSampler([]), options={})


def test_aask_decides_on_the_running_loop():
    """Several questions can be asked at the same time."""

    async def both():
        first = unerring.aask("One?", int, model=ScriptedSampler(["1"] * 3))
        second = unerring.aask("Two?", int, model=ScriptedSampler(["2"] * 3))
        return await asyncio.gather(first, second)

    assert [decision.value for decision in asyncio.run(both())] == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("",), "the prompt is a text with the whole question, not ''"),
        (("Is it \ud800?",), r"the prompt is no text: it has half a character (a lone surrogate) at 'Is it \ud800'"),
        (("Well?", complex), "an answer cannot be <class 'complex'>"),
        (("Well?", int, {"check": 5}), "check is a function of the answer's value, not 5"),
        (("Well?", int, {"schema": {}}), "schema is True or False, not {}"),
        (("Well?", int, {"paraphrases": "What?"}), "paraphrases and stop are lists of texts"),
        (("Well?", int, {"paraphrases": ["What?", 5]}), "paraphrases are texts with the whole question, not 5"),
        (("Well?", int, {"truth": "five"}), "'five' is not of the form of the answer: whole number"),
    ],
)
def test_what_no_question_can_have_is_refused_before_a_call(arguments, said):
    """The error is a `TypeError`, and no call is made."""
    *positional, named = arguments if isinstance(arguments[-1], dict) else (*arguments, {})
    model = ScriptedSampler([])
    with pytest.raises(TypeError) as error:
        unerring.ask(*positional, model=model, **named)
    assert str(error.value).startswith(said)
    assert model.calls == []


def test_a_schema_keeps_the_order_of_its_keys_in_the_journal(tmp_path):
    """A question with a schema is asked in the same words when its journal resumes it."""
    schema = {"type": "object", "required": ["b"], "properties": {"b": {"type": "integer"}, "a": {"type": "integer"}}}
    journal = tmp_path / "q.db"
    sampler = ScriptedSampler(['{"b": 1}', '{"b": 2}', '{"b": 1}', '{"b": 1}', '{"b": 1}', '{"b": 1}'])
    with pytest.raises(StepUndecided):
        unerring.ask("Well?", schema, model=sampler, journal=journal, options=Options(vote_cap=3))
    assert unerring.resume(journal, model=sampler, options=Options(vote_cap=9)).answer == {"b": 1}


def test_a_function_process_gets_values_of_the_types_it_asks_for(tmp_path):
    """Awaited questions give a date, a member of an enum and an object; the run resumes, and a truth rehearses it."""

    async def interview():
        day = await unerring.ask("When?", date, truth=date(2026, 2, 3), check=lambda day: day.year == 2026)
        mood = await unerring.ask(f"How on {day:%A}?", Mood, truth=Mood.SAD, guess=Mood.GLAD)
        person = await unerring.ask(f"Who is {mood.name}?", Person, truth=Person("Ada", day))
        return [day.year, mood.name, person.name]

    def model(prompt):
        if prompt.startswith("When"):
            return "2026-02-03"
        return "sad" if prompt.startswith("How on Tuesday") else '{"name": "Ada", "born": "2026-02-03"}'

    journal = tmp_path / "run.db"
    for _ in range(2):
        assert unerring.run(interview, model, journal, k=3).answer == [2026, "SAD", "Ada"]
    assert unerring.run(interview, "noise/p=0.9,v=0.9", k=8).answer == [2026, "SAD", "Ada"]


@pytest.mark.parametrize(
    ("answer", "wrong", "fits"),
    [
        (["yes", "no"], ["maybe", "Yes", 1, {"a": 1}], "no"),
        (int, ["2", 2.5, True], 3),
        (str, [5, ["yes"]], "perhaps"),
        (date, ["yesterday", "2026-02-30"], "2026-02-28"),
        (Person, ["Ada", {"name": 5, "born": None}, {"name": "Ada"}], {"name": "Ada", "born": None}),
        (list[int], [["1"], {}], [1, 2]),
        ({"type": "object", "required": ["b"]}, [{}, []], {"b": 1}),
    ],
)
def test_a_value_is_made_of_a_choice_of_its_form_only(answer, wrong, fits):
    """Others, which a person or a changed journal may have, are errors: they would become values of another type."""
    ask = make_ask("Well?", answer)
    for one in wrong:
        with pytest.raises(TypeError, match="is not of the form"):
            ask.value(one)
    ask.value(fits)


async def _well():
    return await unerring.ask("Well?", ["yes", "no"])


async def _well_side_by_side():
    return await unerring.gather(unerring.ask("Well?", ["yes", "no"]), unerring.ask("Why?", str))


@pytest.mark.parametrize("process", [None, _well, _well_side_by_side])
def test_a_person_decides_for_an_answer_of_the_form_only(tmp_path, process):
    """Another choice is refused when it is made; None stands for a question of its own."""
    path, options = tmp_path / "q.db", Options(vote_cap=2, speculate="off")
    model = ScriptedSampler(["yes", "no", "Why", "Why"])
    given = {"model": model, "journal": path, "k": 2, "options": options}
    with pytest.raises(StepUndecided):
        unerring.ask("Well?", ["yes", "no"], **given) if process is None else unerring.run(process, **given)
    kept = unerring.open(path)
    for wrong in ("maybe", "No", 1):
        with pytest.raises(InputError, match=r"cannot be taken.* is not of the form: Answer with exactly one of: yes"):
            kept.decide(answer=wrong, chain=process)
    assert kept.decide(answer="no", chain=process).note is None


def test_a_decision_says_that_a_person_made_it(tmp_path):
    """The votes are shown with it, but no lead of theirs and no probability of an error: they did not decide."""
    calibration = Calibration("ask", {}, "scripted", "truth", 0.1, steps=100)
    calibration.voters.append(VoterCount("scripted", steps=100, votes=100, wrong=10))
    model = ScriptedSampler(["yes", "yes", "no", "yes", "yes"])
    given = {"model": model, "journal": tmp_path / "q.db", "k": 5, "options": Options(vote_cap=5)}
    with pytest.raises(StepUndecided):
        unerring.ask("Well?", ["yes", "no"], **given)
    unerring.open(tmp_path / "q.db").decide(answer="no")
    decision = unerring.ask("Well?", ["yes", "no"], **given, calibration=calibration)
    assert (decision.value, decision.margin, decision.ruled, decision.error_probability) == ("no", 0, True, None)
    assert decision.to_dict()["ruled"] is True
    said = "decided by a person, 4 for yes, 1 for no; 0 samples red-flagged"
    assert said in str(decision)
    assert repr(decision) == f"<Decision 'no', {said}>"
