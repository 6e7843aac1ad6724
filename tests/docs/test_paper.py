"""The paper's table and figures as docs/paper publishes them, and the scripts that make them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "paper"
SCRIPTS = ROOT / "benchmarks" / "paper"
FIGURES = json.loads((DOCS / "figures.json").read_text(encoding="utf-8"))
PAGE = (DOCS / "README.md").read_text(encoding="utf-8")

# k and dollars of the paper's table, section 4: 2^20 - 1 steps, target 0.95
PAPER = {
    "gpt-4.1-nano": (29, 41_900),
    "gpt-4.1-mini, temperature 1.0": (4, 4_900),
    "gpt-4.1-mini, temperature 0.1": (3, 3_500),
    "o3-mini (low)": (3, 9_400),
    "gpt-oss-20B": (6, 1_700),
}


def script(name, *arguments):
    """Run one of the scripts; returns its output."""
    command = [sys.executable, SCRIPTS / name, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The cost table as the script computes it now, by model."""
    folder = tmp_path_factory.mktemp("paper")
    script("costs.py", "--folder", folder)
    rows = json.loads((folder / "figures.json").read_text(encoding="utf-8"))["costs"]["rows"]
    return {row["name"]: row for row in rows}


@pytest.mark.parametrize("model", PAPER)
def test_every_margin_of_the_table_is_the_papers(table, model):
    """The formulas give each model of the paper's table exactly its k."""
    assert table[model]["k"] == PAPER[model][0]


@pytest.mark.parametrize("model", PAPER)
def test_every_cost_of_the_table_is_near_the_papers(table, model):
    """With input tokens included, each cost is within 5 % of the paper's."""
    assert table[model]["cost"] == pytest.approx(PAPER[model][1], rel=0.05)


def test_a_model_that_is_always_wrong_has_neither(table):
    """The paper's last row has no k and no cost."""
    assert (table["llama-3.2-3B"]["k"], table["llama-3.2-3B"]["cost"]) == (None, None)


def test_the_published_table_is_up_to_date(table):
    """The published table is what the formulas give now."""
    assert FIGURES["costs"]["rows"] == list(table.values())


def test_every_figure_of_the_page_exists():
    """Each image on the page is a file next to it, and there is no other image."""
    shown = set(re.findall(r"\]\(([\w-]+\.svg)\)", PAGE))
    assert shown == {file.name for file in DOCS.glob("*.svg")}
    assert shown


def test_the_page_is_what_its_figures_say(tmp_path):
    """Written again from figures.json, the page is the same: every number in it comes from there."""
    (tmp_path / "figures.json").write_bytes((DOCS / "figures.json").read_bytes())
    script("page.py", "--folder", tmp_path)
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == PAGE


def test_drawing_again_changes_nothing(tmp_path):
    """Drawn again from figures.json by the same matplotlib, the published files are the same to the byte."""
    matplotlib = pytest.importorskip("matplotlib")
    if matplotlib.__version__ != FIGURES["drawing"]["matplotlib"]:
        pytest.skip("another matplotlib draws otherwise")
    (tmp_path / "figures.json").write_bytes((DOCS / "figures.json").read_bytes())
    script("draw.py", "--folder", tmp_path)
    drawn, published = ({file.name: file.read_bytes() for file in place.iterdir()} for place in (tmp_path, DOCS))
    assert drawn == {name: text for name, text in published.items() if name != "README.md"}


def test_nothing_published_is_coarse():
    """No published figure was measured in the quick mode."""
    assert [name for name, section in FIGURES.items() if "--quick" in section["command"]] == []


@pytest.mark.slow
def test_all_scripts_run_through(tmp_path):
    """In quick mode every figure is measured and drawn and the page written, as `make paper` does at length."""
    pytest.importorskip("ctranslate2")
    pytest.importorskip("matplotlib")
    script("all.py", "--quick", "--folder", tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {file.name for file in DOCS.iterdir()}
    quick = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert quick.keys() == FIGURES.keys()


def test_a_sample_here_is_the_samplers():
    """The fast sampling of these scripts gives the samples of the shipped sampler."""
    pytest.importorskip("ctranslate2")
    program = f"""
import asyncio, sys
sys.path.insert(0, {str(SCRIPTS)!r})
from voters import Ensemble, question
from unerring import Hanoi, Settings
from unerring.adapters.embedded.sampler import EmbeddedSampler

asked = [question(Hanoi(20), number) for number in (16, 73, 500_000)]
sampler = EmbeddedSampler("embedded/b", 5)
theirs = [
    sample.text
    for one in asked
    for sample in asyncio.run(sampler.sample(one.prompt, Settings(1.0, 64, 5, one.number, 0), 4))
]
def ours(voter, paths):
    several = [(one, path, slot) for one, path in zip(asked, paths) for slot in range(4)]
    return [voter.member.tokenizer.decode(written.tokens) for written in voter.samples(several, 5)]
assert Ensemble().each(asked, ours)[1] == theirs
sampler.close()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
