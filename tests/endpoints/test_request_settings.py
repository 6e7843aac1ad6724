"""Request settings over HTTP: the user's settings are in the body of every request, and in the journal."""

import json

import pytest

import unerring
from doubling import Doubling, double
from faults.answers import Answer
from faults.server import serving
from unerring import InputError, Options, Request, Subtask
from unerring.adapters.openai import OpenAISampler
from unerring.api.calibration.calibrating import PilotOptions, calibrate
from unerring.api.journals.history import History
from unerring.api.planning import Target
from unerring.cli.main import command_line
from unerring.core.voting.sample import Message, Settings
from unerring.errors import NoKCanHelp, StepLimit
from unerring.processes.hanoi import Hanoi

EXTRA = {"top_p": 0.9, "chat_template_kwargs": {"enable_thinking": False}}
TURNS = ({"role": "user", "content": "Double 3."}, {"role": "assistant", "content": "6"})


class Taught(Doubling):
    """A chain whose questions have a system message, an example and a stop string."""

    def subtask(self, state):
        asked = super().subtask(state)
        if asked is None:
            return None
        messages = ({"role": "system", "content": "Answer with a number."}, *TURNS)
        return Subtask(asked.prompt, asked.parse, messages=messages, stop=("\n", "."))


def doubled(prompt, temperature, seed, index, limit):
    """A model of the fault server that doubles."""

    return Answer(str(2 * int(prompt.strip(".").split()[1])), input_tokens=20, output_tokens=2)


def bodies(server):
    return [entry.body for entry in server.ledger.chats]


def test_the_command_line_sends_its_settings_and_resume_keeps_them(tmp_path, monkeypatch, capsys):
    """--system, --request, temperatures and the limit are in every request, also the probe's; resume needs none."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "system.txt").write_text("Be brief, \u00fc.")
    with serving(bodies=True) as server:
        model = f"openai/noise@{server.url}"
        code = command_line(
            [
                *("run", "hanoi", "--set", "disks=3", "--k", "2", "--model", model, "--journal", "run.db"),
                *("--max-steps", "3", "--temperature", "0.5", "--first-temperature", "0.25"),
                *("--max-output-tokens", "321", "--system", "@system.txt", "--request", json.dumps(EXTRA)),
                *("--vote-cap", "33", "--flag-cap", "9"),
            ]
        )
        assert code == 3
        first = len(bodies(server))
        assert command_line(["resume", "run.db"]) == 0
        sent = bodies(server)
    assert len(sent) > first
    for body in sent:
        assert body["messages"][0] == {"role": "system", "content": "Be brief, \u00fc."}
        assert {name: body[name] for name in EXTRA} == EXTRA
    steps = [body for body in sent if "disk" in body["messages"][-1]["content"]]
    assert {body["temperature"] for body in steps} == {0.5, 0.25}
    assert {body["max_tokens"] for body in steps} == {321}
    history = History("run.db")
    assert len(list(history.steps())) == 7
    opened = history.opened
    assert opened.request == {"system": "Be brief, \u00fc.", "extra": EXTRA}
    assert (opened.policy["vote_cap"], opened.policy["flag_cap"]) == (33, 9)
    capsys.readouterr()
    assert command_line(["report", "run.db"]) == 0
    output = capsys.readouterr().out
    assert 'system "Be brief, \u00fc."' in output
    assert 'chat_template_kwargs {"enable_thinking": false}' in output


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--request", "{"], "--request is a JSON object"),
        (["--request", "[1]"], "--request is a JSON object"),
        (["--request", '{"n": 2}'], "'n'"),
        (["--request", '{"a": 1, "a": 2}'], "twice"),
        (["--request", "@missing.json"], "missing.json"),
        (["--system", "@missing.txt"], "missing.txt"),
        (["--temperature", "-1"], "'--temperature': -1.0 is not in the range"),
        (["--temperature", "nan"], "'--temperature': nan is not a finite number"),
        (["--max-output-tokens", "0"], "'--max-output-tokens': 0 is not in the range"),
        (["--vote-cap", "1"], "less than the rule"),
        (["--system", "Be brief."], "noise/p=0.9"),
        (["--request", '{"top_p": 1}'], "noise/p=0.9"),
    ],
)
def test_settings_that_cannot_be_honoured_are_refused_in_one_line(tmp_path, monkeypatch, capsys, words, named):
    """A mistyped setting, or one that the model would ignore, ends with exit code 2 before a journal is made."""
    monkeypatch.chdir(tmp_path)
    assert command_line(["run", "hanoi", "--set", "disks=2", "--k", "2", "--model", "noise/p=0.9", *words]) == 2
    error = capsys.readouterr().err
    assert named in error
    assert error.count("\n") == 1
    assert list(tmp_path.glob("*.db*")) == []


def test_messages_and_stop_strings_of_a_question_are_sent():
    """A chain's system message, examples and stop strings are in each request, after the run's own system text."""
    with serving(bodies=True, models={"m": doubled}) as server:
        options = Options(request=Request(system="Be brief."), guards=unerring.Guards(probe=False))
        result = unerring.run(Taught(2), f"openai/m@{server.url}", k=2, options=options)
        sent = bodies(server)
    assert result.state["value"] == 4
    assert sent
    for body in sent:
        assert body["stop"] == ["\n", "."]
        assert body["messages"][:-1] == [
            {"role": "system", "content": "Be brief.\n\nAnswer with a number."},
            *TURNS,
        ]


def test_a_function_gets_all_settings():
    """A user's model gets messages, stop strings and extra fields in its settings."""
    seen = []

    def model(prompt, settings):
        seen.append((settings.conversation(prompt)[:-1], settings.stop, settings.extra))
        return str(2 * int(prompt.strip(".").split()[1]))

    unerring.run(Taught(1), model, k=1, options=Options(request=Request(extra={"top_p": 0.5})))
    assert seen == [([{"role": "system", "content": "Answer with a number."}, *TURNS], ("\n", "."), '{"top_p":0.5}')]


