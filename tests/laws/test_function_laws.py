"""The laws of function processes: equal to the same process as a chain, and to themselves after a cut at any entry."""

from function_programs import Effects, ProgramChain, function_of, random_program, rehearse
from hypothesis import example, given, settings
from hypothesis import strategies as st

import unerring
from unerring.adapters.sqlite.new_file import write_journal
from unerring.adapters.sqlite.reader import JournalReader
from unerring.core.journal.function_entries import ActBegun, ActEnded
from unerring.testing import NoisySampler

LAW = settings(max_examples=40, deadline=None)
SEEDS = st.integers(0, 10**6)
SOURCES = st.sampled_from(["off", "leader", "guess"])


def run(process, speculate="guess", journal=None, **given):
    """A run on a noisy model, two of whose ten answers are wrong."""
    options = unerring.Options(speculate=speculate, progress=False)
    return unerring.run(process, NoisySampler(rehearse, p=0.8), journal, k=2, options=options, **given)


def decided(journal):
    """What was decided in a journal, vote for vote."""
    return [
        (step.choice, step.votes, tuple(sample.text for sample in step.samples)) for step in unerring.steps(journal)
    ]


@LAW
@given(SEEDS, SOURCES)
@example(3, "guess")
def test_a_function_decides_what_the_same_chain_decides(tmp_path_factory, seed, speculate):
    """Decisions, votes and samples of a function are those of the chain, whatever is asked ahead."""
    folder = tmp_path_factory.mktemp("law")
    program = random_program(seed, acts=False)
    as_function = run(function_of(Effects()), speculate, folder / "function.db", args=[program])
    chain = ProgramChain(program)
    if chain.subtask(chain.start()) is None:
        assert as_function.answer == []
        return
    as_chain = run(chain, "off", folder / "chain.db")
    assert as_function.answer == as_chain.answer
    assert decided(folder / "function.db") == decided(folder / "chain.db")


@LAW
@given(SEEDS, SOURCES, st.data())
def test_a_run_cut_at_any_entry_ends_as_the_whole_one(tmp_path_factory, seed, speculate, data):
    """A journal cut after any entry is continued to the same end; no side effect that has ended is run again."""
    folder = tmp_path_factory.mktemp("law")
    program, whole_effects, effects = random_program(seed, acts=True), Effects(), Effects()
    whole = run(function_of(whole_effects), speculate, folder / "whole.db", args=[program])
    entries = list(JournalReader(folder / "whole.db").entries())
    kept = entries[: data.draw(st.integers(1, len(entries)))]
    write_journal(folder / "cut.db", kept)
    again = run(function_of(effects), data.draw(SOURCES), folder / "cut.db", args=[program])
    assert again.answer == whole.answer
    assert [step[:1] for step in decided(folder / "cut.db")] == [step[:1] for step in decided(folder / "whole.db")]
    ended = sum(isinstance(entry, ActEnded) for entry in kept)
    begun = [entry for entry in kept if isinstance(entry, ActBegun)]
    assert [run[:2] for run in effects.run] == [run[:2] for run in whole_effects.run[ended:]]
    if len(begun) > ended:  # the same key as before the cut
        assert effects.run[0][2] == begun[-1].key
    assert unerring.verify(folder / "cut.db").ok


@LAW
@given(SEEDS, st.data())
def test_a_fork_takes_over_side_effects(tmp_path_factory, seed, data):
    """A run forked at any step runs only the side effects after it."""
    folder = tmp_path_factory.mktemp("law")
    program, whole_effects, effects = random_program(seed, acts=True), Effects(), Effects()
    whole = run(function_of(whole_effects), "guess", folder / "whole.db", args=[program])
    if not whole.steps:
        return
    at = data.draw(st.integers(1, whole.steps))
    unerring.fork(
        folder / "whole.db", at, folder / "fork.db", chain=function_of(effects), model=NoisySampler(rehearse)
    )
    unerring.resume(folder / "fork.db", function_of(effects), NoisySampler(rehearse))
    taken = sum(isinstance(entry, ActEnded) for entry in JournalReader(folder / "fork.db").entries())
    assert [run[:2] for run in effects.run] == [
        run[:2] for run in whole_effects.run[len(whole_effects.run) - len(effects.run) :]
    ]
    assert taken == len(whole_effects.run)
