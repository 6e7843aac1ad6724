"""The examples run, resume and verify, and their verifiers find wrong choices."""

import asyncio
import json
import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import agent
import unerring
from accounts import Ledger
from faults.answers import written
from faults.server import serving
from forms import amount_of, date_of, name_of
from migration import Migration, record_of
from unerring import InputError, Options, RedFlag
from unerring.api.calibration.calibrating import calibrate
from unerring.core.voting.canonical import canonical
from unerring.testing import NoisySampler

EXAMPLES = Path(__file__).parents[2] / "examples"
PAGE = EXAMPLES.parent / "docs" / "howto" / "your-own-process.md"
NOISE = "noise/p=0.95,v=0.95,c=0"
TOTAL = "85266.41"


def ledger(**given):
    """The ledger of the folder's own entries."""
    return Ledger(**({"entries": str(EXAMPLES / "entries.jsonl")} | given))


def migration(**given):
    """The migration of the folder's own rows."""
    return Migration(**({"rows": str(EXAMPLES / "rows.jsonl")} | given))


def file_of(path, *rows):
    """A file of JSON lines, by its name."""
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return str(path)


def unlabelled(path):
    """The rows of the migration without their answers."""
    rows = map(json.loads, (EXAMPLES / "rows.jsonl").read_text(encoding="utf-8").splitlines())
    return file_of(path, *({"row": row["row"]} for row in rows))


def walked(chain):
    """The states before each step of the right path, its choices, and the state at its end."""
    states, choices = [chain.start()], []
    while chain.subtask(states[-1]) is not None:
        choices.append(chain.truth(states[-1]))
        states.append(chain.advance(states[-1], choices[-1]))
    return states[:-1], choices, states[-1]


BOTH = pytest.mark.parametrize("make", [ledger, migration])


@BOTH
def test_a_noisy_model_gets_it_right_by_voting(make, tmp_path):
    """A run of a model that is wrong on one vote in twenty, stopped and resumed, has dissent and zero errors."""
    options = Options(max_steps=50)
    with suppress(unerring.Stopped):
        unerring.run(make(), NOISE, tmp_path / "run.db", k=6, seed=1, options=options)
    result = unerring.resume(tmp_path / "run.db")
    assert result.steps == make().length()
    _, choices, end = walked(make())
    assert result.state == end
    assert [step.choice for step in unerring.steps(tmp_path / "run.db")] == choices
    assert result.report["disagreements"] > 10
    verified = unerring.verify(tmp_path / "run.db")
    assert (verified.problem, verified.judged, verified.finished) == (None, True, True)


@BOTH
def test_a_chain_is_as_long_as_it_says_and_can_be_entered_anywhere(make):
    """`length`, `state_at`, `check` and `parameters` agree with the path that is walked."""
    chain = make()
    states, choices, _ = walked(chain)
    assert len(states) == chain.length()
    assert [chain.state_at(step) for step in range(0, len(states), 7)] == states[::7]
    assert not any(map(chain.check, states, choices))
    assert type(chain)(**chain.parameters()).start() == chain.start()
    assert chain.verify(choices, True) is None


@BOTH
def test_the_verifier_names_any_single_wrong_choice(make):
    """Any wrong step, wrong in any rehearsed way, is named; so are too many or too few steps."""
    chain = make()
    states, choices, _ = walked(chain)
    found = 0
    for step in range(0, len(states), 5):
        subtask = chain.subtask(states[step])
        for text in chain.rehearse(subtask.prompt).wrong:
            with suppress(RedFlag):
                wrong = [*choices[:step], subtask.parse(text), *choices[step + 1 :]]
                assert chain.verify(wrong, True).startswith(f"step {step}: ")
                found += 1
    assert found > len(states) / 5
    assert chain.verify(choices[:-1], False) is None
    assert "ends before" in chain.verify(choices[:-1], True)
    assert chain.verify([*choices, choices[0]], True).startswith(f"step {len(choices)}: ")


@BOTH
def test_rehearsed_answers_are_right_and_wrong_ones(make):
    """In each wording the right answer parses to the truth, no wrong one does, and not all wrong ones are flagged."""
    chain = make()
    voted = 0
    for state in walked(chain)[0]:
        subtask = chain.subtask(state)
        for prompt in (subtask.prompt, *subtask.paraphrases):
            rehearsal = chain.rehearse(prompt)
            assert subtask.parse(rehearsal.right) == chain.truth(state)
            assert subtask.parse(f"Let me see.\n\n{rehearsal.right}\n") == chain.truth(state)
            for text in rehearsal.wrong:
                with suppress(RedFlag):
                    choice = subtask.parse(text)
                    assert choice != chain.truth(state)
                    voted += chain.check(state, choice) is None
    assert voted > chain.length()


