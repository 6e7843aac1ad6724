"""`unerring solve`: one problem, files of problems, and what may be wrong with either."""

import json

import pytest

from faults.answers import overbilled, written
from faults.limits import Latency
from faults.server import serving
from unerring.api.journals.history import report
from unerring.api.journals.verify import verify
from unerring.cli.main import command_line

NOISE = ("--model", "noise/p=0.95,v=0.95,c=0", "--k", "6")
PRODUCTS = ("--roles", "multiply", *NOISE)
SOLVED = ("solve", "--input", "in.jsonl", "--out", "out.jsonl")
QUESTION = "How many minutes are there in a week and 5 minutes?"

ANSWERS = {
    "You plan": {"parts": ["minutes in a week", "7 * 5 - 30"], "how": "add both"},
    "Solve the problem": {"minutes in a week": {"answer": "10,080"}, "7 * 5 - 30": {"answer": 5}},
    "A problem was split": {"answer": 10085},
}


def chat(prompt, temperature, seed, index, max_tokens):
    """A model with three roles that has stored answers."""
    role = next((name for name in ANSWERS if prompt.startswith(name)), None)
    if role is None:  # a trial call
        return written(prompt, f"{seed} {index}", max_tokens)
    found = ANSWERS[role]
    problem = prompt.partition("The problem:\n")[2].partition("\n")[0]
    if role == "You plan" and problem != QUESTION:
        found = {"parts": []}
    elif role.startswith("Solve"):
        found = found[problem]
    return written(prompt, f"Let me think.\n\n{json.dumps(found)}", max_tokens)


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_product_is_solved_and_its_tree_shown(here, capsys):
    """The answer is printed with the tree of problems, their answers and votes.

    A long tree is cut and the rest counted.
    """
    assert command_line(["solve", "46048 × 42098", *PRODUCTS, "--journal", "run.db", "--tree", "5"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "problem = answer   (votes on each of its steps)"
    assert out[1].startswith("46048 * 42098 = 1938528704   (6")
    assert out[2].startswith("├─ 460 * 42098 = 19365080   (")
    assert out[6] == "... and 44 more problems (--tree 49 shows all)"
    assert out[8] == "answer       1938528704"
    assert len(out) == 8 + 6
    assert verify(here / "run.db").problem is None


def test_a_problem_in_words_is_solved_through_an_endpoint(here, capsys, monkeypatch):
    """With general prompts over HTTP a problem is split, solved and composed, within a budget of calls."""
    monkeypatch.setenv("UNERRING_API_KEY", "sk-none")
    with serving(models={"m": chat}) as server:
        model = f"openai/m@{server.url}"
        assert command_line(["solve", QUESTION, "--model", model, "--json", "--budget-calls", "60"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["answer"], data["status"]) == (10085, "finished")
    assert data["steps"] == 6  # three splits, two answers, one composition


def test_how_strictly_replies_are_read_is_chosen_on_the_command_line(here, capsys, monkeypatch):
    """With `--parse lenient-json`, `solve` and `run solve` read fenced replies of several lines."""
    monkeypatch.setenv("UNERRING_API_KEY", "sk-none")

    def fenced(prompt, temperature, seed, index, max_tokens):
        text = chat(prompt, temperature, seed, index, max_tokens).text
        if "Let me think." not in text:
            return written(prompt, text, max_tokens)
        data = json.dumps(json.loads(text.splitlines()[-1]), indent=1)
        return written(prompt, f"```json\n{data}\n```", max_tokens)

    with serving(models={"m": fenced}) as server:
        for words in (["solve", QUESTION], ["run", "solve", "--set", f"problem={QUESTION}"]):
            more = ["--parse", "lenient-json", "--model", f"openai/m@{server.url}", "--k", "3", "--no-probe", "--json"]
            assert command_line([*words, *more]) == 0
            data = json.loads(capsys.readouterr().out)
            assert (data["answer"], data["samples"]["flagged"]) == (10085, 0)
    assert command_line(["run", "hanoi", "--parse", "lenient-json"]) == 2
    assert (
        "hanoi cannot be made with these parameters: got an unexpected keyword argument 'parse'"
        in capsys.readouterr().err
    )


def test_independent_parts_are_asked_at_the_same_time(here, capsys, monkeypatch):
    """The questions for eight independent parts are all in flight at once over HTTP, without guesses."""
    monkeypatch.setenv("UNERRING_API_KEY", "sk-none")
    parts = [f"the square of {number}" for number in range(8)]

    def squares(prompt, *drawn):
        whole = "The problem:\nadd the squares" in prompt
        if prompt.startswith("You plan"):
            found = {"parts": parts if whole else [], "how": "add them"}
        elif prompt.startswith("Solve"):
            found = {"answer": int(prompt.split()[-1]) ** 2}
        else:
            found = {"answer": 140}
        return written(prompt, json.dumps(found), None)

    with serving(models={"m": squares}, latency=Latency(0.3)) as server:
        assert (
            command_line(["solve", "add the squares", "--model", f"openai/m@{server.url}", "--no-probe", "--json"])
            == 0
        )
        times = [(entry.arrived, entry.ended) for entry in server.ledger.chats]
    assert json.loads(capsys.readouterr().out)["answer"] == 140
    assert max(sum(began <= at < ended for began, ended in times) for at, _ in times) >= 8


def test_each_role_has_its_schema(here, capsys, monkeypatch):
    """Every role's question has its schema, and an object over several lines, with thoughts first, is an answer."""
    monkeypatch.setenv("UNERRING_API_KEY", "sk-none")

    def held(prompt, *drawn):
        data = chat(prompt, *drawn).text.partition("Let me think.\n\n")[2]
        split = {"how": "no need"} if data == '{"parts": []}' else {}
        return written(prompt, json.dumps({"thoughts": "{", **json.loads(data or "{}"), **split}, indent=2), None)

    with serving(models={"m": held}) as server:
        assert command_line(["solve", QUESTION, "--model", f"openai/m@{server.url}", "--json"]) == 0
        assert {entry.schema_fields for entry in server.ledger.chats} >= {
            ("thoughts", "parts", "how"),
            ("thoughts", "answer"),
        }
    assert json.loads(capsys.readouterr().out)["answer"] == 10085


def test_a_file_of_problems_is_solved_and_continued(here, capsys):
    """Each problem has a journal, named by its id or line; the same command again solves nothing twice."""
    problems = [
        {"id": "a/1", "question": "Multiply the following numbers:\n460 x 420", "answer": 193200},
        {"question": "12 × 13", "answer": "156"},
        {"question": "12 * 14"},
        {"question": "never reached"},
    ]
    (here / "in.jsonl").write_text("\n\n".join(map(json.dumps, problems)), encoding="utf-8")
    words = ["solve", "--input", "in.jsonl", "--out", "out.jsonl", "--limit", "3", *PRODUCTS]
    assert command_line(words) == 0
    first = records(here / "out.jsonl")
    assert [(one["id"], one["answer"], one.get("right")) for one in first] == [
        ("a/1", 193200, True), (3, 156, True), (5, 168, None),
    ]  # fmt: skip
    assert "3 of 3 done; 2 of 2 answers as expected" in capsys.readouterr().err
    assert command_line(words) == 0
    assert records(here / "out.jsonl") == first
    assert all(report(here / one["journal"])["sessions"] == 1 for one in first)


def test_an_unexpected_answer_exits_with_1(here, capsys):
    """An answer that differs from the one that the file expects gives exit code 1."""
    (here / "in.jsonl").write_text('{"question": "12 * 13", "answer": 157}\n')
    assert command_line(["solve", "--input", "in.jsonl", "--out", "out.jsonl", *PRODUCTS]) == 1
    assert "0 of 1 answers as expected" in capsys.readouterr().err
    assert records(here / "out.jsonl")[0]["right"] is False


def test_an_undecided_problem_does_not_hold_up_the_others(here, capsys, monkeypatch):
    """An undecided problem is left open with its reason; the exit code says that the command can continue."""
    monkeypatch.setenv("UNERRING_API_KEY", "sk-none")
    (here / "in.jsonl").write_text("\n".join(json.dumps({"question": one}) for one in ("unheard of", QUESTION)))

    def half(prompt, *drawn):
        return written(prompt, "I do not know.", None) if "unheard of" in prompt else chat(prompt, *drawn)

    with serving(models={"m": half}) as server:
        words = ["solve", "--input", "in.jsonl", "--out", "out.jsonl", "--model", f"openai/m@{server.url}"]
        assert command_line(words) == 3
    open_, solved = records(here / "out.jsonl")
    assert "flagged" in open_["undecided"]
    assert (open_["answer"], solved["answer"]) == (None, 10085)
    assert "1 problem is undecided" in capsys.readouterr().err


def test_three_problems_with_only_flags_stop_the_others(here, capsys, monkeypatch):
    """Three problems in a row without a single vote stop the command, which shows a reply: the model is at fault."""
    monkeypatch.setenv("UNERRING_API_KEY", "sk-none")
    (here / "in.jsonl").write_text("\n".join(json.dumps({"question": f"unheard of {n}"}) for n in range(9)))
    asked = []

    def unheard(prompt, *drawn):
        asked.append(prompt)
        return written(prompt, "I do not know.", None)

    with serving(models={"m": unheard}) as server:
        words = ["solve", "--input", "in.jsonl", "--out", "out.jsonl", "--model", f"openai/m@{server.url}"]
        assert command_line(words) == 3
    assert "I do not know" in capsys.readouterr().err
    assert len(records(here / "out.jsonl")) == 2
    assert len(asked) < 120


@pytest.mark.parametrize(
    ("words", "data"),
    [
        ([], "give either one PROBLEM"),
        (["2 * 3", "--input", "in.jsonl"], "give either one PROBLEM"),
        (["--input", "in.jsonl"], "--input needs --out"),
        (["--input", "none.jsonl", "--out", "out.jsonl"], "none.jsonl"),
        (["--input", "in.jsonl", "--out", "out.jsonl"], "in.jsonl, line 2: this is no JSON"),
        (["--input", "other.jsonl", "--out", "out.jsonl"], 'other.jsonl, line 1: a problem is written {"id": ...'),
        (["--input", "bytes.jsonl", "--out", "out.jsonl"], "bytes.jsonl, line 1: it is not text in UTF-8"),
        (["two times three"], "a product is written 46048 * 42098"),
        (["2 * 3", "--journal", "in.jsonl"], "in.jsonl"),
        (["2 * 3", "--depth", "-1"], "--depth"),
        ([" ", "--roles", "general"], "problem must be a text of 1 to 20,000 characters, not an empty one"),
        (["--input", "fine.jsonl", "--out", "/dev/zero"], "cannot write --out /dev/zero: it is not a file"),
        (["--input", "/dev/zero", "--out", "out.jsonl"], "cannot read /dev/zero: it is a device, not a file"),
        (["--input", "fine.jsonl", "--out", "none/out.jsonl"], "none/out.jsonl: No such file or directory"),
    ],
)
def test_bad_input_gets_one_line(here, capsys, words, data):
    """Bad input gives exit code 2, empty stdout and one line, and no file is written or lost."""
    (here / "in.jsonl").write_text('{"question": "2 * 3"}\nnot JSON\n')
    (here / "other.jsonl").write_text('{"problem": "2 * 3"}\n')
    (here / "bytes.jsonl").write_bytes(b"\xff\xfe")
    (here / "fine.jsonl").write_text('{"question": "2 * 3"}\n')
    before = {path: path.read_bytes() for path in here.iterdir()}
    assert command_line(["solve", *PRODUCTS, *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert data in captured.err
    assert {path: path.read_bytes() for path in here.iterdir()} == before


@pytest.mark.parametrize("words", [[QUESTION], ["2 * 3", "--roles", "general"], ["46 * 42 * 3"]])
def test_a_problem_in_words_needs_another_model(here, capsys, words):
    """The embedded model knows products and sorting.

    For others one line asks for --model before anything is written.
    """
    assert command_line(["solve", *words]) == 2
    data = capsys.readouterr().err
    assert "--model" in data
    assert "Sort 3, -1, 2" in data
    assert not list(here.iterdir())


def test_the_page_of_a_report_has_the_tree(here, capsys):
    """The page has every problem with its answer and votes, in elements that fold without a script."""
    assert command_line(["solve", "46 * 42", *PRODUCTS, "--journal", "run.db"]) == 0
    assert command_line(["report", "run.db", "--html", "run.html"]) == 0
    page = (here / "run.html").read_text(encoding="utf-8")
    tree = page.partition('<section class="tree">')[2].partition("</section>")[0]
    assert tree.count("<details") == tree.count("</details>") == 3
    assert tree.count("<p>") == 4
    for line in ("46 * 42 = 1932", "4 * 42 = 168", "6 * 42 = 252", "2 * 6 = 12"):
        assert f"<bdi>{line}   (" in tree
    assert "<script" not in page


def test_what_a_problem_says_is_inert_in_terminal_and_page(here, capsys, monkeypatch):
    """Escape sequences and markup in a problem and in a model's answers are shown as text."""
    monkeypatch.setenv("UNERRING_API_KEY", "sk-none")
    evil = "\x1b[2J<script>alert(1)</script>"

    def answers(prompt, temperature, seed, index, max_tokens):
        found = {"parts": []} if prompt.startswith("You plan") else {"answer": evil}
        return written(prompt, json.dumps(found), max_tokens)

    with serving(models={"m": answers}) as server:
        model = f"openai/m@{server.url}"
        assert command_line(["solve", f"What is {evil}?", "--model", model, "--journal", "run.db", "--no-probe"]) == 0
    assert command_line(["report", "run.db", "--html", "run.html"]) == 0
    assert "\x1b" not in capsys.readouterr().out
    page = (here / "run.html").read_text(encoding="utf-8")
    assert "\x1b" not in page
    assert "<script>" not in page


def test_a_file_of_problems_has_one_budget(here, capsys, monkeypatch):
    """Problems share one budget; with a larger one the same command continues."""
    monkeypatch.setenv("UNERRING_API_KEY", "sk-none")
    lines = [json.dumps({"id": number, "question": QUESTION, "answer": 10085}) for number in (1, 2)]
    (here / "in.jsonl").write_text("\n".join(lines))
    with serving(models={"m": chat}) as server:
        words = [
            "solve",
            "--input",
            "in.jsonl",
            "--out",
            "out.jsonl",
            "--model",
            f"openai/m@{server.url}",
            "--no-probe",
        ]
        assert command_line([*words, "--budget-calls", "12"]) == 3
        assert server.ledger.settled().requests <= 12
        assert [one["id"] for one in records(here / "out.jsonl")] == [1]
        assert "the budget of" in capsys.readouterr().err
        assert command_line([*words, "--budget-calls", "40"]) == 0
        assert server.ledger.settled().requests <= 40
    assert [one["answer"] for one in records(here / "out.jsonl")] == [10085, 10085]
    hours = ["--input", "in.jsonl", "--out", "out2.jsonl", *PRODUCTS, "--roles", "auto"]
    (here / "in.jsonl").write_text('{"question": "12 * 13"}')
    assert command_line(["solve", *hours, "--budget-hours", "0"]) == 3
    assert "the budget of 0 hours is spent" in capsys.readouterr().err
    assert command_line(["solve", *hours, "--budget-hours", "1"]) == 0


def test_a_strict_budget_of_a_file_stops_at_a_call_that_is_billed_above_its_worst_case(here, capsys, monkeypatch):
    """`--strict-budget` holds with `--input` as it does for one problem."""
    monkeypatch.setenv("UNERRING_API_KEY", "sk-none")
    (here / "in.jsonl").write_text(json.dumps({"question": QUESTION}))
    with serving(models={"m": overbilled(chat, 3.0)}) as server:
        words = [*SOLVED, "--model", f"openai/m@{server.url}", "--no-probe", "--budget-tokens", "10000000"]
        assert command_line([*words, "--strict-budget"]) == 3
    assert "the budget is strict" in capsys.readouterr().err


def test_answers_of_other_settings_are_refused(here, capsys):
    """The same command continues or prints its answers.

    Another model, seed, margin or problem is refused in one line.
    """
    (here / "in.jsonl").write_text('{"question": "12 * 13", "answer": 156}')
    one = ["solve", "12 * 13", "--journal", "run.db"]
    for words in (["solve", "--input", "in.jsonl", "--out", "out.jsonl"], one):
        assert command_line([*words, *PRODUCTS]) == command_line([*words, *PRODUCTS]) == 0
        for other in (
            [*PRODUCTS, "--seed", "5"],
            [*PRODUCTS, "--k", "7"],
            [*PRODUCTS, "--min-replies", "3"],
            [*PRODUCTS, "--model", "noise/p=0.9,v=0.9,c=0"],
        ):
            capsys.readouterr()
            assert command_line([*words, *other]) == 2, other
            data = capsys.readouterr().err.splitlines()
            assert "holds another run" in data[-1]
            assert len(data) == 1
    assert command_line(["solve", "12 * 14", "--journal", "run.db", *PRODUCTS]) == 2
    assert command_line([*one, *PRODUCTS]) == 0
    assert "run.db is finished already" in capsys.readouterr().err
