"""The how-to pages: their Python compiles or runs, and their commands have existing options."""

import re
import shlex
from pathlib import Path

import pytest

from unerring.adapters.http.spec import KEY_VARIABLES, parse_spec
from unerring.adapters.litellm import _parsed as parsed_litellm
from unerring.cli.main import commands as command_line
from unerring.runtime.protocols import Endpoint

PAGES = sorted((Path(__file__).parents[2] / "docs" / "howto").glob("*.md"))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page, kind):
    """The code blocks of a page that are of a kind."""
    return [text for found, text in BLOCK.findall(page.read_text(encoding="utf-8")) if found == kind]


def commands(page):
    """The words of each unerring command in a page's code."""
    joined = "\n".join(blocks(page, "")).replace("\\\n", " ")
    lines = [line.partition("#")[0] for line in joined.splitlines() if "unerring " in line and "pip " not in line]
    return [shlex.split(line[line.index("unerring ") :]) for line in lines]


def models(page):
    """The models that a page names, in commands and in tables."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"(?:--model|--escalate) ([^\s`|]+)|`((?:openai|litellm)/[^\s`]+)`", text)
    return [
        one or other for one, other in found if not re.search(r"\.\.\.|\[|URL|HOST|PROVIDER|PWD|NAME", one + other)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_command_has_the_options_that_a_page_gives_it(page):
    """No page shows a command or an option that does not exist."""
    for _, name, *words in commands(page):
        options = {option for parameter in command_line.commands[name].params for option in parameter.opts}
        given = {word for word in words if word.startswith("--")}
        assert given <= options, f"{page.name}: unerring {name} has no {given - options}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_model_is_written_as_models_are(page):
    """Specifications of endpoints in the pages can be read."""
    for spec in models(page):
        if spec.startswith("openai/"):
            assert parse_spec(spec).name == spec
        elif spec.startswith("litellm/"):
            parsed_litellm(spec)


def test_each_known_host_is_in_the_table_with_its_key():
    """The page of providers has every known host with the variable of its key."""
    [page] = [page for page in PAGES if page.stem == "openrouter-and-others"]
    rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    for host, variable in KEY_VARIABLES.items():
        assert any(f"`{variable}`" in row and (host in row or host == "api.openai.com") for row in rows), host


def test_the_example_class_is_an_endpoint():
    """The example class makes an endpoint, and its function one by name."""
    [page] = [page for page in PAGES if page.stem == "your-own-model"]
    shown = [text for text in blocks(page, "python") if "class Completions" in text or "def make(rest)" in text]
    names = {}
    exec("\n".join(shown), names)  # noqa: S102
    sampler = names["make"]("tiny-a@http://127.0.0.1:18080/v1")
    assert isinstance(sampler, Endpoint)
    assert (sampler.name, sampler.model) == ("acme/tiny-a@http://127.0.0.1:18080/v1", "tiny-a")


def test_the_example_of_one_question_runs(tmp_path, monkeypatch, capsys):
    """The example decides its question; run a second time it gives what its journal holds."""
    monkeypatch.chdir(tmp_path)
    [page] = [page for page in PAGES if page.stem == "one-question"]
    example, with_tools = blocks(page, "python")
    for _ in range(2):
        exec(example, {"__name__": "example"})  # noqa: S102
        assert capsys.readouterr().out.startswith("2026-12-24 {")
    exec(with_tools, {"__name__": "example"})  # noqa: S102
    assert capsys.readouterr().out == "find_flight 2026-12-24\n"


def test_the_examples_of_functions_run(tmp_path, monkeypatch, capsys):
    """Each block of the page runs after those before it; a second time they give the same, and nothing is posted."""
    monkeypatch.chdir(tmp_path)
    [page] = [page for page in PAGES if page.stem == "functions"]
    sessions = []
    for _ in range(2):
        names = {"__name__": "__main__"}
        for example in blocks(page, "python"):
            exec(example, names)  # noqa: S102
        sessions.append(capsys.readouterr().out.splitlines())
    first, second = sessions
    assert first[:2] == ["posted Office, March as rent", "posted Train to Rome as travel"]
    assert first[2:] == second
    assert re.fullmatch(r"\d{4}-\d\d-\d\d: 1 for rent", second[1])
    assert second[2:] == [
        "['paid 40', 'paid 40']",
        "27",
        "['rent', 'travel', 'a person has to look at step 2']",
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_in_the_pages_is_python(page):
    """Each block compiles."""
    for text in blocks(page, "python"):
        compile(text, page.name, "exec")