def test_a_call_sees_the_two_accounts_and_no_other():
    """The question has the two present balances, the payment, and the form of the answer, and no other account."""
    chain = ledger()
    state = chain.state_at(100)
    payer, payee, _ = chain.payments[100]
    prompt = chain.subtask(state).prompt
    for name in (payer, payee):
        cents = state["balances"][name]
        assert f"{name} holds {cents // 100}.{cents % 100:02}\n" in prompt
        assert f"{name} = amount" in prompt
    assert not {name for name in chain.opening if re.search(rf"\b{name}\b", prompt)} - {payer, payee}


def test_a_call_sees_its_row_and_the_record_before():
    """Each wording has both, and no other row."""
    chain = migration()
    subtask = chain.subtask(chain.state_at(100))
    for prompt in (subtask.prompt, *subtask.paraphrases):
        assert chain.rows[100] in prompt
        assert json.dumps(chain.known[99], ensure_ascii=False) in prompt
        assert chain.rows[99] not in prompt
        assert chain.rows[101] not in prompt


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (ledger, "bank = 1.00"),
        (ledger, "bank = 1\ngroceries = 2"),
        (ledger, "bank = 1.00\ngroceries = 2.00\nThat is all."),
        (ledger, "groceries = 2.00\nbank = 1.00"),
        (ledger, "bank = -1.00\ngroceries = 2.00"),
        (migration, ""),
        (migration, '{"name": "A B", "date": "1986-11-05"}'),
        (migration, '{"name": "A B", "date": "1986-11-31", "amount": "1.00"}'),
        (migration, '{"name": "A B", "date": "05/11/1986", "amount": "1.00"}'),
        (migration, '{"name": "A B", "date": "1986-11-05", "amount": 1.0}'),
        (migration, '{"name": " ", "date": "1986-11-05", "amount": "1.00"}'),
        (migration, '{"name": "A B", "date": "1986-11-05", "amount": "1.00", "note": ""}'),
        (migration, '{"name": "A B", "date": "1986-11-05", "amount": "1.00"}\n```'),
    ],
)
def test_malformed_answers_are_flagged(make, text):
    """An answer that does not end in the required form is no vote."""
    chain = make()
    with pytest.raises(RedFlag):
        chain.subtask(chain.start()).parse(text)


def test_money_that_is_made_or_lost_is_flagged():
    """The check needs no truth: the sum of the two accounts must stay the same."""
    chain = ledger()
    right = chain.truth(chain.start())
    assert chain.check(chain.start(), right | {"payee": right["payee"] + 1}) is not None


@pytest.mark.parametrize(
    "other", [{"name": "Olive Penrase"}, {"date": "1985-11-05"}, {"date": "1986-11-06"}, {"amount": "143.13"}]
)
def test_values_from_neither_row_nor_record_are_flagged(other, tmp_path):
    """A name, day, year or amount from neither the row nor the record before is no vote, and named by the verifier."""
    right, chain = migration().known[0], migration(rows=unlabelled(tmp_path / "rows.jsonl"))
    assert chain.check(chain.start(), right) is None
    assert "not from here" in chain.check(chain.start(), right | other).reason
    assert chain.verify([right | other], False).startswith("step 0: ")


def test_the_total_of_the_old_book_finds_an_amount_that_is_wrong(tmp_path):
    """A plausible wrong amount, from the record before, is found by the sum."""
    known, chain = migration().known, migration(rows=unlabelled(tmp_path / "rows.jsonl"), total=TOTAL)
    assert chain.verify(known, True) is None
    wrong = [known[0], known[1] | {"amount": known[0]["amount"]}, *known[2:]]
    assert "and the old book to 85266.41" in chain.verify(wrong, True)


def test_without_known_answers_a_pilot_judges_by_votes(tmp_path):
    """Rows without answers have no `truth`, and are measured nearly as well."""
    chain = migration(rows=unlabelled(tmp_path / "rows.jsonl"))
    assert not hasattr(chain, "truth")
    measured = calibrate(chain, NoisySampler(migration().rehearse, p=0.95), samples=600)
    assert measured.judged_by == "votes"
    assert 0.85 < 1 - sum(voter.wrong for voter in measured.voters) / sum(voter.votes for voter in measured.voters) < 1
    with pytest.raises(InputError, match="needs a row whose right answer is known"):
        unerring.run(chain, NOISE, tmp_path / "run.db", k=6)


