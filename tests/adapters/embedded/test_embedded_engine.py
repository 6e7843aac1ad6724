"""Inference of the embedded models: tokens, distributions, drafts."""

import random
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
from embedded_steps import prompt, some_steps
from numpy.typing import NDArray

from unerring.adapters.embedded.catalog import MEMBERS, WEIGHTS_FOLDER
from unerring.adapters.embedded.engine import (
    MAX_ANSWER_TOKENS,
    Drafter,
    Engine,
    EnsembleMember,
    ScoredAnswer,
    Tokens,
    uniforms,
)
from unerring.adapters.embedded.tokenizer import Tokenizer, read_tokenizer
from unerring.processes.hanoi import Hanoi


@pytest.fixture(scope="module")
def drafter() -> Drafter:
    return Drafter(WEIGHTS_FOLDER / "draft")


@pytest.fixture(scope="module")
def member() -> EnsembleMember:
    return EnsembleMember(WEIGHTS_FOLDER / "a")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return read_tokenizer(WEIGHTS_FOLDER / "a")


def test_the_tokenizer_gives_back_every_prompt_and_answer_of_every_game(tokenizer: Tokenizer) -> None:
    """decode(encode(text)) is text for the prompts and right answers of games of 1 to 20 disks."""
    for disks in range(1, 21):
        game = Hanoi(disks)
        for step in {0, game.length() // 2, game.length() - 1}:
            for text in (prompt(step, game), Hanoi().rehearse(prompt(step, game)).right):
                assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_tokenizer_gives_back_any_string_of_words(tokenizer: Tokenizer, member: EnsembleMember) -> None:
    """decode(encode(text)) is text also for words joined in ways that no prompt has."""
    rng = random.Random(1)
    for _ in range(300):
        text = tokenizer.decode(rng.choices(range(4, 57), k=12))
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_all_members_share_one_vocabulary() -> None:
    """All members have the same vocabulary, so a prompt is encoded once for all."""
    first, *others = ((WEIGHTS_FOLDER / name / "vocabulary.json").read_bytes() for name in MEMBERS)
    assert all(other == first for other in others)


def test_samples_follow_the_models_own_distribution(member: EnsembleMember) -> None:
    """Two-step sampling is ancestral sampling: first words are as frequent as the model's probabilities say.

    At temperature 4, 4,000 samples: the largest gap between the two distribution functions exceeds 0.0311 with a
    chance below 0.001 (Kolmogorov's bound), and seeds are fixed.
    """
    start = (member.tokenizer.begin, *member.tokenizer.encode(prompt(5)))
    path = member.likeliest([start])[0]
    weights = np.exp(path.relative[0] / 4.0)
    numbers = [uniforms(f"sample {i}") for i in range(4000)]
    firsts = [(path.departure(4.0, own[:1]) or (0, path.tokens[0]))[1] for own in numbers]
    seen = np.bincount(firsts, minlength=len(weights)) / len(firsts)
    assert np.abs(np.cumsum(seen) - np.cumsum(weights / weights.sum())).max() < 0.0311


def test_the_logprob_is_the_models_own_at_any_temperature(member: EnsembleMember) -> None:
    """A sample's log-probability equals that of a pass over its text at temperature 1, whatever it was drawn at."""
    starts = [(member.tokenizer.begin, *member.tokenizer.encode(prompt(step))) for step in some_steps(16)]
    paths = member.likeliest(starts)
    for temperature in (0.0, 1.0, 3.0):
        drawn = member.draw(paths, [temperature] * len(paths), [uniforms(f"{i}") for i in range(len(paths))])
        whole = [member.tokenizer.words([*start, *w.tokens]) for start, w in zip(starts, drawn, strict=True)]
        for written, scored in zip(drawn, member._engine._model.score_batch(whole), strict=True):
            exact = scored.log_probs[-len(written.tokens) :]
            # the two passes round differently (int8 activations): 2 % of a large figure, 0.001 of a small one
            assert written.mean_logprob() == pytest.approx(sum(exact) / len(exact), rel=0.02, abs=1e-3)


def test_the_weights_are_small() -> None:
    """The weights of the members and the drafter are less than 4 MB together."""
    assert sum(path.stat().st_size for path in Path(WEIGHTS_FOLDER).rglob("*") if path.is_file()) < 4_000_000


Drawn = list[ScoredAnswer]


def drawn(drafter: Drafter, member: EnsembleMember) -> list[Drawn]:
    """The most likely answers to some prompts, and samples of them at three temperatures."""
    starts = [(drafter.tokenizer.begin, *drafter.tokenizer.encode(prompt(step))) for step in [0, 16, *some_steps(30)]]
    names = [uniforms(f"{i}") for i in range(len(starts))]
    paths = member.likeliest(starts)
    samples = [member.draw(paths, [t] * len(paths), names) for t in (0.0, 1.0, 2.5)]
    return [[path.whole for path in paths], *samples]


@pytest.fixture(scope="module")
def alone(drafter: Drafter) -> list[Drawn]:
    """The answers of a member without a drafter."""
    return drawn(drafter, EnsembleMember(WEIGHTS_FOLDER / "b"))


class Proposing:
    """A drafter that proposes what a function makes of the right answer."""

    def __init__(self, drafter: Drafter, change) -> None:
        self._drafter = drafter
        self._change = change
        self.tokenizer = drafter.tokenizer

    def drafts(self, starts: list[Tokens]) -> list[Tokens]:
        return [self._change(draft) for draft in self._drafter.drafts(starts)]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda draft: draft, id="right"),
        pytest.param(lambda draft: draft[:1], id="one word"),
        pytest.param(lambda draft: draft[:-1], id="without an end"),
        pytest.param(lambda draft: (*draft[:3], 20, *draft[4:]), id="one word wrong"),
        pytest.param(lambda draft: (5,) * 30, id="all wrong"),
        pytest.param(lambda draft: draft[:5] + draft[-1:], id="ends early"),
    ],
)
def test_a_draft_never_changes_a_sample(drafter: Drafter, alone: list[Drawn], change) -> None:
    """With any drafts, the most likely answers and all samples are bit by bit those without drafts."""
    assert drawn(drafter, EnsembleMember(WEIGHTS_FOLDER / "b", Proposing(drafter, change))) == alone


