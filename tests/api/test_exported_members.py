"""The public names are few, explicit, documented, and changed only on purpose."""

import importlib
import inspect

import pytest

import unerring

# The public interface. Taking a name out breaks users' programs; putting one in is a promise to keep it.
PUBLIC = [
    "ActFailed",
    "ActUnknown",
    "AheadBy",
    "Budget",
    "BudgetSpent",
    "Chain",
    "ChainChanged",
    "Decision",
    "Finish",
    "FirstTo",
    "FlagRules",
    "Guards",
    "Hanoi",
    "InputError",
    "Interrupted",
    "JournalBusy",
    "JournalDamaged",
    "JournalError",
    "JournalFile",
    "Majority",
    "Options",
    "Patience",
    "PilotOptions",
    "Policy",
    "Price",
    "ProviderBusy",
    "ProviderDown",
    "RedFlag",
    "Rehearsal",
    "Report",
    "Request",
    "Result",
    "Sample",
    "Settings",
    "Step",
    "StepSample",
    "StepUndecided",
    "Stopped",
    "Subtask",
    "Target",
    "UnerringError",
    "Usage",
    "aask",
    "acalibrate",
    "act",
    "aresume",
    "arun",
    "ask",
    "calibrate",
    "fork",
    "gather",
    "json_answer",
    "lenient_json",
    "open",
    "plan",
    "rejudge",
    "report",
    "resume",
    "review",
    "run",
    "steps",
    "verify",
]


def test_the_public_names_are_the_guarded_ones():
    """`import *` gives exactly the list in this file, in alphabetical order."""
    assert unerring.__all__ == PUBLIC == sorted(PUBLIC)


def test_the_public_names_are_few():
    """There are at most 70, so that a newcomer can read all of them."""
    assert len(unerring.__all__) <= 70


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_documented(name):
    """Each public name exists and has a docstring that begins with a sentence."""
    documentation = inspect.getdoc(getattr(unerring, name))
    assert documentation
    first = documentation.split("\n\n")[0]
    assert first[0].isupper()
    assert first.rstrip().endswith((".", ":"))
    assert "(*args" not in first
    assert not first.startswith(f"{name}(")  # what a dataclass writes where its author wrote nothing


@pytest.mark.parametrize("name", PUBLIC)
def test_public_functions_have_public_typed_parameters(name):
    """No public function takes a parameter with a leading underscore or without a type."""
    member = getattr(unerring, name)
    if inspect.isfunction(member):
        parameters = inspect.signature(member).parameters.values()
        assert all(not one.name.startswith("_") and one.annotation is not one.empty for one in parameters)
        assert inspect.signature(member).return_annotation is not inspect.Signature.empty


def test_completion_offers_only_public_names_and_modules():
    """Besides the public names, a completion offers the package's own modules only."""
    others = {name for name in vars(unerring) if not name.startswith("_")} - set(PUBLIC)
    assert all(inspect.ismodule(getattr(unerring, name)) for name in others)
    assert all(importlib.import_module(f"unerring.{name}") for name in others)


def test_the_module_for_tests_exports_its_stand_ins():
    """unerring.testing has an explicit, documented list too."""
    testing = importlib.import_module("unerring.testing")
    assert testing.__all__ == ["FakeClock", "MemoryJournal", "NoisySampler", "ScriptedSampler"]
    assert all(inspect.getdoc(getattr(testing, name)) for name in testing.__all__)


def test_every_error_has_a_docstring_and_one_root():
    """All errors descend from UnerringError and say whose fault they are."""
    errors = importlib.import_module("unerring.errors")
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, BaseException)]
    assert len(kinds) >= 15
    assert all(issubclass(kind, unerring.UnerringError) and inspect.getdoc(kind) for kind in kinds)
    tree = errors.__doc__
    assert all(kind.__name__ in tree for kind in kinds)


def test_errors_that_public_docstrings_name_are_public_too():
    """Every error that a public docstring names can be imported from `unerring`."""
    errors = importlib.import_module("unerring.errors")
    kinds = {name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, BaseException)}
    named = {
        (name, kind)
        for name in PUBLIC
        for kind in kinds
        if f"`{kind}`" in (inspect.getdoc(getattr(unerring, name)) or "")
    }
    assert {pair for pair in named if pair[1] not in PUBLIC} == set()