DAYS = st.dates().map(lambda day: day.isoformat()) | st.dates().map("{0.day} {0:%B} {0.year}".format)
AMOUNTS = st.from_regex(r"\A\$?[0-9]{1,3}(,[0-9]{3})?(\.[0-9]{1,2})?\Z")


@given(st.text() | st.text("e\u0301 \u2019'-\u2011"), DAYS | st.text(), AMOUNTS | st.text())
def test_canonical_forms_are_given_back_unchanged(name, day, amount):
    """f(f(x)) = f(x) for any text that is not flagged, so that equality of forms is an equivalence of answers."""
    for form, text in ((name_of, name), (date_of, day), (amount_of, amount)):
        with suppress(RedFlag):
            once = form(text)
            assert form(once) == once


@pytest.mark.parametrize(
    ("form", "one", "other"),
    [
        (name_of, "Jose\u0301 O\u2019Neill", "  José  O'Neill "),
        (date_of, "March 3rd, 1987", "1987-03-03"),
        (date_of, "3 Mar 1987", "1987-3-3"),
        (amount_of, "$1,204.5", "1204.50"),
        (amount_of, "$ 850", "850.00"),
    ],
)
def test_one_thing_written_in_two_ways_is_one_choice(form, one, other):
    """Votes for both forms count for the same candidate."""
    assert canonical(form(one)) == canonical(form(other))


@pytest.mark.parametrize(
    ("form", "text"), [(date_of, "03/04/1987"), (date_of, "30 Feb 1987"), (amount_of, "1.204,50"), (name_of, " ")]
)
def test_what_could_mean_two_things_is_flagged(form, text):
    """An ambiguous form is flagged, not guessed."""
    with pytest.raises(RedFlag):
        form(text)


BANK, CASH = {"account": "bank", "cents": 5}, {"account": "cash", "cents": 0}


@pytest.mark.parametrize(
    ("make", "rows", "said"),
    [
        (Ledger, ["{"], "line 1: this is no JSON"),
        (Ledger, [], "has no rows"),
        (Ledger, [BANK | {"cents": 1.5}], "line 1: cents must be a whole number"),
        (Ledger, [BANK | {"account": "My bank"}], "line 1: an account has a name of its own"),
        (Ledger, [BANK, BANK], "line 2: an account has a name of its own"),
        (Ledger, [BANK, {"from": "bank", "to": "cash", "cents": 1}], "line 2: from and to must be two accounts"),
        (Ledger, [BANK, CASH, {"from": "bank", "to": "bank", "cents": 1}], "line 3: from and to must be two accounts"),
        (Ledger, [BANK, CASH, {"from": ["bank"], "to": "cash", "cents": 1}], "line 3: from and to must be two acc"),
        (Migration, [["row"]], "line 1: a JSON object is wanted"),
        (Migration, [{"text": "do."}], "line 1: .* is wanted"),
        (Migration, [{"row": "do.", "known": {"name": "A"}}], "line 1: known: the record does not have"),
    ],
)
def test_bad_input_is_one_clear_line(make, rows, said, tmp_path):
    """It has the file, the line, and what is expected there."""
    with pytest.raises(InputError, match=said) as found:
        make(file_of(tmp_path / "input.jsonl", *rows))
    assert str(found.value).startswith(str(tmp_path / "input.jsonl"))


@pytest.mark.parametrize("make", [Ledger, Migration])
def test_a_file_that_is_not_there_is_one_clear_line(make, tmp_path):
    """It has the file's name, and why it cannot be read."""
    with pytest.raises(InputError, match=r"cannot read .*nowhere\.jsonl: .*No such file"):
        make(str(tmp_path / "nowhere.jsonl"))


def test_a_run_does_not_continue_with_another_file(tmp_path):
    """The journal has the file's digest: with a changed file `resume` refuses, and `verify` does not judge."""
    path = file_of(tmp_path / "rows.jsonl", *({"row": f"row {number}"} for number in range(3)))
    known = Migration(path).parameters()
    file_of(tmp_path / "rows.jsonl", {"row": "another"})
    with pytest.raises(InputError, match="is not the file that the run began with"):
        Migration(**known)


