"""The HTML page of a report loads nothing from elsewhere, shows untrusted text as text, and has the report's data."""

import json
import re
from html import escape
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

import unerring
from unerring import Options, Sample
from unerring.cli.figures.html import page, write_report
from unerring.cli.figures.run_plots import run_panels
from unerring.cli.text.report import printable
from unerring.core.reporting.timeline import Timeline
from unerring.core.voting.canonical import canonical
from unerring.errors import ProviderDown, Stopped
from unerring.testing import ScriptedSampler

EVIL = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style></pre><svg onload=alert(1)>",
    "<!-- --><iframe src=//evil.example>",
    "javascript:alert(1)",
    "&lt;b&gt;&#x202e;",
    "url(#x);@import 'http://evil.example'",
    "\u202ekcab\u2066\u200b\ufeff",
    "nul\x00esc\x1b[31m\r\n\t\x85\u2028",
    "\ud800half",
    "$\\frac{1}{0}$",
]


class Page(HTMLParser):
    """The elements of a page and its visible text."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.shown = self.style = ""
        self.tables = {}
        self._rows, self._cell = [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag in {"td", "th", "caption"}:
            self._cell = ""
        if tag == "tr":
            self._rows.append([])

    def handle_data(self, data):
        if self.elements[-1:] and self.elements[-1][0] == "style":
            self.style += data
        self.shown += data
        if self._cell is not None:
            self._cell += data

    def handle_endtag(self, tag):
        if tag == "caption":
            self._rows = self.tables[self._cell] = []
        elif tag in {"td", "th"}:
            self._rows[-1].append(self._cell)
        if tag in {"td", "th", "caption"}:
            self._cell = None


def written(journal, out):
    """The text of a journal's page."""
    write_report(journal, out)
    return out.read_text(encoding="utf-8")


class Words:
    """A chain with the parameters and choices that a test gives it."""

    def __init__(self, words, named):
        self.words, self.named = words, named

    def parameters(self):
        return self.named

    def start(self):
        return 0

    def subtask(self, state):
        return None if state == len(self.words) else unerring.Subtask(self.words[state], str)

    def advance(self, state, choice):
        return state + 1


@pytest.fixture(scope="module")
def text(journal, tmp_path_factory):
    """The page of that journal."""
    return written(journal, tmp_path_factory.mktemp("page") / "run.html")


@pytest.fixture(scope="module")
def report(journal):
    return unerring.report(journal)


@pytest.fixture(scope="module")
def panels(report):
    """The figures of that journal, for pages whose test is about something else."""
    return run_panels(report, Timeline())


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A run whose parameters, voters, texts and choices are all hostile, stopped by a provider's hostile error."""
    path = tmp_path_factory.mktemp("evil") / "evil.db"
    words = [word for word in EVIL if "\ud800" not in word]  # which is no text for a choice or a parameter
    script = {
        step: [Sample(word, voter=voter) for voter in (word, "<b>second", "\ud800half")]
        for step, word in enumerate(words)
    }
    script[len(words)] = [ProviderDown("<script>alert('quota')</script>\u202e")]
    chain = Words([*words, "one more"], {word: [word, {word: word}] for word in words})
    with pytest.raises(Stopped):
        unerring.run(chain, ScriptedSampler(script), path, k=3, options=Options(speculate="off"))
    return path


# --- it reaches nowhere, and runs nothing


def assert_inert(text):
    """Assert that a page has no element and no attribute that loads, runs or links anything; return it parsed."""
    parsed = Page(text)
    assert not {tag for tag, _ in parsed.elements} & {
        *("script", "iframe", "img", "image", "object", "embed", "a", "form", "base", "foreignobject", "video"),
    }
    for tag, attributes in parsed.elements:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href", "action", "srcset", "data", "poster"):
            assert attributes.get(name, "#").startswith("#") or (tag, attributes[name]) == ("link", "data:,")
        drawn = {name: value for name, value in attributes.items() if name != "aria-label"}
        assert not [value for value in drawn.values() if re.search(r"url\((?!#)|@import", value or "")]
    assert re.findall(r"url\(|@import|</", parsed.style) == []
    assert all(char.isprintable() or char == "\n" for char in text)
    return parsed


def test_the_page_loads_nothing_from_elsewhere(text):
    """The page names no other address and has no script."""
    assert_inert(text)


def test_the_page_has_a_strict_content_policy(text):
    """Its content security policy forbids all loading, and comes before anything that could load."""
    elements = Page(text).elements
    policies = [number for number, (_, given) in enumerate(elements) if given.get("http-equiv")]
    assert [elements[number][1]["content"] for number in policies] == [
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    ]
    assert {tag for tag, _ in elements[: policies[0]]} == {"html", "head", "meta"}


