"""A user's own models by name: those of installed packages, and those of modules."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from unerring.adapters.function import FunctionSampler
from unerring.adapters.plugins import installed_models, parameter_text, parse_parameter, user_sampler
from unerring.adapters.providers import PROVIDERS
from unerring.core.voting.canonical import canonical
from unerring.errors import InputError
from unerring.runtime.protocols import Sampler

# What a user may have written.
ACME = """
import unerring
from unerring.processes.hanoi import Hanoi

class Model:
    paid = False
    compact = True

    def __init__(self, label="", share=1.0):
        self.label, self.share, self.name = label, share, "my model"

    async def sample(self, prompt, settings, n):
        return [unerring.Sample(Hanoi().rehearse(prompt).right, voter="acme") for _ in range(n)]

def make(rest):
    return Model(rest)

def ask(prompt, settings):
    chain = Hanoi(3)
    return Hanoi().rehearse(chain.subtask(chain.state_at(settings.step)).compact).right

def remove(path, ignore_errors=False):
    raise AssertionError("this is no model, and was called")

class Tripwire:
    def __init__(self):
        raise AssertionError("this is no sampler, and was made")

class Broken(Model):
    def __init__(self):
        raise RuntimeError("no weights\\nin /models")

class Canonical(Model):
    def __init__(self, size=1):
        super().__init__()
        self.name = f"acme_models:Canonical,size={float(size):g}"

class Fixed(Model):
    name = property(lambda self: "the best", lambda self, name: None)
    def __init__(self):
        pass

class ReadOnly(Fixed):
    name = property(lambda self: "the best")

class Unpaid(Model):
    paid = None

def none(rest):
    return None

def classes(rest):
    return Model

ready = Model("ready")
number = 7
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A directory on Python's path with a user's module in it."""
    place = tmp_path / "site"
    place.mkdir()
    (place / "acme_models.py").write_text(ACME)
    (place / "acme_broken.py").write_text("raise ValueError('it is\\nbroken')\n")
    (place / "acme_exits.py").write_text("raise SystemExit(3)\n")
    monkeypatch.syspath_prepend(str(place))
    return place


def install(site: Path, package: str, **points: str) -> None:
    """Write the metadata of an installed distribution, with its entry points, into a directory."""
    folder = site / f"{package}-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = "\n".join(f"{name} = {value}" for name, value in points.items())
    (folder / "entry_points.txt").write_text(f"[unerring.samplers]\n{lines}\n")


def test_a_registered_name_makes_a_sampler_from_what_follows_it(site):
    """NAME/rest is made by the package's function from rest."""
    install(site, "acme", acme="acme_models:make")
    sampler = user_sampler("acme/large,fast=1")
    assert isinstance(sampler, Sampler)
    assert sampler.label == "large,fast=1"


def test_a_registered_name_works_alone(site):
    """NAME alone is made from an empty text."""
    install(site, "acme", acme="acme_models:make")
    assert user_sampler("acme").label == ""


def test_names_that_packages_bring_are_listed(site):
    """Registered names are listed for the message about a mistyped one."""
    assert "acme" not in installed_models()
    install(site, "acme", acme="acme_models:make", openai="acme_models:make")
    assert "acme" in installed_models()
    assert "openai" not in installed_models()


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_a_name_of_a_shipped_provider_cannot_be_taken_over(site, name):
    """A package's entry under the name of a shipped provider is ignored."""
    install(site, "acme", **{name: "acme_models:make"})
    assert user_sampler(f"{name}/anything") is None


def test_a_name_that_two_packages_register_is_refused(site):
    """An ambiguous name is refused, with both packages named."""
    install(site, "acme", acme="acme_models:make")
    install(site, "bcme", acme="acme_models:classes")
    with pytest.raises(InputError, match="acme and bcme"):
        user_sampler("acme/large")


def test_a_package_that_is_found_twice_counts_once(site, tmp_path, monkeypatch):
    """The same package on two places of the path, as after an editable install, is no conflict."""
    other = tmp_path / "other"
    other.mkdir()
    install(site, "acme", acme="acme_models:make")
    install(other, "acme", acme="acme_models:make")
    monkeypatch.syspath_prepend(str(other))
    assert user_sampler("acme/large").label == "large"


@pytest.mark.parametrize("spec", ["llama", "llama/7b", "llama3.1:8b", "", "a/b:c", ":", "acme_models:", ":Model"])
def test_other_specifications_are_not_plugins(site, spec):
    """A specification that is neither registered nor a module's name is left to others."""
    assert user_sampler(spec) is None


def test_a_class_of_a_module_is_made_with_its_parameters(site):
    """Values are read as JSON if possible, else as text; a comma within a value does not end it."""
    sampler = user_sampler("acme_models:Model,share=0.5,label=a,b")
    assert (sampler.share, sampler.label) == (0.5, "a,b")


def test_an_object_of_a_module_is_taken_as_it_is(site):
    """A sampler that the module has already made is used."""
    assert user_sampler("acme_models:ready").label == "ready"


def test_a_function_of_prompt_and_settings_is_a_model(site):
    """A function of (prompt, settings) is used like one passed from Python."""
    sampler = user_sampler("acme_models:ask")
    assert isinstance(sampler, FunctionSampler)
    assert sampler.name == "acme_models:ask"


def test_a_sampler_is_named_by_the_words_that_make_it_again(site):
    """Journals keep the name, and a resumed run makes the sampler from it."""
    assert user_sampler("acme_models:Model,share=0.5").name == "acme_models:Model,share=0.5"
    install(site, "acme", acme="acme_models:make")
    assert user_sampler("acme/large").name == "acme/large"


