"""Reports as text have these rows, and nothing in them is obeyed by a terminal."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import unerring
from faults.answers import echoing, noise
from faults.server import serving
from unerring import Hanoi, Options, Policy, Sample, Stopped
from unerring.cli.text.report import chance, printable, probability, report_text
from unerring.core.voting.race import AheadBy
from unerring.testing import FakeClock, NoisySampler, ScriptedSampler


class Word:
    """A chain of one step whose choice is the answer's text."""

    def parameters(self):
        return {"language": "en"}

    def start(self):
        return 0

    def subtask(self, state):
        return None if state else unerring.Subtask("say", self.parse)

    def parse(self, text):
        if text.startswith("!"):
            raise unerring.RedFlag("no word")
        return text

    def advance(self, state, choice):
        return 1


def rows(text):
    """The report's rows as (name, value) pairs."""
    return [(line[:13].rstrip(), line[13:]) for line in text.splitlines()]


def row_values(result_or_path, path="run.db"):
    """The values of a report's rows by name; the last one if a name repeats."""
    report = unerring.report(result_or_path) if not isinstance(result_or_path, dict) else result_or_path
    return dict(rows(report_text(report, path)))


@pytest.fixture(scope="module")
def report():
    chain = Hanoi(disks=5)
    return unerring.run(chain, NoisySampler(chain.rehearse, 0.8, 0.8), k=3, seed=4).report


def test_a_report_has_its_rows_in_order(report):
    """The names and the order of the rows are stable."""
    before = ["process", "model", "rule", "status", "steps", "samples"]
    votes = ["red flags", "tokens", "votes a step", "dissent", "tallies", "rounds", "most samples", "speculation"]
    after = ["voter", "wrong steps", "most at risk", *["assumption"] * 3]
    assert [name for name, _ in rows(report_text(report, "run.db"))] == before + votes + after


def test_a_report_shows_what_was_run_and_how(report):
    """It has the process with parameters, model with seed, rule with temperatures, and the ending."""
    row = row_values(report)
    assert row["process"] == "hanoi disks=5 parser=strict"
    assert row["model"] == "noise/p=0.8,v=0.8,c=0.0, seed 4"
    assert row["rule"] == "ahead-by 3; temperature 0 for the first sample of a step, 0.1 for the others"
    assert row["status"] == "finished, in 1 session"
    assert row["steps"] == "31 of 31"


def test_the_figures_of_a_report_are_those_of_its_data(report):
    """The text has the figures of the JSON data."""
    row, samples = row_values(report), report["samples"]
    assert row["samples"].startswith(f"{samples['received']:,} received: {samples['voted']:,} votes, ")
    (why,) = report["flag_reasons"]
    assert row["red flags"] == f"malformed: {samples['flagged']:,} ({why['reason']})"
    assert row["dissent"].startswith(f"votes against the winner on {report['disagreements']:,} steps")
    assert row["votes a step"] == f"{report['votes_per_step']:.4f}"
    assert row["most samples"].count("step ") == 5
    (voter,) = report["voters"]
    votes = f"{samples['voted']:,} votes, {samples['flagged']:,} flagged"
    dissents = f"{voter['dissents']:,} against the winner ({voter['dissent']:.2%})"
    assert row["voter"].startswith(f"{report['model']}: {votes}, {dissents}; right with probability 0.")


def test_a_report_shows_how_speculation_went(report):
    """It has the steps asked ahead, their runs, wasted samples, and the speed-up if it was measured."""
    ahead = {"steps_ahead": 1200, "mean_run": 2.25, "longest_run": 1150, "wasted": 1234, "waste": 0.0125}
    row = row_values(report | {"speculation": ahead | {"speed_up": 12.34}})
    assert row["speculation"] == (
        "1,200 steps asked ahead of their turn, at most 1,150 in a row; "
        "1,234 samples wasted by wrong guesses (1.25%); "
        "12.3 times as fast as one call after the other"
    )
    for no_gain in (None, 0.00748, 1.0):
        assert row_values(report | {"speculation": ahead | {"speed_up": no_gain}})["speculation"].endswith(
            "wrong guesses (1.25%)"
        )


