"""The command `ask`: one question through an endpoint, its exit codes, its output, and what is refused."""

import io
import json
import sys

import pytest

from faults.answers import Answer
from faults.server import serving

SAID = {
    "Is 7 a prime?": "Yes.",
    "How many?": "12",
    "Who?": '{"name": "Ada"}',
    "Unsure?": "well",
    "Thought?": "<think>hm</think>no",
}


def answered(prompt, temperature, seed, index, limit):
    """A model of the fault server that knows some questions."""
    return Answer(SAID[prompt.partition("\n")[0]], input_tokens=20, output_tokens=2)


@pytest.fixture
def endpoint():
    with serving(bodies=True, models={"test": answered}) as server:
        yield server


@pytest.fixture
def asking(cli, endpoint):
    """Run `ask` with the endpoint as the model."""
    model = ("--model", f"openai/test@{endpoint.url}", "--no-probe", "--copies", "1")
    return lambda *arguments: cli("ask", *arguments, *model)


def test_the_answer_alone_is_on_stdout(asking):
    """Votes, cost and journal are on stderr, with the command that shows more."""
    done = asking("Is 7 a prime?", "--choices", "yes, no", "--journal", "q.db")
    assert (done.code, done.out) == (0, "yes\n")
    assert "votes        3 for yes; 0 samples red-flagged" in done.err
    assert "journal      q.db; see it with: unerring report q.db" in done.err


def test_the_same_command_again_prints_what_is_decided(asking, endpoint):
    """Nothing is asked a second time."""
    arguments = ("Is 7 a prime?", "--choices", "yes,no", "--journal", "q.db", "--k", "2")
    assert asking(*arguments).out == "yes\n"
    calls = len(endpoint.ledger.chats)
    again = asking(*arguments)
    assert (again.code, again.out, len(endpoint.ledger.chats)) == (0, "yes\n", calls)
    other = asking("How many?", "--choices", "yes,no", "--journal", "q.db", "--k", "2")
    assert other.code == 2
    assert "its parameter prompt was Is 7 a prime? and is How many?" in other.err


def test_the_answer_as_json(asking):
    """With --json one object: value, tally, votes, tokens, samples, journal and exit code."""
    found = json.loads(asking("How many?", "--type", "int", "--json", "--k", "2", "--journal", "q.db").out)
    assert (found["value"], found["tally"], found["votes"], found["flags"]) == (12, {"12": 2}, 2, 0)
    assert (found["journal"], found["exit_code"], found["error_probability"]) == ("q.db", 0, None)
    assert [sample["text"] for sample in found["samples"]] == ["12", "12"]


def test_the_prompt_may_be_in_a_file_or_on_stdin(asking, tmp_path, monkeypatch):
    """@FILE reads a file, and - reads stdin."""
    (tmp_path / "q.txt").write_text("How many?")
    assert asking("@q.txt", "--type", "int").out == "12\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO("How many?"))
    assert asking("-", "--type", "float").out == "12\n"
    assert "the prompt: " in asking("@missing.txt").err


def test_a_schema_is_read_from_a_file_and_sent(asking, endpoint, tmp_path):
    """The answer is one object that the schema describes."""
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    (tmp_path / "person.json").write_text(json.dumps(schema))
    assert json.loads(asking("Who?", "--schema", "person.json").out) == {"name": "Ada"}
    sent = endpoint.ledger.chats[-1].body["response_format"]["json_schema"]["schema"]
    assert sent == {**schema, "additionalProperties": False}


def test_a_lenient_reading_takes_thoughts(asking):
    """--parse lenient-json reads an answer after its thoughts; by default it is red-flagged."""
    assert asking("Thought?", "--type", "bool", "--parse", "lenient-json").out == "false\n"
    assert asking("Thought?", "--type", "bool", "--flag-cap", "1", "--flagged", "1").code == 3