def test_a_draft_far_too_long_changes_no_word(drafter: Drafter, alone: list[Drawn]) -> None:
    """The words are the same; log-probabilities may differ in rounding, as some processors sum long rows otherwise."""
    found = drawn(drafter, EnsembleMember(WEIGHTS_FOLDER / "b", Proposing(drafter, lambda draft: draft[:-1] * 2)))
    for one, other in zip(found, alone, strict=True):
        assert [written.tokens for written in one] == [written.tokens for written in other]
        for mine, own in zip(one, other, strict=True):
            assert mine.logprobs == pytest.approx(own.logprobs, rel=1e-3, abs=1e-5)


def test_the_drafter_guesses_nearly_every_step(drafter: Drafter) -> None:
    """It drafts at least 497 of 500 random steps of the run of 20 disks correctly, and the first step too."""
    right = 0
    for step in [0, *some_steps(500, seed=3)]:
        draft = drafter.drafts([(drafter.tokenizer.begin, *drafter.tokenizer.encode(prompt(step)))])[0]
        right += drafter.tokenizer.decode(draft) == Hanoi().rehearse(prompt(step)).right
    assert right >= 498


def test_drafts_do_not_depend_on_other_prompts(drafter: Drafter) -> None:
    """The draft of a prompt is the same alone, among others, and when drafted again."""
    starts = [(drafter.tokenizer.begin, *drafter.tokenizer.encode(prompt(step))) for step in some_steps(20, seed=4)]
    together = Drafter(WEIGHTS_FOLDER / "draft").drafts(starts)
    assert [drafter.drafts([start])[0] for start in starts] == together == drafter.drafts(starts)
    assert all(len(draft) < MAX_ANSWER_TOKENS for draft in together)


def test_drafts_kept_by_one_thread_may_be_dropped_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kept draft that is asked for is returned, though another thread drops all kept drafts at that moment."""
    drafter = Drafter(WEIGHTS_FOLDER / "draft")
    step, other = (
        (drafter.tokenizer.begin, *drafter.tokenizer.encode(one))
        for one in (
            "clockwise last = none state = [[1], [], []]\n",
            "counterclockwise last = none state = [[1], [], []]\n",
        )
    )
    before = drafter.drafts([step])
    drafted = drafter._ended

    def dropped_meanwhile(tokens: Tokens) -> Tokens:
        drafter._kept = {}
        return drafted(tokens)

    monkeypatch.setattr(drafter, "_ended", dropped_meanwhile)
    assert drafter.drafts([step, other])[0] == before[0]


def test_a_tie_that_each_pass_decides_again_is_decided_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """If later words change which word is most likely at a place, an answer still ends, and is complete."""
    member = EnsembleMember(WEIGHTS_FOLDER / "a")
    start = (member.tokenizer.begin, *member.tokenizer.encode(prompt(5)))
    logits, place = Engine.logits, len(start) + 9

    def tipping(engine: Engine, rows: Sequence[Tokens]) -> NDArray[np.float32]:
        found = logits(engine, rows)
        if len(rows[0]) > place and len(rows[0]) % 2:
            first, second = np.argsort(found[0, place])[-2:]
            found[:, place, [first, second]] = found[:, place, [second, first]]
        return found

    # each other continuation has a token less, so that passes see rows of either kind
    continuations, lengths = Engine.continuations, cycle((0, 1))
    monkeypatch.setattr(Engine, "logits", tipping)
    monkeypatch.setattr(
        Engine, "continuations", lambda *asked: [row[: 5 + next(lengths)] for row in continuations(*asked)]
    )
    (path,) = member.likeliest([start])
    assert path.tokens[-1] == member.tokenizer.end or len(path.tokens) == MAX_ANSWER_TOKENS
    assert len(path.relative) == len(path.own) == len(path.tokens)