def test_a_run_that_asked_nothing_ahead_says_so():
    """The row of a run without speculation says that no step was asked ahead."""
    result = unerring.run(Word(), ScriptedSampler(["a"]), k=1, options=Options(speculate="off"))
    assert row_values(result.report)["speculation"] == "no step was asked ahead of its turn"


def test_no_row_ends_in_a_blank():
    """Rows have no trailing spaces, also for a process without parameters."""

    class Bare(Word):
        def parameters(self):
            return {}

    text = report_text(unerring.run(Bare(), ScriptedSampler(["a"]), k=1).report, "run.db")
    assert [line for line in text.splitlines() if line != line.rstrip()] == []


def test_the_flags_are_counted_by_cause():
    """Each cause of red flags has its count."""
    script = ["!", Sample("a", cached=True), Sample("a", finish=unerring.Finish.LENGTH), "!", "a"]
    row = row_values(unerring.run(Word(), ScriptedSampler(script), k=1).report)
    assert row["red flags"] == "copy: 1, malformed: 2 (no word), truncated: 1"


def test_a_run_without_flags_says_none():
    """Without red flags the row says "none"."""
    row = row_values(unerring.run(Word(), ScriptedSampler(["a"]), k=1).report)
    assert row["red flags"] == "none"
    assert all(value.strip() for value in row.values())


@pytest.mark.parametrize(
    ("script", "reason", "advice"),
    [
        (
            ["a", "b", "a", "b"],
            "undecided after 4 votes",
            "unerring review here/run.db; to allow it more: unerring resume here/run.db --vote-cap 8",
        ),
        (
            [*"ab", *"!!!!!!!!!"],
            "undecided after 2 votes",
            "unerring review here/run.db; to allow it more: unerring resume here/run.db --flag-cap 4",
        ),
        (["!"] * 99, "flagged samples", "to see it and decide: unerring review here/run.db"),
        ([unerring.ProviderDown("quota")], "quota", "continue with: unerring resume here/run.db"),
    ],
)
def test_a_stopped_run_says_why_and_how_to_continue(tmp_path, script, reason, advice):
    """The status of a paused run has the reason and the command, even before the first step is decided."""
    policy = Policy(AheadBy(2), vote_cap=4, flag_cap=2)
    with pytest.raises(Stopped):
        unerring.run(Word(), ScriptedSampler(script), tmp_path / "run.db", options=Options(policy=policy))
    row = row_values(tmp_path / "run.db", "here/run.db")
    assert reason in row["status"]
    assert row["status"].startswith("paused")
    assert row["status"].endswith(advice)
    assert row["steps"] == "0"


def test_samples_of_unknown_outcome_and_failed_calls_are_counted():
    """The report counts failed calls and samples whose outcome a crash left unknown."""
    script = [unerring.ProviderBusy("later"), "a"]
    result = unerring.run(Word(), ScriptedSampler(script), k=1, options=Options(clock=FakeClock()))
    assert "1 call failed: later" in row_values(result.report)["samples"]
    result.report["samples"]["unknown"] = 1234
    assert "1,234 sent with unknown outcome" in row_values(result.report)["samples"]


def test_every_voter_has_a_row():
    """A run with several models has a row of figures for each."""
    models = [ScriptedSampler([Sample("a", voter=name)] * 9) for name in ("one", "two")]
    text = report_text(unerring.run(Word(), models, k=4).report, "run.db")
    starts = [value.partition(";")[0] for name, value in rows(text) if name == "voter"]
    assert starts == [f"{name}: 2 votes, 0 flagged, 0 against the winner" for name in ("one", "two")]


VOTER = {"name": "one", "votes": 9, "flags": 0, "dissents": 0, "dissent": None}
CERTIFICATE = {
    "expected_wrong": 0.00031,
    "zero_probability": 0.99969,
    "zero_probability_low": 0.9,
    "wrong_interval": [0, 2],
    "voters": [{"name": "one", "p": 0.99982, "votes": 900, "planned": [0.9996, 0.9998, 0.9999]}],
    "repeat": 0.5,
    "nearest": [{"step": 12, "tally": [6, 3], "margin": 3, "rounds": 3, "flags": 1, "wrong_probability": 0.00031}],
    "assumptions": ["all is well"],
    "warnings": ["all is not well"],
    "certifiable": True,
}


