"""A process is known by its name, its constructor's arguments and its version; a change of any is noticed."""

import subprocess
import sys
from dataclasses import dataclass

import pytest
from changing_rows import Elsewhere, Rows, Tagged, double, halted

import unerring
from unerring import InputError, Options, Subtask
from unerring.api.chains import make_chain
from unerring.api.journals.review import review
from unerring.errors import ChainChanged, StepLimit


def test_rows_of_another_range_are_another_run(tmp_path):
    """A run over rows 0 to 9 is not continued over rows 100 to 109."""
    path = halted(tmp_path / "run.db", Rows(0, 10))
    with pytest.raises(ChainChanged, match="argument first was 0 and is 100"):
        unerring.resume(path, Rows(100, 110), double)
    with pytest.raises(InputError, match="argument first was 0 and is 100"):
        unerring.run(Rows(100, 110), double, path, 2)


@dataclass
class Table:
    """A chain with a name of its own, and an argument that is not JSON."""

    rows: object
    name: str = "my table"

    def start(self):
        return 0

    def subtask(self, state):
        return Subtask(f"Double {state}.", int) if state < len(self.rows) else None

    def advance(self, state, choice):
        return state + 1


def test_a_name_of_its_own_is_what_a_process_is_known_by(tmp_path):
    """The name identifies it wherever the class is defined; an argument that is not JSON is not compared."""
    path = halted(tmp_path / "run.db", Table(range(5)))
    report = unerring.report(path)
    assert report["process"] == "my table"
    moved = type("Moved", (Table,), {})
    assert unerring.resume(path, moved(range(5)), double).steps == 5


SCRIPT = """
import unerring
from unerring import Subtask

class Ledger:
    def start(self):
        return 0
    def subtask(self, state):
        return Subtask(f"Double {state}.", int) if state < 5 else None
    def advance(self, state, choice):
        return state + 1

def model(prompt):
    return str(2 * int(prompt.rstrip(".").split()[-1]))

if __name__ == "__main__":
    import sys
    options = unerring.Options(max_steps=int(sys.argv[1]) if sys.argv[1:] else None)
    print(unerring.run(Ledger(), model, "run.db", k=2, options=options).steps)
"""


def test_a_script_can_be_run_twice(tmp_path):
    """It continues its own journal, and returns the finished result; its class can be resumed elsewhere."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)

    def ran(*words):
        return subprocess.run(
            [sys.executable, str(script), *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    assert "StepLimit" in ran("2").stderr
    module = {"__name__": "script"}
    exec(script.read_text(), module)  # noqa: S102  (the script as a module of another name)
    with pytest.raises(StepLimit):
        unerring.resume(tmp_path / "run.db", module["Ledger"](), module["model"], Options(max_steps=1))
    assert ran().stdout == "5\n"
    assert ran().stdout == "5\n"
    with pytest.raises(InputError, match="run the script again"):
        unerring.resume(tmp_path / "run.db", options=Options(trust=True))


def test_an_accepted_process_is_made_again_by_its_name(tmp_path):
    """Verify, review, resume and run use the accepted parameters, in whichever way the chain is made."""
    path = tmp_path / "run.db"
    with pytest.raises(StepLimit):
        unerring.run(Tagged("a"), double, path, 2, options=Options(max_steps=2))
    again = Options(accept_changes=True, max_steps=1)
    with pytest.raises(ChainChanged, match="its parameter tag was a and is b"):
        unerring.run(Tagged("b"), double, path, 2, options=Options(max_steps=1))
    with pytest.raises(StepLimit):
        unerring.run(Tagged("b"), double, path, 2, options=again)
    with pytest.raises(StepLimit):
        unerring.resume(path, model=double, options=Options(max_steps=1))
    assert review(path).note.startswith("no step")
    assert unerring.verify(path).parameters == unerring.report(path)["parameters"] == {"tag": "b"}
    assert unerring.run(Tagged("b"), double, path, 2).steps == 6
    assert unerring.run(Tagged("b"), double, path, 2, options=Options(accept_changes=True)).steps == 6


def test_a_version_that_is_added_is_noticed(tmp_path):
    """A version where there was none is a change."""
    path = halted(tmp_path / "run.db", Tagged())
    new = Tagged()
    new.version = "2"
    with pytest.raises(ChainChanged, match="its version was null and is 2"):
        unerring.resume(path, new, double)


def test_no_argument_of_a_constructor_is_kept_in_clear(tmp_path):
    """A key given to a constructor is in neither the journal nor a message; that it changed is noticed."""

    class Keyed(Rows):
        def __init__(self, api_key):
            super().__init__()
            self.api_key = api_key

    path = halted(tmp_path / "run.db", Keyed("sk-secret-of-mine"))
    with pytest.raises(ChainChanged, match="argument api_key changed") as stopped:
        unerring.resume(path, Keyed("sk-another-secret"), double)
    assert "secret" not in str(stopped.value)
    assert b"secret-of-mine" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


class Slotted(Elsewhere):
    __slots__ = ("count",)


class Hidden(Elsewhere):
    def __init__(self, rows):
        self.__rows = rows

    @property
    def count(self):
        return self.__rows


class Words(Elsewhere):
    def __init__(self, **words):
        self.words = words

    @property
    def count(self):
        return self.words["rows"]


class Ranged(Elsewhere):
    def __init__(self, rows):
        self.rows = range(rows)

    @property
    def count(self):
        return len(self.rows)


def test_other_arguments_are_noticed_wherever_a_class_keeps_them(tmp_path):
    """Under another name, in slots, privately, as keywords, and if they are not JSON."""
    accepted = []
    for made in (Elsewhere, Slotted, Hidden, Words, Ranged):
        path = tmp_path / f"{made.__name__}.db"
        halted(path, made(rows=4), 2)
        try:
            unerring.resume(path, made(rows=6), double)
        except ChainChanged:
            continue
        accepted.append(made.__name__)
    assert accepted == []


def test_a_version_of_any_kind_is_compared(tmp_path):
    """A tuple is compared, too."""
    old, new = Rows(), Rows()
    old.version, new.version = (1, 2), (1, 3)
    with pytest.raises(ChainChanged, match="its version"):
        unerring.resume(halted(tmp_path / "run.db", old), new, double)


def test_a_process_with_unknown_arguments_is_not_made_with_its_defaults(tmp_path):
    """By its name it would be made with its defaults, so the line says what to do, and offers no acceptance."""
    path = halted(tmp_path / "run.db", Rows(0, 5))
    with pytest.raises(InputError, match="run again what began it") as stopped:
        unerring.resume(path, model=double)
    assert "accept" not in str(stopped.value)


def test_a_process_that_was_made_by_its_name_continues_by_it(tmp_path):
    """Its arguments are those of the command that began it."""
    chain = make_chain("changing_rows:Rows", {"last": 5})
    path = halted(tmp_path / "run.db", chain)
    assert unerring.report(path)["parameters"] == {"last": 5}
    assert unerring.resume(path, model=double).steps == 5
