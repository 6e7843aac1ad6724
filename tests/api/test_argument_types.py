"""Arguments of a wrong type are an `InputError` that names the argument and shows how it is written."""

import asyncio
from functools import partial

import pytest

import unerring
from doubling import Doubling
from unerring import Budget, Guards, Hanoi, InputError, Options, Policy, Target
from unerring.api import running as api
from unerring.api.calibration import calibrating as measuring
from unerring.api.calibration.calibrating import PilotOptions
from unerring.api.calibration.calibration_files import shipped_calibration
from unerring.api.journals import export as exporting
from unerring.api.journals import fork as forking

CHAIN = Doubling(2)
WRONG = {
    "patience must be made as unerring.Patience": lambda: Options(patience=2),
    "budget must be made as unerring.Budget(...); got 5": lambda: Options(budget=5),
    "guards must be made as unerring.Guards": lambda: Options(guards={}),
    "target must be made as unerring.Target": lambda: Options(target=0.9),
    "request must be made as unerring.Request": lambda: Options(request={"temperature": 0}),
    "policy must be made as unerring.Policy": lambda: Options(policy=3),
    "observer must be an object with decided()": lambda: Options(observer=print),
    "clock must be an object with time() and sleep()": lambda: Options(clock=0),
    "prices must be a dict of unerring.Price": lambda: Options(prices=1.5),
    'allow_hosts must be a list of texts, such as ["localhost"]': lambda: Options(allow_hosts="localhost"),
    "trust must be True or False; got 'no'": lambda: Options(trust="no"),
    "accept_changes must be True or False": lambda: Options(accept_changes=1),
    "progress must be True or False": lambda: Options(progress="off"),
    "same_model must be True or False": lambda: Guards(same_model="gpt"),
    "strict must be True or False": lambda: Budget(strict="yes"),
    "calibration must be the path of a file": lambda: Target(calibration=1),
    "seen must be a function": lambda: PilotOptions(seen=1),
    "budget must be made as unerring.Budget(...); got 6": lambda: PilotOptions(budget=6),
    "options must be made as unerring.Options(...); got {'seed': 1}": lambda: unerring.run(
        CHAIN, str, k=2, options={"seed": 1}
    ),
    "options must be made as unerring.Options(...); got {'seed': 2}": lambda: asyncio.run(
        unerring.arun(CHAIN, str, k=2, options={"seed": 2})
    ),
    "options must be made as unerring.Options(...); got {'seed': 3}": lambda: api.resume("r.db", options={"seed": 3}),
    "options must be made as unerring.Options(...); got {'seed': 4}": lambda: forking.fork(
        "r.db", 1, "s.db", options={"seed": 4}
    ),
    "options must be made as unerring.PilotOptions(...)": lambda: measuring.calibrate(CHAIN, str, options={}),
    "journal must be the path of a file, a str or a Path; got 5": lambda: unerring.run(CHAIN, str, 5, k=2),
    "journal must be the path of a file, a str or a Path; got 6": lambda: unerring.resume(6),
    "Doubling is a class: pass an object of it, Doubling(...)": lambda: unerring.run(Doubling, str, k=2),
    "here they are swapped": lambda: unerring.run("embedded", CHAIN, k=2),
    "a chain is an object, such as unerring.Hanoi(disks=3)": lambda: unerring.run("hanoi", "embedded"),
    "NoisySampler is a class: pass an object of it as the model": lambda: unerring.run(
        Hanoi(disks=2), unerring.testing.NoisySampler, k=2
    ),
}
PATH = "must be the path of a file, a str or a Path; got"
READING = (unerring.steps, unerring.report, unerring.verify, unerring.review, unerring.rejudge, unerring.resume)
WRONG |= {f"journal {PATH} {number}": partial(one, number) for number, one in enumerate(READING)}
WRONG |= {
    f"journal {PATH} None": lambda: unerring.steps(None),
    f"journal {PATH} b'run.db'": lambda: unerring.report(b"run.db"),
    f"path {PATH} None": lambda: unerring.open(None),
    f"out {PATH} None": lambda: unerring.fork("r.db", 1, None),
    f"each of calibrations {PATH} None": lambda: unerring.plan([None], 100),
    "calibrations is a list": lambda: unerring.plan(5, 100),
    "the target is a probability": lambda: unerring.plan([measured()], 100, None),
    "the concurrency is a number of samples": lambda: unerring.plan([measured()], 100, concurrency="4"),
    "out must be an object with write()": lambda: exporting.export("r.db", None),
    "rule must be a voting rule, such as unerring.AheadBy(3); got 4": lambda: Policy(rule=4),
    "flags must be made as unerring.FlagRules(...); got None": lambda: Policy(flags=None),
}


def measured():
    return shipped_calibration("embedded")


def test_a_wrong_type_is_refused_in_the_words_of_python():
    """For options, journal, chain and model the message has the argument, its form, and the given value."""
    said = {}
    for expected, call in WRONG.items():
        with pytest.raises(InputError) as caught:
            call()
        if expected not in str(caught.value):
            said[expected] = str(caught.value)
    assert not said


def test_a_class_whose_objects_are_called_is_no_model_by_its_name(tmp_path, monkeypatch):
    """On the command line a model is an object; the message says how one is made and named."""
    (tmp_path / "callers.py").write_text("class Caller:\n    def __call__(self, prompt):\n        return prompt\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"such as model = Caller\(\), and name that: callers:model"):
        unerring.run(CHAIN, "callers:Caller", k=2)
