"""A calibration file is read back as it was written, and any other content is refused in one line."""

import json
from copy import deepcopy
from math import inf, nan
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilots import blank, looked, one_line, simulated, strict_json
from tables import each
from unerring.api.calibration.calibration_files import SHIPPED_CALIBRATION, read_calibration, write_calibration
from unerring.core.planning.calibration_file import calibration_from, calibration_json
from unerring.core.voting.redflag import FlagRules
from unerring.errors import InputError

choices = st.sampled_from(["r", "w", "x", None])
logprobs = st.none() | st.floats(-5.0, 0.0)


@st.composite
def calibrations(draw):
    """Random steps of one to three voters, with all other fields of a pilot set."""
    voters = draw(st.integers(1, 3))
    calibration = blank(
        voters,
        parameters=draw(st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4), max_size=2)),
        judged_by=draw(st.sampled_from(["truth", "votes"])),
        temperature=draw(st.floats(0.0, 2.0)),
        flag_rules=FlagRules(draw(st.integers(1, 1000)), draw(st.none() | st.floats(-9.0, 0.0))),
        seed=draw(st.integers(-5, 1 << 64)),
        at_once=draw(st.integers(1, 300)),
        software="unerring 0",
        walked=draw(st.booleans()),
        at=draw(st.none() | st.lists(st.integers(), max_size=3)),
        asked_for=draw(st.integers(0, 5000)),
    )
    for number in range(draw(st.integers(0, 6))):
        said = draw(st.lists(choices, min_size=voters, max_size=4 * voters))
        seconds, logprob = draw(st.floats(0.0, 9.0)), draw(logprobs)
        calibration.add(looked(number, *said, voters=voters, seconds=seconds, logprob=logprob))
    return calibration


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(calibrations())
def test_a_calibration_survives_being_written(calibration):
    """The calibration read back from the JSON text equals the written one in every count."""
    text = json.dumps(calibration_json(calibration))
    assert calibration_from(strict_json(text)) == calibration


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(calibrations(), st.integers(0, 2))
def test_the_calibration_of_one_voter_survives_being_written(calibration, number):
    """The same holds for the part of one voter that `only` returns."""
    alone = calibration.only(number % len(calibration.voters))
    assert calibration_from(strict_json(json.dumps(calibration_json(alone)))) == alone


def test_counting_continues_after_reading_a_file():
    """Counting after a file was read gives the same as counting on in memory."""
    kept = simulated(lambda _: [0.1], 200, Random(1))
    read = calibration_from(strict_json(json.dumps(calibration_json(kept))))
    for calibration in (kept, read):
        calibration.add(looked(calibration.steps, "w", "r", "x"))
    assert read == kept


def test_only_counts_are_read_back():
    """Computed figures in the file may be missing or changed without effect."""
    data = whole()
    data["figures"] = "none"
    assert calibration_from(data) == calibration_from(whole())
    del data["figures"]
    assert calibration_from(data) == calibration_from(whole())


def test_the_shipped_calibration_is_read():
    """The file in the package is a calibration of the three embedded voters, judged by the truth."""
    shipped = read_calibration(SHIPPED_CALIBRATION)
    assert [voter.name for voter in shipped.voters] == ["embedded/a", "embedded/b", "embedded/c"]
    assert (shipped.judged_by, shipped.walked) == ("truth", False)


def test_a_calibration_is_written_whole_or_not_at_all(tmp_path):
    """The file gets its name only once it is complete, and no other file is left."""
    path = tmp_path / "cal.json"
    write_calibration(calibration_from(whole()), path)
    before = path.read_bytes()
    broken = calibration_from(whole())
    broken.parameters["disks"] = object()  # cannot be written
    with pytest.raises(TypeError):
        write_calibration(broken, path)
    assert path.read_bytes() == before
    write_calibration(calibration_from(whole()), path)
    assert [one.name for one in tmp_path.iterdir()] == ["cal.json"]


# --- what is no calibration


