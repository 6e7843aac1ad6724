"""The embedded model as a sampler: three small language models in this process, no key, no network.

This module loads without the engine; making a sampler needs it (`pip install 'unerring[embedded]'`).
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unerring.core.policy import Policy
from unerring.core.race import AheadBy
from unerring.core.redflag import FlagRules
from unerring.core.sample import Sample, Settings
from unerring.errors import InputError

if TYPE_CHECKING:
    from unerring.adapters.embedded_desk import Desk

WEIGHTS = Path(__file__).parent / "embedded_weights"
MEMBERS = ("a", "b", "c")

# Measured (training/MODEL_CARD.md): the three members together decided 100,000 random steps of the run of 20 disks,
# and every step of 1 to 12 disks, rightly, with 3.001 votes a step.
# Temperature 1 is the model's own distribution. Lower ones only spare errors that voting corrects anyway: at 0.6, two
# votes of a member agree on a wrong answer as often (about 1 step in 10,000), since its stubborn errors stay.
# Below a mean log-probability of -0.1 lie 44 % of the wrong answers in valid form, and 5 of 897,750 right ones.
# Stricter is worse: at -0.003 only 8 % of the wrong ones pass, but one step in 100,000 stays undecided, because all
# three members give the right answer there with a lower probability.
# A right answer of 20 disks has 29 tokens.
EMBEDDED_POLICY = Policy(
    rule=AheadBy(3),
    first_temperature=1.0,
    later_temperature=1.0,
    flags=FlagRules(max_output_tokens=32, min_logprob=-0.1),
)


class EmbeddedSampler:
    """Answers the compact Towers of Hanoi prompts with the models that ship in the package.

    `embedded` spreads votes over three members that were trained from different seeds and so err on different
    steps: a step's sample number i goes to member a, b or c in turn. `embedded/a` (or b, c) is one member alone.
    A sample's `voter` names its member.

    How far seeds reach: a sample follows from member, prompt, temperature and the seed, step and slot of its
    `Settings` (and from `seed`, which tells apart samplers that serve the same run), and from nothing else. What
    is asked at the same time, in which order, and whether the run was resumed make no difference. This holds for
    one version of CTranslate2 on one kind of processor; others may round logits differently in the last digits,
    so that a rare sample comes out different. At temperature 0 no seed is used.
    """

    paid = False
    compact = True

    def __init__(self, spec: str = "embedded", seed: int = 0) -> None:
        self.name = spec
        self._seed = seed
        self._desks = [_seated(name) for name in _named(spec)]

    async def sample(self, prompt: str, settings: Settings, n: int) -> Sequence[Sample]:
        """Draw n samples; raises `InputError` for a prompt with words that the model does not know."""
        tokenizer = self._desks[0].member.tokenizer
        start = (tokenizer.begin, *tokenizer.encode(prompt))
        shares: dict[Desk, list[int]] = {}
        for offset in range(n):
            shares.setdefault(self._desks[(settings.slot + offset) % len(self._desks)], []).append(offset)
        asked = []
        for desk, offsets in shares.items():
            names = tuple(f"{self._seed}:{settings.sample_seed(offset)}" for offset in offsets)
            asked.append(desk.ask(start, names, settings))
        samples: dict[int, Sample] = {}
        for offsets, answers in zip(shares.values(), await asyncio.gather(*asked), strict=True):
            samples.update(zip(offsets, answers, strict=True))
        return [samples[offset] for offset in range(n)]

    def close(self) -> None:
        """Stop the threads, at the latest when the batches under way are done; unanswered calls are cancelled."""
        for desk in self._desks:
            desk.stop()
        for desk in self._desks:
            desk.join()


def _named(spec: str) -> tuple[str, ...]:
    provider, _, member = spec.partition("/")
    if provider == "embedded" and member in MEMBERS:
        return (member,)
    if spec != "embedded":
        known = ", ".join(["embedded", *(f"embedded/{name}" for name in MEMBERS)])
        raise InputError(f"there is no embedded model {spec!r}; there are: {known}")
    return MEMBERS


def _seated(name: str) -> "Desk":
    try:
        from unerring.adapters.embedded_desk import desk
    except ImportError as error:
        raise InputError(f"the embedded model needs an extra ({error}): pip install 'unerring[embedded]'") from None
    return desk(f"embedded/{name}", WEIGHTS / name)
