"""Figures of calibrations draw what was counted, and their files hold nothing but the picture."""

import subprocess
import sys
from collections import Counter
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unerring.cli.figures import svg as drawing
from unerring.cli.figures.calibration_plots import (
    SHARE_BINS,
    by_logprob,
    draw_calibration,
    edges_of,
    flags_of,
    rates_of,
    repeats_of,
)
from unerring.core.planning.calibration import LOGPROB_EDGES, Calibration, ErrorStep, VoterCount, VoterOnErrorStep
from unerring.core.planning.estimates import IntervalEstimate, ensemble_estimate, voter_estimate
from unerring.core.voting.sample import Usage
from unerring.errors import InputError

NAMES = ["error_rates", "further_looks", "log_probability", "flags"]


def voter(name="one", wrong=3, bins=None, flags=(), steps=1000):
    """A voter of 1,000 steps; `bins` maps a bin's number to its right and wrong votes."""
    flags = Counter(flags)
    parted = [[0, 0] for _ in range(len(LOGPROB_EDGES) + 2)]
    for number, counts in (bins or {}).items():
        parted[number] = list(counts)
    return VoterCount(name, steps, flags.total(), steps, wrong, 0, 0, Usage(10, 5), flags, parted)


def calibrated(*voters, troubles=()):
    """A calibration of these voters; for each a tuple of (right, wrong) counts on its troubled steps."""
    found = Calibration("tale", {}, "made/up", "truth", 0.1, voters=list(voters), steps=1000, samples=5000)
    for number, each in enumerate(troubles):
        parts = tuple(VoterOnErrorStep(right, wrong, wrong > 0, 0) for right, wrong in each)
        found.error_steps.append(ErrorStep(number, parts, 0, 0))
    return found


@pytest.fixture(scope="module")
def full():
    """A calibration that has data for every figure; tests must not change it."""
    one = voter("one", 3, {2: (5, 2), 10: (900, 0)}, {"malformed": 4, "too long": 1})
    two = voter("two", 0, {}, {"truncated": 2})
    return calibrated(one, two, troubles=[((5, 20), (25, 0)), ((24, 1), (25, 0)), ((20, 5), (0, 25))])


@pytest.fixture(scope="module")
def drawn(full, tmp_path_factory):
    """The files of a calibration's figures."""
    return draw_calibration(full, tmp_path_factory.mktemp("drawn"))


def parsed(path):
    """The elements of an SVG file."""
    return list(ElementTree.fromstring(path.read_bytes()).iter())  # noqa: S314  (of our own making)


# --- what is drawn


def test_the_rates_are_those_of_the_estimates(full):
    """The rates are 1 - p and 1 - v, with exact intervals, of each voter and of all together."""
    estimates = [voter_estimate(full, 0), voter_estimate(full, 1), ensemble_estimate(full)]
    assert [(one.wrong, one.flagged) for one in rates_of(full)] == [(one.p.rest, one.v.rest) for one in estimates]
    assert rates_of(full)[0].wrong.estimate == pytest.approx(0.003)


def test_one_voter_has_no_ensemble():
    """A single voter gets no second entry for the ensemble."""
    assert [one.name for one in rates_of(calibrated(voter()))] == ["one"]


def test_repeat_samples_are_counted_by_their_share_of_wrong_votes(full):
    """Steps with 19, 0 and 4 wrong of 24 repeat samples are put into twelfths.

    The last has the steps that are always wrong.
    """
    first, second = repeats_of(full)
    assert {part: steps for part, steps in enumerate(first.counted) if steps} == {9: 1, 0: 1, 2: 1}
    assert {part: steps for part, steps in enumerate(second.counted) if steps} == {0: 2, SHARE_BINS - 1: 1}


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 30)), min_size=1, max_size=20), st.integers(0, 1000))
def test_the_curve_of_independent_errors_has_as_many_steps_as_were_sampled_again(votes, wrong):
    """The expected counts for independent errors sum to the number of steps, whatever the error rate."""
    found = repeats_of(calibrated(voter(wrong=wrong), troubles=[(one,) for one in votes]))
    for looks in found:
        assert sum(looks.scattered) == pytest.approx(sum(looks.counted))