TEXT = json.dumps(calibration_json(simulated(lambda _: [0.1, 0.05], 900, Random(3), v=0.9, voters=2)))


def whole():
    """The JSON data of a calibration of two voters with errors and flags."""
    return json.loads(TEXT)


REQUIRED = [name for name in whole() if name != "figures"]
VOTER = list(whole()["voters"][0])
COUNTS = ("at_once", "asked_for", "samples", "steps", "pairs_wrong", "pairs_same")
VOTER_COUNTS = ("steps", "flagged", "votes", "wrong", "collisions", "same_wrong")
NO_COUNTS = (-1, 1.5, nan, inf, None, "5", True, [], {})


def refused(data):
    """The one line with which data is refused."""
    with pytest.raises(ValueError, match=r"\w") as raised:
        calibration_from(data)
    return one_line(raised.value)


def changed(*path, to):
    """The JSON data with one value changed."""
    data = deepcopy(whole())
    place = data
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return data


def test_the_unchanged_data_is_read():
    """The data that the tests below change is a valid calibration."""
    assert calibration_from(whole()).steps > 0


@each("name", REQUIRED)
def test_no_part_may_be_missing(name):
    """A file without any one part of a calibration is refused."""
    data = whole()
    del data[name]
    refused(data)


@each("name", VOTER)
def test_no_part_of_a_voter_may_be_missing(name):
    """A file without any one part of a voter's counts is refused."""
    data = whole()
    del data["voters"][1][name]
    refused(data)


@each("data", [None, [], {}, "calibration", 7, True, nan, [{}], {"steps": 3}])
def test_other_data_is_no_calibration(data):
    """Data that does not name itself a calibration gets an error that says how to make one."""
    assert "unerring calibrate" in refused(data)


@each("version", [0, 2, "1", None, [], nan])
def test_another_version_is_named(version):
    """A calibration of another version is refused with both versions."""
    assert "calibrate again" in refused(changed("unerring_calibration", to=version))


@each("name", COUNTS)
@each("value", NO_COUNTS, ids=repr)
def test_an_invalid_count_is_refused(name, value):
    """Negative numbers, fractions, NaN and other types are refused."""
    refused(changed(name, to=value))


@each("name", VOTER_COUNTS)
@each("value", NO_COUNTS, ids=repr)
def test_an_invalid_count_of_a_voter_is_refused(name, value):
    """The same holds for the counts of a voter."""
    refused(changed("voters", 0, name, to=value))