def test_a_report_shows_its_certificate(report):
    """It has wrong steps expected and at most, the steps most at risk, each voter's p, warnings and assumptions."""
    voter = {"name": "one", "votes": 9, "flags": 1, "dissents": 2, "dissent": 0.25}
    row = row_values(report | {"certificate": CERTIFICATE, "voters": [voter]})
    assert (
        row["wrong steps"]
        == "0.00031 expected (at most 2, at 95% confidence); zero errors with probability 0.99969 (at least 0.900)"
    )
    assert row["most at risk"] == "step 12 (6-3, wrong with probability 1 in 3,200)"
    assert row["voter"] == (
        "one: 9 votes, 1 flagged, 2 against the winner (25.00%); right with probability 0.99982 "
        "(planned 0.99960 to 0.99990)"
    )
    assert (row["warning"], row["assumption"]) == ("all is not well", "all is well")


def test_a_voter_whose_p_is_not_known_has_the_planned_one(report):
    """A voter with too few votes is shown with its planned p, and one without votes has no share."""
    for few in ({"p": None}, {"votes": 99}):
        unknown = CERTIFICATE | {"voters": [CERTIFICATE["voters"][0] | few]}
        row = row_values(report | {"certificate": unknown, "voters": [VOTER]})
        assert row["voter"] == "one: 9 votes, 0 flagged (planned 0.99960 to 0.99990)"


@pytest.mark.parametrize(
    ("changes", "beginning"),
    [
        (
            {"wrong_interval": [0, 0]},
            "0.00031 expected (none, at 95% confidence); zero errors with probability 0.99969",
        ),
        (
            {"expected_wrong": 1234.5},
            "1,234 expected (at most 2, at 95% confidence); zero errors with probability 0.99969",
        ),
        (
            {"expected_wrong": 12.34, "wrong_interval": [3, 1200]},
            "12 expected (3 to 1,200, at 95% confidence); zero errors with",
        ),
        (
            {"expected_wrong": 1e-9, "zero_probability": 1.0},
            "less than 0.0001 expected (at most 2, at 95% confidence); zero errors with",
        ),
        ({"expected_wrong": None, "wrong_interval": [0, 5000]}, "at most 5,000; the votes show no more"),
        (
            {"zero_probability": 1e-30},
            "0.00031 expected (at most 2, at 95% confidence); zero errors with probability below 0.001",
        ),
    ],
)
def test_wrong_steps_are_one_short_line(report, changes, beginning):
    """Few or many, certain or unknown wrong steps are described in one short line."""
    assert row_values(report | {"certificate": CERTIFICATE | changes})["wrong steps"].startswith(beginning)


def test_a_run_of_single_votes_is_not_certified():
    """At k = 1 the report says why the votes cannot show wrong steps."""
    row = row_values(unerring.run(Word(), ScriptedSampler(["a"]), k=1).report)
    assert row["wrong steps"] == "at most 1; the votes show no more"
    assert "single vote" in row["warning"]
    assert "nearest" not in row


@pytest.mark.parametrize(
    ("p", "shown"),
    [(1.0, "1"), (0.9997, "0.99970"), (0.5, "0.500"), (0.99, "0.990"), (1e-9, "below 0.001"), (0.0, "0")],
)
def test_a_probability_near_1_has_enough_digits(p, shown):
    """A probability near 1 has as many digits as show its distance from 1."""
    assert probability(p) == shown


@pytest.mark.parametrize(
    ("p", "shown"),
    [
        (0.31, "31.0%"),
        (0.01, "1.0%"),
        (0.00029, "1 in 3,400"),
        (1e-15, "less than 1 in a trillion"),
        (0.0, "less than 1"),
    ],
)
def test_a_small_probability_is_one_in_so_many(p, shown):
    """Small probabilities are written as one in so many, large ones as percentages."""
    assert chance(p).startswith(shown)