@BOTH
def test_it_works_over_an_endpoint(make, tmp_path):
    """Whole prompts over HTTP, in every wording, to an endpoint that errs, give zero errors."""
    chain = make()

    def model(prompt, temperature, seed, index, max_tokens):
        try:
            rehearsal = chain.rehearse(prompt)
        except InputError:  # a trial call
            return written(prompt, f"{seed}", max_tokens)
        wrong = (seed + index) % 20 == 0
        return written(prompt, f"Well.\n{rehearsal.wrong[0] if wrong else rehearsal.right}", max_tokens)

    with serving(models={"m": model}) as server:
        options = Options(max_steps=30)
        with pytest.raises(unerring.Stopped):
            unerring.run(chain, f"openai/m@{server.url}", tmp_path / "run.db", k=3, options=options)
        assert server.ledger.settled().requests >= 30
    steps = list(unerring.steps(tmp_path / "run.db"))
    assert [step.choice for step in steps] == walked(chain)[1][:30]


def test_known_answers_are_in_the_strict_form():
    """The rows that ship have canonical records, and add up to the total of the old book."""
    assert all(record_of(known) == known for known in migration().known)
    assert migration(total=TOTAL).verify(migration().known, True) is None


def test_what_the_page_shows_runs(tmp_path, monkeypatch):
    """The check of canonical forms and the test of a chain run as they are on the page."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (tmp_path / "entries.jsonl").symlink_to(EXAMPLES / "entries.jsonl")
    monkeypatch.chdir(tmp_path)
    assert len(blocks) == 4
    for block in blocks[2:]:
        exec(block, {})  # noqa: S102  (our own text)
    assert unerring.verify("test.db").finished


def test_independent_rows_of_the_page_are_asked_at_the_same_time(tmp_path):
    """With the chain on the page, all calls for its rows are in flight before the first is answered."""
    (block,) = re.findall(r"^```python\n(from unerring import Subtask\n.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
    named = {"yes_or_no": lambda text: text == "yes"}
    exec(block, named)  # noqa: S102  (our own text)
    rows = ["it broke", "thank you", "never again", "well done"]
    met = None

    async def model(prompt, settings):
        nonlocal met
        met = met or asyncio.Barrier(3 * len(rows))
        await met.wait()
        return "yes" if prompt.endswith(("broke", "again")) else "no"

    result = unerring.run(named["Labels"](rows), model, tmp_path / "run.db", k=3)
    assert result.steps == len(rows)
    assert [step.choice for step in unerring.steps(tmp_path / "run.db")] == [True, False, True, False]


@pytest.mark.parametrize("name", ["accounts.py", "migration.py", "agent.py"])
def test_an_example_is_short(name):
    """An example has few lines."""
    assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) < 175


def run_agent(folder, monkeypatch, capsys, *more):
    """The exit code and the output of the agent's script."""
    monkeypatch.setattr("sys.argv", ["agent.py", "--folder", str(folder), *more])
    return agent.main(), capsys.readouterr().out


def test_an_agent_brings_the_warehouse_into_order_by_voting(tmp_path, monkeypatch, capsys):
    """It moves each of the 16 lots once, though single answers were wrong; run again it says the same."""
    code, said = run_agent(tmp_path / "voted", monkeypatch, capsys)
    assert (code, said.count("moved ")) == (0, 16)
    assert "in order: yes" in said
    assert int(re.search("the first vote was wrong ([0-9]+) times", said)[1]) > 0
    assert run_agent(tmp_path / "voted", monkeypatch, capsys) == (code, said)
    assert unerring.verify(tmp_path / "voted" / "journal.db", agent.tidy).finished


def test_an_agent_fails_by_single_answers(tmp_path, monkeypatch, capsys):
    """The same model without voting leaves the warehouse in disorder."""
    code, said = run_agent(tmp_path / "single", monkeypatch, capsys, "--k", "1")
    assert (code, "in order: NO" in said) == (1, True)
    assert "each decided by its first answer" in said
    code, said = run_agent(tmp_path / "single", monkeypatch, capsys, "--k", "1", "--model", "noise/p=1")
    assert (code, said.count("\n"), "holds another run: its model is function clerk" in said) == (2, 1, True)


def test_a_move_with_the_same_key_changes_nothing_twice(tmp_path):
    """The agent's tool stores the key with the change."""
    database = str(tmp_path / "warehouse.db")
    agent.fill(database)
    shelf, item, count, _ = agent.look(database)[0]
    for _ in range(2):
        agent.move(database, item, shelf, "Z", count - 1, key="one")
    assert [count for place, _, count, _ in agent.look(database) if place == "Z"] == [count - 1]
    assert agent.look(database)[0][:3] == (shelf, item, 1)
