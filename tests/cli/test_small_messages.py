"""Messages that name what is wrong and what helps: empty names, single steps, models that a provider does not have."""

from unerring.adapters.terminal import awaited_line

GONE = """
from unerring.errors import ProviderDown

def gone(prompt):
    raise ProviderDown("no model is called so", status=404)
"""


def test_an_empty_file_name_is_named_as_such(cli):
    """An unset variable of a script gives an empty name, which is not the folder that one works in."""
    wrong = {}
    for words in (("report", ""), ("verify", ""), ("resume", ""), ("run", "hanoi", "--journal", "")):
        done = cli(*words)
        if done.code != 2 or "the name of the file is empty" not in done.err:
            wrong[words] = done
    assert not wrong


def test_a_model_that_the_provider_does_not_have_is_no_case_for_resume_alone(cli, tmp_path):
    """After a 404 the advice is a new run; going on helps only once the provider has the model."""
    (tmp_path / "absent.py").write_text(GONE)
    done = cli("run", "hanoi", "--set", "disks=2", "--k", "2", "--model", "absent:gone", "--journal", "r.db")
    assert done.code == 3
    assert "for another model start a new run; once the provider has this one: unerring resume r.db" in done.err
    assert "go on with" not in done.err


def test_nothing_awaited_is_not_counted():
    """Without calls under way none are waited for."""
    assert awaited_line(0, 9.0) == "stopping; Ctrl-C again stops at once"
    assert "waiting for 1 call under way" in awaited_line(1, 9.0)