CONTROLS = ["\x00", "\x07", "\x08", "\t", "\n", "\r", "\x1b", "\x7f", "\x85", "\x9b", "\u200b", "\u202e", "\u2028"]


@pytest.mark.parametrize(
    "char", [*CONTROLS, "\u2066", "\ufeff", "\ud800", "\U000e0041"], ids=lambda char: hex(ord(char))
)
def test_a_control_character_is_escaped(char):
    """Control, formatting and unassigned characters are escaped as in Python source."""
    shown = printable(f"a{char}b")
    assert shown == "a" + repr(char)[1:-1] + "b"
    assert shown.isprintable()


@pytest.mark.parametrize("text", ["", "plain", "naïve café", "日本語", "🙂", "a\\nb", "'quoted' \"twice\""])
def test_ordinary_text_is_left_alone(text):
    """Letters of any script, quotes and backslashes are unchanged."""
    assert printable(text) == text


@given(st.text(alphabet=st.characters(exclude_categories=[])))
@settings(max_examples=300, deadline=None)
def test_no_text_reaches_a_terminal_with_a_control_in_it(text):
    """The escaped form of any text has printable characters only, on one line."""
    shown = printable(text)
    assert all(unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in shown)
    assert len(shown.splitlines()) <= 1
    shown.encode()


HOSTILE = "\x1b[2J\x1b]0;owned\x07\r\u202e\nstatus       finished"


def test_no_part_of_a_report_can_forge_a_row(report):
    """Line ends and escapes in names, parameters, reasons and voters cannot add or hide a row."""
    voter = report["certificate"]["voters"][0] | {"name": HOSTILE}
    plain = report | {"certificate": report["certificate"] | {"warnings": ["a warning"]}}
    hostile = report | {
        "process": HOSTILE,
        "parameters": {HOSTILE: HOSTILE},
        "model": HOSTILE,
        "status": "paused",
        "stopped": {"kind": HOSTILE, "reason": HOSTILE},
        "flags": {HOSTILE: 1},
        "tallies": {HOSTILE: 1},
        "voters": [VOTER | {"name": HOSTILE}],
        "policy": report["policy"] | {"rule": HOSTILE},
        "certificate": report["certificate"] | {"voters": [voter], "warnings": [HOSTILE]},
    }
    text = report_text(hostile, HOSTILE)
    assert len(text.splitlines()) == len(report_text(plain, "run.db").splitlines())
    assert all(char.isprintable() or char == "\n" for char in text)


def test_a_report_of_many_tallies_stays_short(report):
    """Long tables are cut, with a mark."""
    many = report | {"tallies": {f"{n}-1": 1 for n in range(500)}}
    row = row_values(many)["tallies"]
    assert row.endswith(", ...")
    assert len(row) < 200


def test_texts_and_choices_are_not_in_the_report():
    """The report has figures only, and no text or choice of the model."""
    result = unerring.run(Word(), ScriptedSampler(["secret word"]), k=1)
    assert "secret" not in str(result.report)
    assert "secret" not in report_text(result.report, "run.db")


def test_settings_that_change_what_counts_are_shown(tmp_path):
    """Nonces, echoes, the least number of replies, a strict budget and samples set aside have a line each."""
    journal = tmp_path / "run.db"
    request = unerring.Request(nonce=True, echo=True)
    budget, guards = unerring.Budget(calls=50, strict=True), unerring.Guards(probe=False)
    with serving(models={"m": echoing(noise(p=1.0))}) as server:
        options = Options(request=request, min_replies=2, budget=budget, guards=guards)
        unerring.run(Hanoi(2), f"openai/m@{server.url}", journal, k=2, options=options)
    text = report_text(unerring.report(journal) | {"set_aside": 3}, "run.db")
    for words in (
        "request      each ends with a unique line, so that no cache can answer it (nonce)",
        "request      each answer must end with a word of its own request (echo)",
        "; a winner's votes come from at least 2 replies",
        "3 of them set aside, which did not count",
        "strict: a call billed above its worst case stops the run",
    ):
        assert words in text