def test_a_samplers_own_name_is_kept_if_it_begins_alike(site):
    """A sampler may name itself in one form for all specifications that mean the same."""
    assert user_sampler("acme_models:Canonical,size=2.0").name == "acme_models:Canonical,size=2"


def test_a_class_that_is_no_sampler_is_never_called(site):
    """A journal may name anything, so an object that does not look like a sampler is not called."""
    for name in ("Tripwire", "remove"):
        with pytest.raises(InputError):
            user_sampler(f"acme_models:{name}")


WRONG = {
    "no_such_module:Model": "cannot import no_such_module:Model: ModuleNotFoundError",
    "acme_models:Missing": "cannot import acme_models:Missing: AttributeError",
    "acme_broken:Model": "cannot import acme_broken:Model: ValueError: it is broken",
    "acme_exits:Model": "cannot import acme_exits:Model: SystemExit: 3",
    "acme_models:Model,size=3": "cannot be made with these parameters: .*'size'; it takes label, share",
    "acme_models:Model,size": "a parameter is written name=value, not 'size'",
    "acme_models:Model,label=a,label=b": "is given twice",
    "acme_models:Broken": "cannot be made: RuntimeError: no weights in /models",
    "acme_models:ready,share=1": "is not a class: it takes no parameters",
    "acme_models:ask,share=1": "is not a class: it takes no parameters",
    "acme_models:number": "is no model",
    "acme_models:remove": "whose parameters have these names",
    "acme_models:Unpaid": "its paid has to be bool, and is None",
    "acme_models:ReadOnly": "its name has to be 'acme_models:ReadOnly'",
    "acme_models:Fixed": "has the name 'the best'",
    "none/x": "gives None, which is no sampler",
    "classes/x": "which is no sampler",
    "missing/x": "the model missing of wrong cannot be loaded: AttributeError",
    "broken/x": "the model broken of wrong cannot be loaded: ValueError: it is broken",
    "number/x": "the model number of wrong cannot be made: acme_models:number is no function",
}


@pytest.mark.parametrize(("spec", "said"), WRONG.items())
def test_an_unusable_model_is_named_in_one_line(site, spec, said):
    """A module, class or result that cannot be used is an `InputError` that names it, in one line."""
    points = {"none": "acme_models:none", "classes": "acme_models:classes", "number": "acme_models:number"}
    install(site, "wrong", missing="acme_models:missing", broken="acme_broken:make", **points)
    with pytest.raises(InputError, match=said) as raised:
        user_sampler(spec)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    ("text", "read"), [("a=1", ("a", 1)), ("a=x", ("a", "x")), ("a=", ("a", "")), ("a=[1, 2]", ("a", [1, 2]))]
)
def test_a_parameter_is_json_where_it_reads_as_such(text, read):
    """Numbers, lists, true and false need no quotes, and plain text needs none either."""
    assert parse_parameter(text) == read


@given(st.recursive(st.text() | st.integers() | st.booleans() | st.none(), lambda inner: st.lists(inner, max_size=3)))
@example("7")
@example(" true")
@example("{plain")
def test_a_written_parameter_is_read_as_the_value_that_it_was(value):
    """A text that looks like a number, true or a list is written in quotes, and stays a text."""
    name, read = parse_parameter(parameter_text("size", value))
    assert (name, canonical(read)) == ("size", canonical(value))


def test_plain_text_is_written_without_quotes():
    """A text that reads as nothing else, such as a file's name, is written as it is."""
    assert parameter_text("file", "my rows.jsonl") == "file=my rows.jsonl"


def unerring(site: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The real command line in an environment with the user's module installed."""
    environ = os.environ | {"PYTHONPATH": os.pathsep.join([str(site), *sys.path])}
    command = [sys.executable, "-m", "unerring", *map(str, arguments)]
    return subprocess.run(command, cwd=site, env=environ, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.parametrize(
    "model",
    [
        "acme/large",
        *(pytest.param(f"acme_models:{what}", marks=pytest.mark.slow) for what in ("Model,share=0.5", "ask", "ready")),
    ],
)
def test_a_run_with_a_users_model_is_stopped_resumed_and_verified(site, model):
    """The command line takes a user's model, and resuming makes it again."""
    install(site, "acme", acme="acme_models:make")
    journal = site / "run.db"
    own = ["--k", 2, "--model", model, "--journal", journal]
    stopped = unerring(site, "run", "hanoi", "--set", "disks=3", *own, "--max-steps", 3)
    assert stopped.returncode == 3, stopped.stderr
    resumed = unerring(site, "resume", journal)
    assert resumed.returncode == 0, resumed.stderr
    assert model in unerring(site, "report", journal).stdout
    verified = unerring(site, "verify", journal)
    assert "zero errors" in verified.stdout + verified.stderr


def test_the_command_line_lists_models_where_one_is_mistyped(site):
    """An unknown model is refused with a list of the known ones, installed ones included."""
    install(site, "acme", acme="acme_models:make")
    done = unerring(site, "run", "hanoi", "--set", "disks=3", "--k", 2, "--model", "acm/large")
    assert done.returncode == 2
    assert "acme" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_line_keeps_to_the_shipped_model_of_a_name(site):
    """A package that registers the name of a shipped provider changes nothing."""
    install(site, "acme", noise="acme_models:none")
    done = unerring(site, "run", "hanoi", "--set", "disks=3", "--k", 2, "--model", "noise/p=1", "--journal", "n.db")
    assert done.returncode == 0, done.stderr