class Doubted(Words):
    """The same chain, with answers starting with `!` flagged for the reason that follows."""

    def subtask(self, state):
        return None if state == len(self.words) else unerring.Subtask(self.words[state], self.read)

    def read(self, text):
        if text.startswith("!"):
            raise unerring.RedFlag(text[1:])
        return text


def test_hostile_questions_answers_and_reasons_are_inert(tmp_path):
    """Hostile questions, rival answers, flagged samples and reasons of doubtful steps are shown as text."""
    path = tmp_path / "run.db"
    words = [word for word in EVIL if "\ud800" not in word]
    for first in (0, 6):  # a page shows ten steps
        some = words[first : first + 6]
        script = {step: [f"!because {word}", f"{word} rival", *[f"{word} won"] * 3] for step, word in enumerate(some)}
        unerring.run(Doubted(some, {}), ScriptedSampler(script), path, k=2, options=Options(speculate="off"))
        text = written(path, tmp_path / "run.html")
        parsed = assert_inert(text)
        assert parsed.shown.count("Asked:") == len(some)
        lines = [printable(line) for word in some for line in word.split("\n")]
        assert [line for line in lines if line not in parsed.shown.partition("The whole report as JSON")[0]] == []
        for word in some:
            assert printable(f"because {word}") in parsed.shown
            assert printable(canonical(f"{word} rival")) in parsed.shown
        path.unlink()
        path.with_name("run.db.head").unlink(missing_ok=True)


def test_a_hostile_journal_is_inert(hostile, tmp_path):
    """Markup, control characters and formulas in parameters, voters, choices and reasons are shown as text."""
    parsed = assert_inert(written(hostile, tmp_path / "evil.html"))
    for word in EVIL:
        assert printable(word) in parsed.shown
    assert "<script>alert('quota')</script>\\u202e" in parsed.shown


@pytest.fixture(scope="module")
def honest(report):
    """A report with a plan, its figures, and the kinds of elements of its page."""
    planned, timeline = report | {"plan": {"rule": "ahead-by 3", "p": [0.1, {"a": "b"}]}}, Timeline()
    timeline.add(True)
    drawn = run_panels(planned, timeline)
    return planned, drawn, {tag for tag, _ in Page(page(planned, drawn)).elements}


@pytest.mark.parametrize("word", EVIL, ids=range(len(EVIL)))
def test_any_text_of_a_report_may_be_hostile(honest, word):
    """With every text and every free name of the report replaced by a hostile one, the page has the same elements."""

    def turned(value, key=""):
        if isinstance(value, dict):
            free = key in {"parameters", "flags", "tallies", "plan"}
            return {name + word if free else name: turned(one, name) for name, one in value.items()}
        if isinstance(value, list):
            return [turned(one) for one in value]
        return word if isinstance(value, str) else value

    report, drawn, elements = honest
    bad = turned(report)
    # the figures with texts of the report in them, and no others: with nothing to count they are not drawn
    worded = run_panels(bad | {"votes_histogram": {}, "rounds_histogram": {}}, Timeline())
    shown = page(bad, drawn | {name: worded[name] for name in ("p", "flags")})
    assert {tag for tag, _ in assert_inert(shown).elements} == elements
    assert escape(printable(word)) in shown


# --- it tells what the report does


def test_the_whole_report_is_in_the_page(text, report):
    """The page also holds the report's data as JSON, digit for digit."""
    (data,) = re.findall(r"<pre>(.*?)</pre>", text, flags=re.S)
    parsed = Page(data)
    assert json.loads(parsed.shown) == json.loads(json.dumps(report))


def test_the_tables_have_the_figures_of_the_report(text, report):
    """The tables show the report's samples, tokens, flags, tallies, rounds and voters."""
    tables = Page(text).tables
    counted = dict(tables["Samples and tokens"][1:])
    samples, tokens = report["samples"], report["tokens"]
    assert counted == {
        "sent": f"{samples['sent']:,}",
        "received": f"{samples['received']:,}",
        "voted": f"{samples['voted']:,}",
        "flagged": f"{samples['flagged']:,}",
        "sent, with unknown outcome": "0",
        "given up after a wrong guess": "0",
        "calls that failed": "0",
        "tokens read": f"{tokens['input']:,}",
        "tokens written": f"{tokens['output']:,}",
    }
    for name, key in (("Red flags by cause", "flags"), ("Rounds of samples", "rounds_histogram")):
        assert dict(tables[name][1:]) == {one: f"{count:,}" for one, count in report[key].items()}
    assert dict(tables["Tallies: votes by choice"][1:21]).items() <= {
        (one, f"{count:,}") for one, count in report["tallies"].items()
    } | set(dict(tables["Tallies: votes by choice"][21:]).items())
    voters = tables["Voters; p is the probability that a vote is right"][1:]
    assert [row[:3] for row in voters] == [
        [one["name"], f"{one['votes']:,}", f"{one['flags']:,}"] for one in report["voters"]
    ]


