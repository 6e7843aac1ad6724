"""Invalid limits are refused, by the parameter's name in Python and the option's on the command line."""

from dataclasses import fields

import pytest

import unerring
from doubling import Doubling, double
from unerring import Budget, FlagRules, Guards, InputError, Options, Patience, Policy, Price, Request, Target
from unerring.api.calibration.calibrating import PilotOptions, calibrate
from unerring.cli.main import commands
from unerring.testing import ScriptedSampler

# Public settings with numbers among their fields, and the fields that are none.
SETTINGS = {
    Patience: set(),
    Guards: {"same_model", "probe"},
    Budget: {"strict"},
    Policy: {"rule", "flags"},
    FlagRules: set(),
    Target: {"rule", "calibration"},
    Request: {"system", "extra", "nonce", "echo"},
    Options: {
        "policy", "observer", "patience", "clock", "speculate", "target", "budget", "prices", "escalate", "guards",
        "allow_hosts", "trust", "request", "progress", "accept_changes",
    },
    PilotOptions: {
        "policy", "seen", "patience", "clock", "budget", "prices", "probe", "allow_hosts", "request", "notice",
        "guards", "trust",
    },
}  # fmt: skip
NONSENSE = (float("nan"), float("inf"), float("-inf"), 1e300, -1e300, 10**400, True, False, "3", [])
NONE_BELOW_ZERO = {"min_logprob"}  # which is never above


def accepted(make, values):
    """The values that do not raise `InputError`, or raise it without "NAME must be ...; got ..."."""
    kept = []
    for name, value in values:
        try:
            make(**{name: value})
        except InputError as error:
            if str(error).startswith(f"{name} must be ") and "; got " in str(error):
                continue
        kept.append((make.__name__, name, value))
    return kept


def test_nonsense_is_refused_in_every_numeric_field():
    """NaN, infinity, 1e300, booleans, texts and negative numbers give one message with the field and the value."""
    wrong = []
    for kind, others in SETTINGS.items():
        names = [field.name for field in fields(kind) if field.init and field.name not in others]
        assert names, kind
        values = [(name, value) for name in names for value in NONSENSE]
        values += [(name, 1 if name in NONE_BELOW_ZERO else -1) for name in names]
        wrong += accepted(kind, values)
    assert wrong == []
    for value in (*NONSENSE, -1):
        with pytest.raises(InputError, match="from 0 to"):
            Price(value, 1.0)


def test_nonsense_is_refused_as_an_argument():
    """K and seed of a run, and samples and seed of a pilot, are checked like fields."""

    def run(**given):
        unerring.run(Doubling(1), ScriptedSampler(["2"] * 9), **{"k": 1, **given})

    def pilot(**given):
        calibrate(Doubling(1), ScriptedSampler(["2"] * 9), **given)

    values = [(name, value) for name in ("k", "seed") for value in NONSENSE]
    assert accepted(run, [*values, ("k", 0), ("k", -1), ("k", 1.0), ("seed", 2**63)]) == []
    assert accepted(pilot, [(name, value) for name in ("samples", "seed") for value in NONSENSE]) == []
    for rule in (unerring.AheadBy, unerring.FirstTo, unerring.Majority):
        for value in (*NONSENSE, 0, -1):
            with pytest.raises(ValueError, match="must be a whole number from 1 to 1,000,000,000; got"):
                rule(value)


def test_the_command_line_refuses_nonsense_by_the_options_name():
    """Every numeric option of run, resume, solve and calibrate refuses NaN, infinity and 1e300 by its name."""
    taken = []
    for command in ("run", "resume", "solve", "calibrate"):
        for parameter in commands.commands[command].params:
            if parameter.type.name not in {"float", "integer", "number", "integer range", "float range"}:
                continue
            for value in ("nan", "inf", "-inf", "1e300", "1" + "0" * 40):
                try:
                    parameter.type.convert(value, parameter, None)
                except Exception as error:  # click's own, of several classes
                    if "UsageError" in str(type(error).__mro__):
                        continue
                taken.append((command, parameter.name, value))
    assert taken == []


def test_a_stop_at_a_limit_says_in_python_how_to_continue(tmp_path):
    """The message has the option with a larger value in Python's words; with it the same call continues the run."""
    path = tmp_path / "run.db"
    with pytest.raises(unerring.BudgetSpent) as stop:
        unerring.run(Doubling(3), double, path, k=2, options=Options(budget=Budget(calls=3)))
    more = str(stop.value).partition("; to allow more: the same call with options=")[2]
    options = eval(more, {"Options": Options, "Budget": Budget})  # noqa: S307  (our own text)
    assert options.budget.calls > 3
    assert unerring.report(path)["stopped"]["reason"] == stop.value.reason
    assert unerring.run(Doubling(3), double, path, k=2, options=options).steps == 3


def test_a_cap_and_a_parser_that_refuses_all_say_in_python_how_to_continue(tmp_path):
    """A cap is raised by `resume`, since one with another cap is another run; `rejudge` reads stored samples again."""
    with pytest.raises(unerring.StepUndecided, match=r"unerring.resume with options=Options\(vote_cap=20\)"):
        unerring.run(
            Doubling(3),
            lambda prompt, settings: str(settings.slot % 2),
            tmp_path / "a.db",
            k=3,
            options=Options(vote_cap=10),
        )
    with pytest.raises(unerring.Stopped, match=r"once your parser or check accepts these answers: unerring.rejudge"):
        unerring.run(Doubling(3), lambda prompt: "two", tmp_path / "b.db", k=3)