OTHER = {
    "a voter that is none": changed("voters", 0, to=7),
    "voters that are none": changed("voters", to=7),
    "no voters": changed("voters", to=[]),
    "a voter more": changed("voters", to=whole()["voters"] * 2),
    "a voter's name that is none": changed("voters", 0, "name", to=None),
    "tokens that are none": changed("voters", 0, "tokens", to=[1, -1]),
    "one token count": changed("voters", 0, "tokens", to=[1]),
    "three token counts": changed("voters", 0, "tokens", to=[1, 2, 3]),
    "flags that are none": changed("voters", 0, "flags", to=[3]),
    "negative flags": changed("voters", 0, "flags", to={"malformed": -3}),
    "bins that are none": changed("voters", 0, "bins", to=[[1, 2]]),
    "a bin of three": changed("voters", 0, "bins", 0, to=[1, 2, 3]),
    "a negative bin": changed("voters", 0, "bins", 0, to=[-1, 1]),
    "other edges": changed("bin_edges", to=[-3.0]),
    "edges that are none": changed("bin_edges", to="low"),
    "troubles that are none": changed("troubles", to=3),
    "a trouble that is none": changed("troubles", 0, to=None),
    "a trouble with a voter less": changed("troubles", 0, 3, to=[[1, 1, 1, 0]]),
    "a trouble with negative votes": changed("troubles", 0, 3, 0, to=[-1, 1, 1, 0]),
    "flag rules that are none": changed("flag_rules", to=[]),
    "flag rules of nothing": changed("flag_rules", to={}),
    "a length limit that is none": changed("flag_rules", "max_output_tokens", to="long"),
    "a floor that is none": changed("flag_rules", "min_logprob", to="low"),
    "a model that is none": changed("model", to=3),
    "a process that is none": changed("process", to=None),
    "parameters that are none": changed("parameters", to=7),
    "an unknown judge": changed("judged_by", to="a friend"),
    "a judge that is none": changed("judged_by", to=[]),
    "a temperature that is none": changed("temperature", to="hot"),
    "a temperature below 0": changed("temperature", to=-1.0),
    "a temperature of NaN": changed("temperature", to=nan),
    "a seed that is none": changed("seed", to="x"),
    "seconds that are none": changed("calls_seconds", to="long"),
    "seconds of NaN": changed("calls_seconds", to=nan),
    "seconds without end": changed("calls_seconds", to=inf),
    "seconds below 0": changed("calls_seconds", to=-1.0),
    "more wrong than votes": changed("voters", 0, "wrong", to=10**9),
    "more votes than steps": changed("voters", 0, "votes", to=10**9),
    "more flagged than asked": changed("voters", 0, "flagged", to=10**9),
    "more steps of a voter than steps": changed("voters", 0, "steps", to=10**9),
    "fewer steps of a voter than steps": changed("steps", to=10**9),
    "more steps than samples": changed("samples", to=3),
    "more collisions than errors": changed("voters", 0, "collisions", to=10**9),
    "bins that add up otherwise": changed("voters", 0, "bins", 0, to=[10, 10]),
    "causes of flags that add up otherwise": changed("voters", 0, "flags", to={"malformed": 1}),
    "errors on no step": changed("troubles", to=[]),
    "a rival with more votes than were wrong": changed("troubles", 0, 3, 0, to=[24, 1, 1, 24]),
    "a first error without errors": changed("troubles", 0, 3, 0, to=[24, 0, 1, 0]),
    "more equal pairs than pairs": changed("pairs_same", to=10**9),
    "never asked": changed("at_once", to=0),
    "a huge count": changed("asked_for", to=10**400),
    "huge edges": changed("bin_edges", to=[10**400] * 9),
    "a huge temperature": changed("temperature", to=10**400),
    "a walk that is none": changed("walked", to="yes"),
    "a long story": changed("model", to=["once upon a time"] * 1000),
}


@each("data", OTHER.values(), ids=OTHER)
def test_inconsistent_counts_are_refused(data):
    """A part of a wrong form, or one that contradicts the others, makes the file unusable for plans."""
    assert len(refused(data)) < 200


@each(
    "content",
    [
        b"",
        b"not json",
        b"{",
        b"[]",
        b"{}",
        b"null",
        b"NaN",
        b"\xff\xfe\x00",
        b"\x00" * 100,
        b"[" * 100_000,
        b'{"unerring_calibration": ' * 20_000,
        b'{"unerring_calibration": 1e999}',
        b'{"unerring_calibration": ' + b"9" * 10_000 + b"}",
        b"\xef\xbb\xbf{}",
    ],
    ids=range(14),
)
def test_a_file_of_something_else_is_one_line(tmp_path, content):
    """Any other bytes are an InputError that names the file in one line, without a traceback."""
    path = tmp_path / "cal.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as raised:
        read_calibration(path)
    assert len(one_line(raised.value)) < 400


@each("path", ["no/such/file.json", "."])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path, monkeypatch, path):
    """A missing file or a folder is an InputError in one line."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as raised:
        read_calibration(Path(path))
    assert one_line(raised.value).startswith(f"cannot read the calibration {path}: ")
    assert "Errno" not in str(raised.value)


def test_a_file_that_was_cut_is_one_line(tmp_path):
    """A calibration cut anywhere is refused."""
    text = json.dumps(whole())
    path = tmp_path / "cal.json"
    for length in range(0, len(text) - 1, len(text) // 40):
        path.write_text(text[:length])
        with pytest.raises(InputError) as raised:
            read_calibration(path)
        one_line(raised.value)