def test_the_steps_nearest_to_wrong_are_those_of_the_certificate(text, report):
    """The steps most at risk are listed with tallies and margins, in the certificate's order."""
    rows = Page(text).tables["Steps most at risk of being wrong"][1:]
    assert [row[:3] for row in rows] == [
        [f"{one['step']:,}", "-".join(map(str, one["tally"])), str(one["margin"])]
        for one in report["certificate"]["nearest"]
    ]


def test_doubtful_steps_show_question_answers_and_flagged_samples(text, report):
    """Each doubtful step has a section with its question, all answers with their votes, and its flagged samples."""
    shown = Page(text).shown.partition("The whole report as JSON")[0]
    assert len(report["doubtful"]) == 10
    for step in report["doubtful"]:
        part = shown.partition(f"Step {step['step']}: ")[2].partition("Step ")[0]
        assert f"Asked:{step['question'][0]}" in part
        for answer in step["answers"]:
            assert answer["choice"] in part
        for group in step["flagged"]:
            assert group["reason"] in part
            assert group["example"] in part


def test_tables_of_counts_are_cut(report, panels):
    """After twenty rows a last one says how many rows and steps are left out."""
    many = report | {"tallies": {f"{n}-1": n for n in range(50, 10, -1)}}
    rows = Page(page(many, panels)).tables["Tallies: votes by choice"][1:]
    assert len(rows) == 21
    assert rows[-1] == ["20 others", str(sum(range(11, 31)))]


def test_the_headline_is_that_of_the_certificate(report, panels):
    """The number of wrong steps with its interval and the probability of none are at the top of the page."""
    changes = {"expected_wrong": 0.25, "wrong_interval": [0, 3]}
    changes |= {"zero_probability": 0.78, "zero_probability_low": 0.05}
    given = report | {"certificate": report["certificate"] | changes}
    shown = Page(page(given, panels)).shown
    assert (
        "0.25wrong steps expectedat most 3, at 95% confidence0.780probability of zero errorslower bound 0.050" in shown
    )


def test_warnings_and_assumptions_are_shown(report, panels):
    """Each warning has a box above the figures, and the assumptions are a list."""
    given = report | {"certificate": report["certificate"] | {"warnings": ["<w>"], "assumptions": ["a & b"]}}
    shown = page(given, panels)
    assert "<strong>Warning:</strong> &lt;w&gt;" in shown
    assert shown.index('class="alert"') < shown.index("<svg")
    assert "<li>a &amp; b</li>" in shown


@pytest.mark.parametrize("certificate", [None, {}, {"voters": []}, {"certifiable": False, "nearest": []}])
def test_a_report_with_less_of_a_certificate_has_a_page(report, certificate):
    """Fields that an older or unfinished certificate lacks are left out of the page."""
    given = report | {"certificate": certificate}
    assert_inert(page(given, run_panels(given, Timeline())))


def test_a_run_without_a_step_has_a_page(tmp_path):
    """A run that stopped before its first step says so, and nothing is certified."""
    path = tmp_path / "run.db"
    with pytest.raises(Stopped):
        unerring.run(Words(["a"], {}), ScriptedSampler([ProviderDown("no quota")]), path, k=1)
    shown = assert_inert(written(path, tmp_path / "run.html")).shown
    assert "paused (" in shown
    assert "No step is decided yet." in shown
    assert "Certificate" not in shown


# --- its figures


def test_the_figures_are_xml_with_unique_ids(text):
    """Each figure is well-formed XML, ids are unique on the page, and every reference has its target."""
    figures = re.findall(r"<svg.*?</svg>", text, flags=re.S)
    assert len(figures) == 5
    for figure in figures:
        assert ElementTree.fromstring(figure).get("aria-label")  # noqa: S314  (of our own making)
    ids = re.findall(r'\bid="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]*)\)", text)) | set(re.findall(r'href="#([^"]*)"', text)) <= set(ids)


def test_the_figures_have_the_colours_of_the_page(text):
    """Figures use the page's colour variables alone, each defined for light and for dark screens."""
    used = {
        name
        for figure in re.findall(r"<svg.*?</svg>", text, flags=re.S)
        for name in re.findall(r"var\(--(\w+)", figure)
    }
    assert not re.findall(r"#[0-9a-fA-F]{6}\b", "".join(re.findall(r"style=\"[^\"]*\"", text)))
    assert {"ink", "grid", "blue", "vermilion"} <= used
    light, dark = text.partition("@media (prefers-color-scheme: dark)")[::2]
    for sheet in (light, dark.partition("\n}")[0]):
        assert used <= set(re.findall(r"--(\w+): #", sheet))
