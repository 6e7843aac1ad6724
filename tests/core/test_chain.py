"""Chains that inherit from `Chain` and chains that do not have the same runs, journals and errors."""

from types import SimpleNamespace

import pytest

import unerring
from unerring import Chain, Subtask
from unerring.api.chains import process_name, required_chain
from unerring.core.chain_form import METHODS, OPTIONAL, is_chain, own_method
from unerring.core.checked_chain import CheckedChain
from unerring.core.journal.digests import identity_of
from unerring.errors import InputError


def steps_of(base, **more):
    """A class of three steps with its constructor's arguments as attributes, on top of a base class."""

    def init(self, last="c"):
        self.last = last

    body = {
        "__init__": init,
        "__module__": __name__,
        "start": lambda self: [],
        "subtask": lambda self, state: None if state[-1:] == [self.last] else Subtask(str(state), str.strip),
        "advance": lambda self, state, choice: [*state, choice],
    }
    return type("Steps", (base,), body | more)


def letters(prompt):
    """A model that answers a, b and c."""
    return "abc"[prompt.count("'") // 2]


def test_a_chain_that_inherits_runs_like_one_that_does_not(tmp_path):
    """State, answer, steps and samples are the same, and so is the chain's identity in a journal."""
    journals, identities = [], []
    for base in (object, Chain):
        path = tmp_path / f"{base.__name__}.db"
        result = unerring.run(steps_of(base)(), letters, path, k=2, options=unerring.Options(speculate="off"))
        assert (result.state, result.answer) == (["a", "b", "c"], None)
        journals.append([step.to_dict() for step in unerring.steps(path)])
        identities.append(identity_of(CheckedChain(steps_of(base)("d"))))
    assert journals[0] == journals[1]
    assert identities[0] == identities[1]
    assert [*identities[0]["arguments"]] == ["last"]


def test_every_optional_method_has_a_default_that_counts_as_absent():
    """A chain that only inherits has no check, verifier, truth or other optional method of its own."""
    chain = steps_of(Chain)()
    assert {name for name in METHODS if own_method(chain, name) is not None} == METHODS.keys() - OPTIONAL.keys()
    checked = CheckedChain(chain)
    assert (checked.check, checked.guess, checked.rehearse, checked.truth, checked.verify) == (None,) * 5
    assert (checked.length(), checked.answer(["a"]), checked.beside([]), checked.parameters()) == (
        None,
        None,
        None,
        {},
    )
    assert (checked.name, checked.version, checked.embedded) == (None, None, None)
    assert not checked.has_parameters
    assert not checked.can_be_entered
    assert checked.digest(["a"]) == CheckedChain(steps_of(object)()).digest(["a"])


def test_an_optional_method_may_be_set_to_none_or_by_the_constructor():
    """The optional methods of a chain may depend on its arguments."""
    without = CheckedChain(steps_of(Chain, check=None)())
    assert without.check is None
    chain = steps_of(Chain)()
    chain.verify = lambda choices, finished: "wrong"
    assert CheckedChain(chain).verify([], True) == "wrong"


def test_any_class_with_the_three_methods_is_a_chain():
    """`isinstance` accepts classes that do not inherit, and refuses those that lack one of the methods."""
    assert isinstance(steps_of(object)(), Chain)
    assert isinstance(steps_of(Chain)(), Chain)
    assert not isinstance(object(), Chain)
    parts = steps_of(object)()
    made = SimpleNamespace(start=parts.start, subtask=parts.subtask, advance=parts.advance)
    assert unerring.run(made, letters, k=2).state == ["a", "b", "c"]


def test_a_chain_that_inherits_and_lacks_a_method_is_refused_with_the_misspelled_one_named():
    """The base class's methods do not replace the required ones."""
    body = {"start": lambda self: 0, "subtask": lambda self, state: None, "adavnce": lambda self, state, choice: 0}
    lacking = type("Lacking", (Chain,), body)
    assert not is_chain(lacking)
    with pytest.raises(InputError, match=r"is no chain: .*; is adavnce\(\) meant to be advance\(\)\?"):
        unerring.run(lacking(), letters, k=2)


def test_a_misspelled_optional_method_is_an_error_although_the_base_class_has_the_right_one():
    """A default does not hide that a misspelled method would never be called."""
    with pytest.raises(InputError, match=r"Steps\.lenght\(\) is no method of a chain: is length\(\) meant\?"):
        required_chain(steps_of(Chain, lenght=lambda self: 3)())


def test_name_and_version_identify_a_chain_in_journals(tmp_path):
    """The journal has the chain's own name, and a run is not continued with another version."""
    named = {"name": "letters", "version": 1}
    assert process_name(CheckedChain(steps_of(Chain, **named)())) == "letters"
    path = tmp_path / "run.db"
    unerring.run(steps_of(Chain, **named)(), letters, path, k=2)
    assert unerring.report(path).process == "letters"
    with pytest.raises(unerring.ChainChanged, match="its version was 1 and is 2"):
        unerring.resume(path, steps_of(Chain, **named | {"version": 2})(), letters)


def test_a_chain_that_was_checked_is_not_checked_again():
    """The public functions use a checked chain unchanged."""
    checked = required_chain(steps_of(Chain)())
    assert required_chain(checked) is checked
