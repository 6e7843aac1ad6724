"""Results for Python users: typed attributes, JSON data, a repr of one line and a table in notebooks."""

import copy
import dataclasses
import json
from html.parser import HTMLParser

import pytest

import unerring
from unerring.processes.hanoi import Hanoi

NOISE = "noise/p=0.9,v=0.5"


class Cells(HTMLParser):
    """Reads an HTML table: its tags balance, and `texts` are those of its cells."""

    def __init__(self, html):
        super().__init__()
        self.open, self.texts = [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    """The journal of a finished run with flags and dissent."""
    path = tmp_path_factory.mktemp("result") / "run.db"
    unerring.run(Hanoi(3), NOISE, path, k=3, seed=2)
    return path


@pytest.fixture(scope="module")
def result(journal):
    return unerring.resume(journal)


def test_a_report_has_attributes_and_is_still_a_dict(result, journal):
    """Code that subscripts, merges, compares or dumps a report works as with a dict."""
    report = result.report
    assert report.steps == report["steps"] == report.get("steps") == 7
    assert [*report] == [field.name for field in dataclasses.fields(report)]
    assert {**report} == report == unerring.report(journal) == json.loads(json.dumps(report))
    assert json.dumps(report) == json.dumps(report.to_dict())
    assert type({"answer": 1} | report) is type(report.to_dict()) is dict
    assert copy.deepcopy(report) == report


def test_a_result_becomes_json_data(result, journal):
    """`to_dict` has every field, and the report as a dict in it."""
    data = result.to_dict()
    assert json.loads(json.dumps(data)) == data
    assert data == {
        "state": result.state,
        "steps": 7,
        "answer": None,
        "journal": str(journal),
        "report": result.report.to_dict(),
    }


def test_steps_become_json_data(journal):
    """`to_dict` of a step has every field of it and of its samples, as JSON data."""
    for step in unerring.steps(journal):
        data = step.to_dict()
        assert json.loads(json.dumps(data)) == data
        assert [*data] == [field.name for field in dataclasses.fields(step)]
        assert data["choice"] == step.choice
        for sample, written in zip(step.samples, data["samples"], strict=True):
            assert [*written] == [field.name for field in dataclasses.fields(sample)]
            assert written["finish"] == sample.finish.value


def test_a_repr_is_one_short_line_that_names_what_it_is_of(result, journal):
    """A result, a report, a step and a sample take one line in a console, however large they are."""
    step = next(step for step in unerring.steps(journal) if step.flags)
    flagged = next(sample for sample in step.samples if sample.flag)
    lines = [repr(one) for one in (result, result.report, step, flagged)]
    assert [len(line.splitlines()) for line in lines] == [1] * 4
    assert max(map(len, lines)) < 250
    assert "hanoi: 7 of 7 steps" in lines[0]
    assert str(journal) in lines[0]
    assert lines[1] == f"<Report of hanoi with {NOISE},c=0.0, finished: 7 of 7 steps>"
    assert lines[2].startswith(f"<Step {step.step}: ")
    assert f"flagged as {flagged.flag}" in lines[3]


def test_notebooks_show_a_table_with_texts_escaped(result, journal):
    """The tables are well-formed HTML, and texts of models cannot become markup."""
    for one in (result, result.report, *unerring.steps(journal)):
        assert Cells(one._repr_html_()).texts
    step = dataclasses.replace(next(unerring.steps(journal)), question=("<script>alert(1)</script>",))
    assert "<script>alert(1)</script>" in Cells(step._repr_html_()).texts