def test_a_function_of_the_prompt_alone_is_not_asked_half_a_question(tmp_path):
    """If the question or the run has messages or fields, a model that would ignore them is refused in one line."""
    with pytest.raises(InputError, match="takes the prompt alone"):
        unerring.run(Taught(1), lambda prompt: "2", k=1)
    with pytest.raises(InputError, match="takes no system message"):
        unerring.run(Doubling(1), lambda prompt: "2", k=1, options=Options(request=Request(system="Be brief.")))
    assert unerring.run(Doubling(1), lambda prompt: "2", k=1).state["value"] == 2


def test_the_worst_case_counts_all_that_is_sent():
    """System message, examples and extra fields are billed like the prompt, so budgets count them."""
    sampler = OpenAISampler("openai/m@http://127.0.0.1:9/v1", {})
    plain = Settings(0.1, 64, 0, 0, 0)
    worst = sampler.worst("q", plain, 1).input_tokens
    longer = Settings(0.1, 64, 0, 0, 0, messages=(Message("system", "\u00e9" * 500),), extra='{"tools":[]}')
    assert sampler.worst("q", longer, 1).input_tokens >= worst + 1000 + len('{"tools":[]}')


def test_a_resumed_run_keeps_its_request(tmp_path):
    """Other request settings given on resuming are refused in one line, and the same ones accepted."""
    path = tmp_path / "run.db"
    request = Request(temperature=0.3, system="Be brief.")
    with pytest.raises(StepLimit):
        unerring.run(Doubling(), double, path, k=1, options=Options(max_steps=1, request=request))
    for other in (Request(temperature=0.4), Request(system="Be long."), Request(extra={"top_p": 1})):
        with pytest.raises(InputError, match="keeps the request settings"):
            unerring.resume(path, model=double, options=Options(request=other))
    assert unerring.resume(path, model=double, options=Options(request=request)).steps == 4


def test_a_calibration_is_of_its_request(tmp_path):
    """A pilot asks with its request settings and keeps them; a run with others is not planned from it."""
    with serving(bodies=True) as server:
        model = f"openai/noise@{server.url}"
        request = Request(temperature=1.0, max_output_tokens=300, system="Be brief.", extra=EXTRA)
        chain, out = Hanoi(disks=4), tmp_path / "cal.json"
        found = calibrate(chain, model, 60, out, options=PilotOptions(request=request))
        assert all(body["messages"][0]["content"] == "Be brief." for body in bodies(server))
        assert all(body["chat_template_kwargs"] == EXTRA["chat_template_kwargs"] for body in bodies(server))
        assert (found.temperature, found.flag_rules.max_output_tokens) == (1.0, 300)
        target = Target(0.5, calibration=out)
        for other, named in (
            (Request(extra=EXTRA), "system message"),
            (Request(temperature=0.2, system="Be brief.", extra=EXTRA), "temperature 1"),
        ):
            with pytest.raises(InputError, match=named):
                unerring.run(chain, model, options=Options(target=target, request=other))
        with pytest.raises(InputError, match="another calibration"):
            calibrate(chain, model, 70, out, options=PilotOptions(request=Request(temperature=1.0)))
        with pytest.raises(NoKCanHelp):  # so it is planned, from too few samples
            unerring.run(chain, model, options=Options(target=target, request=request))


def test_a_request_is_a_request():
    """A dict in its place is refused in one line that shows how one is made."""
    with pytest.raises(InputError, match=r"unerring.Request"):
        unerring.run(Doubling(), double, k=1, options=Options(request={"temperature": 1}))


def test_no_flagged_sample_is_asked_again_in_the_same_request():
    """A flagged request at temperature 0 without seeds is repeated at a higher temperature, in pilots too."""

    def cold(prompt, temperature, seed, index, limit):
        return doubled(prompt, temperature, seed, index, limit) if temperature else Answer("eh", 20, 1)

    class Known(Doubling):
        def truth(self, state):
            return 2 * state["value"]

    with serving(bodies=True, models={"m": cold}) as server:
        model = f"openai/m@{server.url},seed=off,n=1"
        request = Request(temperature=0.0)
        options = Options(request=request, guards=unerring.Guards(copies=1.0, probe=False), speculate="off")
        assert unerring.run(Doubling(3), model, k=1, options=options).state["value"] == 8
        asked = [json.dumps(body) for body in bodies(server)]
        assert len(asked) == len(set(asked)) == 6
        found = calibrate(Known(3), model, 6, options=PilotOptions(request=request, guards=options.guards))
        assert found.voters[0].votes == 3
        assert len(bodies(server)) == 12
