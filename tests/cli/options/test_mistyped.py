"""A mistyped argument of the command line is named itself, not by an error that follows from it."""

from unerring.processes import SHIPPED

MODELS = {  # given without --k, which nothing can be planned for
    "gpt-4.1-mini": "no model is called 'gpt-4.1-mini'; did you mean openai/gpt-4.1-mini?",
    "nois/p=0.9": "did you mean noise/p=0.9?",
    "noise/p=1.5": "p is a probability, between 0 and 1; it cannot be 1.5",
    "noise/q=1": "noise is written noise/p=0.99,v=0.95,c=0",
    "openai": "is written openai/MODEL or openai/MODEL@URL",
    "openai/": "the model's name is missing",
    "openai/x@localhost:8000": "the address after @ begins with http:// or https://",
    "embeded": "did you mean embedded?",
    "embeded/a": "did you mean embedded/a?",
    "embedded/digit": "did you mean embedded/digits?",
    "litelm/groq/x": "did you mean litellm/groq/x?",
    "nothing-like-it": "no model is called 'nothing-like-it'. The models are: embedded",
}


def test_a_mistyped_model_is_named_before_a_k_is_asked_for(cli):
    """A model's specification is checked before the margin is planned, and a near miss gets a suggestion."""
    wrong = {}
    for model, said in MODELS.items():
        done = cli("run", "hanoi", "--set", "disks=3", "--model", model)
        if done.code != 2 or said not in done.err or "--k" in done.err:
            wrong[model] = done
    assert not wrong
    assert "give --k" in cli("run", "hanoi", "--set", "disks=3", "--model", "noise/p=0.9").err


def test_a_mistyped_process_gets_a_suggestion(cli):
    """A near miss of a shipped process's name gets a suggestion; other names get none."""
    assert "no process is called 'hanio'; did you mean hanoi?" in cli("run", "hanio").err
    unknown = cli("run", "ledger").err
    assert "did you mean" not in unknown
    names = ", ".join(SHIPPED)
    assert f"The processes that ship are {names};" in unknown
    assert f"shipped process ({names})" in cli("run", "--help").out


def test_numbers_are_ascii_digits(cli):
    """Numbers that only Python reads, with underscores or digits of other scripts, are refused."""
    run = ("run", "hanoi", "--set", "disks=2", "--model", "noise/p=1,v=1", "--k", "2")
    calls = (
        *((*run, "--seed", seed) for seed in ("1_0", "\uff13")),
        *((*run, "--budget-hours", hours) for hours in ("1_0", "\uff13")),
        ("run", "hanoi", "--k", "\uff13"),
        ("run", "hanoi", "--k", "2", "--model", "noise/p=0.9_9"),
        ("plan", "--p", "0.9_9", "--steps", "10"),
        ("plan", "--p", "0.99", "--steps", "1_0"),
        ("review", "none.db", "--choose", "1_0"),
    )
    done = {words: cli(*words) for words in calls}
    assert [words for words, one in done.items() if one.code != 2 or "none.db" in one.err] == []


def test_minus_zero_hours_are_zero(cli):
    """`--budget-hours -0` is a budget of 0 hours, not of minus 0."""
    done = cli("run", "hanoi", "--set", "disks=2", "--budget-hours", "-0", "--journal", "r.db")
    assert done.code == 3
    assert "the budget of 0 hours is spent" in done.err