def test_the_curve_of_independent_errors_is_binomial():
    """At an error rate of 1/2, two repeat samples are both right on 1/4 of the steps, and both wrong on 1/4."""
    looks = repeats_of(calibrated(voter(wrong=500), troubles=[((2, 1),)] * 4))[0]
    assert [looks.scattered[part] for part in (0, SHARE_BINS // 2, SHARE_BINS - 1)] == pytest.approx([1.0, 2.0, 1.0])


def test_log_probabilities_are_shown_where_there_are_any(full):
    """Each bin has its share of wrong votes with an interval; votes without a log-probability are left out."""
    voters = by_logprob(full)
    assert [one.name for one in voters] == ["one"]
    assert voters[0].wrong == {2: IntervalEstimate.of(2, 7)}


def test_the_bins_are_named_by_their_edges():
    """Each bin's label has its lower and its upper edge."""
    assert [edges_of(part) for part in (0, 1, len(LOGPROB_EDGES))] == ["below −1", "−1 to −0.3", "from −0.0001"]


def test_flags_are_shares_of_the_first_samples(full):
    """Each voter's flags are counted by cause, as shares of the steps that it was asked."""
    assert [one.shares for one in flags_of(full)] == [{"malformed": 0.004, "too long": 0.001}, {"truncated": 0.002}]
    assert flags_of(calibrated(voter())) == []


# --- the files


def test_every_figure_is_drawn(full, tmp_path, capsys):
    """The folder is made, and each figure is an SVG file in it."""
    written = draw_calibration(full, tmp_path / "folder")
    assert written == [tmp_path / "folder" / f"{name}.svg" for name in NAMES]
    for path in written:
        assert parsed(path)[0].tag == "{http://www.w3.org/2000/svg}svg"
    assert capsys.readouterr() == ("", "")


def test_the_figures_are_the_same_bytes_each_time(full, drawn, tmp_path):
    """Drawing a figure twice gives the same bytes: it has no date and no random name."""
    assert [path.read_bytes() for path in draw_calibration(full, tmp_path)] == [path.read_bytes() for path in drawn]


def test_a_figure_refers_only_to_itself(drawn):
    """A figure refers only to its own parts, whose ids are unique, and has no script."""
    for path in drawn:
        elements = parsed(path)
        ids = [element.get("id") for element in elements if element.get("id")]
        assert len(ids) == len(set(ids))
        assert not any(element.tag.endswith(("}script", "}image", "}a", "}foreignObject")) for element in elements)
        links = [value for one in elements for key, value in one.attrib.items() if key.endswith(("href", "src"))]
        assert links
        assert all(link.startswith("#") and link[1:] in ids for link in links)


def test_a_figure_that_shows_nothing_is_left_out(tmp_path, capsys):
    """A voter without errors, flags and log-probabilities has one figure; a line says why the others are missing."""
    written = draw_calibration(calibrated(voter(wrong=0)), tmp_path)
    assert [path.stem for path in written] == ["error_rates"]
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(", since ")[2] for line in lines] == [
        "no voter erred, so no step was asked again",
        "no vote came with a log-probability",
        "no sample was flagged",
    ]
    assert all(line.startswith(f"not drawn: {tmp_path}") for line in lines)


def test_a_voter_may_have_any_name(tmp_path):
    """Any name is drawn as text, with control characters escaped, and never read as markup or as a formula."""
    names = ["$x^2$", "$broken", "<b>&amp;", "a--b", "\x00\u202ename\n", "\ud800", "日本語", ""]
    voters = [voter(name, 3, {2: (5, 2)}, {"malformed": 4}) for name in names]
    for path in draw_calibration(calibrated(*voters, troubles=[((5, 20),) * len(names)]), tmp_path):
        assert parsed(path)
        assert all(char.isprintable() or char == "\n" for char in path.read_text(encoding="utf-8"))


def test_a_long_name_is_cut(tmp_path):
    """A long name is shortened, also in the comments that matplotlib writes next to its outlines."""
    drawn = draw_calibration(calibrated(voter("m" * 200)), tmp_path)[0].read_text(encoding="utf-8")
    assert "<!-- " + "m" * (drawing.MAX_NAME_CHARS - 1) + "… -->" in drawn


def test_many_voters_fit(tmp_path):
    """Twelve voters are drawn, which is more than there are colours and markers."""
    voters = [voter(f"voter {n}", n, {n % 9: (5, 1)}, {f"cause {n}": n}) for n in range(12)]
    assert len(draw_calibration(calibrated(*voters, troubles=[((20, 5),) * 12]), tmp_path)) == 4


def test_drawing_leaves_the_users_style_alone(full, drawn, tmp_path):
    """The user's matplotlib settings do not change the figures, and drawing does not change the settings."""
    plain = [path.read_bytes() for path in drawn]
    with mpl.rc_context({"axes.facecolor": "red", "font.size": 30.0, "svg.fonttype": "none"}):
        before = dict(mpl.rcParams)
        assert [path.read_bytes() for path in draw_calibration(full, tmp_path)] == plain
        assert dict(mpl.rcParams) == before


# --- where it fails


def test_without_matplotlib_the_extra_is_named(full, tmp_path, monkeypatch):
    """Without matplotlib the error names the extra to install, and no folder is made."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"pip install 'unerring\[plots\]'"):
        draw_calibration(full, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_made_is_an_error(full, tmp_path):
    """A file where the folder or a folder where a figure should be is reported in one line."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot make the folder"):
        draw_calibration(full, tmp_path / "file")
    (tmp_path / "flags.svg").mkdir()
    with pytest.raises(InputError, match=r"cannot write the figure .*flags\.svg: "):
        draw_calibration(full, tmp_path)


def test_the_command_draws(cli, tmp_path):
    """`calibrate --plots` lists on stderr the figures that it drew and those that it left out."""
    model = ("--model", "noise/p=0.8,v=0.9")
    done = cli("calibrate", "hanoi", "--set", "disks=4", *model, "--samples", "40", "--plots", "figures")
    assert done.code == 0
    drawn = [line for line in done.err.splitlines() if line.startswith("drawn: ")]
    assert [line.removeprefix("drawn: ") for line in drawn] == [
        f"figures/{path.name}" for name in NAMES for path in (tmp_path / "figures").glob(f"{name}.svg")
    ]
    assert "not drawn: figures/log_probability.svg" in done.err
    refused = cli("calibrate", "hanoi", "--set", "disks=4", *model, "--samples", "40", "--plots", "none/figures")
    assert refused.code == 2
    assert "cannot make the folder none/figures for the figures: No such file or directory" in refused.err


def test_matplotlib_is_loaded_to_draw_and_not_before():
    """Importing the command line and the drawing code does not load matplotlib; drawing does."""
    modules = "unerring.cli.main, unerring.cli.figures.html, unerring.cli.figures.calibration_plots"
    code = f"import sys, {modules}; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