def test_an_undecided_question_stops_and_can_be_reviewed(asking, cli):
    """Exit code 3, nothing on stdout, and the commands that the message names work."""
    stopped = asking("Unsure?", "--choices", "yes,no", "--flag-cap", "2", "--flagged", "1", "--journal", "q.db")
    assert (stopped.code, stopped.out) == (3, "")
    assert "unerring review q.db" in stopped.err
    assert cli("review", "q.db", "--answer", '"no"').code == 0
    assert cli("resume", "q.db", "--no-probe").out.startswith('answer       "no"')
    ruled = asking("Unsure?", "--choices", "yes,no", "--flag-cap", "2", "--flagged", "1", "--journal", "q.db")
    assert (ruled.code, ruled.out) == (0, "no\n")
    assert "decided by a person, without votes" in ruled.err


def test_advice_names_what_a_question_has(asking, cli):
    """A changed question goes to another journal; the form of answers is no parser of the user's."""
    asked = ("--type", "int", "--flag-cap", "2", "--flagged", "1", "--journal", "q.db")
    stopped = asking("Unsure?", *asked)
    assert stopped.code == 3
    shown = cli("review", "q.db")
    changed = asking("How many?", *asked)
    assert changed.code == 2
    assert changed.line.endswith("; ask the changed question with another --journal")
    for said in (stopped.err, shown.out, changed.err):
        assert "your parser" not in said
        assert "--accept-changes" not in said
    silent = asking("Unsure?", "--type", "int", "--journal", "silent.db")
    assert "all 16 samples" in silent.line
    assert "parser" not in silent.line


def test_the_noise_sampler_is_refused_with_the_way_to_use_it(cli):
    """No command gives the right answer of a question; the message and the help say what does."""
    assert "or in Python of unerring.ask(..., truth=...)" in cli("ask", "Well?", "--model", "noise/p=0.9").line
    assert "only truth= of unerring.ask in Python gives" in " ".join(cli("ask", "--help").out.split())


def test_a_budget_stops_a_question(asking):
    """Exit code 3 with the command that allows more."""
    stopped = asking("How many?", "--type", "int", "--budget-calls", "1", "--journal", "q.db", "--json")
    found = json.loads(stopped.out)
    assert (stopped.code, found["exit_code"], found["journal"]) == (3, 3, "q.db")


def test_the_prompt_is_shown_as_it_is_sent(cli):
    """--show-prompt asks nothing, so it needs no model; with --json it has messages and schema as well."""
    shown = cli("ask", "Is it so?", "--choices", "yes,no", "--show-prompt")
    assert (shown.code, shown.out) == (0, "Is it so?\n\nAnswer with exactly one of: yes, no.\n")
    with_system = cli("ask", "Is it so?", "--type", "bool", "--system", "Be brief.", "--show-prompt")
    assert with_system.out.startswith("system: Be brief.\n\nIs it so?\n")
    found = json.loads(
        cli("ask", "How many?", "--type", "int", "--system", "Be brief.", "--show-prompt", "--json").out
    )
    assert found == {
        "messages": [{"role": "system", "content": "Be brief."}],
        "prompt": "How many?\n\nAnswer with a whole number and nothing else.",
        "schema": None,
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("Well?",), "a question needs a --model, such as openai/gpt-4.1-mini"),
        (("Well?", "--choices", "a,b", "--type", "int"), "give one of --choices, --type and --schema"),
        (("Well?", "--choices", "a"), "an answer has two choices or more; got ['a']"),
        (("Well?", "--choices", "a,b,a"), "the choice 'a' is given twice"),
        (("Well?", "--type", "complex"), "'complex' is not one of 'text', 'int', 'float', 'decimal', 'bool'"),
        (("",), "the prompt is a text with the whole question, not ''"),
        (("Well?", "--schema", "list.json"), "list.json is no JSON schema, which is an object"),
        (("Well?", "--schema", "typo.json"), "the keyword 'minimun' of a JSON schema is not checked here"),
        (("Well?", "--schema", "none.json"), "none.json"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(cli, tmp_path, arguments, said):
    """Nothing is asked, and no journal is made."""
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "typo.json").write_text('{"type": "integer", "minimun": 1}')
    done = cli("ask", *arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert not [*tmp_path.glob("*.db")]
