"""The embedded model as a sampler: three small language models in this process, no key, no network.

This module loads without the engine; making a sampler needs it (`pip install 'unerring[embedded]'`).
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from unerring.core.policy import Policy
from unerring.core.race import AheadBy
from unerring.core.redflag import FlagRules
from unerring.core.sample import Finish, Sample, Settings, Usage
from unerring.errors import InputError

if TYPE_CHECKING:
    from unerring.adapters.embedded_member import Drafter

WEIGHTS = Path(__file__).parent / "embedded_weights"
MEMBERS = ("a", "b", "c")
DRAFTER = "embedded/draft"

# Measured (training/MODEL_CARD.md): the three members together decided 100,000 random steps of the run of 20 disks,
# and every step of 1 to 12 disks, rightly, with 3.001 votes a step.
# Temperature 1 is the model's own distribution. Lower ones only spare errors that voting corrects anyway: at 0.6, two
# votes of a member agree on a wrong answer as often (about 1 step in 10,000), since its stubborn errors stay.
# Below a mean log-probability of -0.1 lie 44 % of the wrong answers in valid form, and 5 of 897,750 right ones.
# Stricter is worse: at -0.003 only 8 % of the wrong ones pass, but one step in 100,000 stays undecided, because all
# three members give the right answer there with a lower probability.
# A right answer of 20 disks has 29 tokens.
# A step where one member is stubbornly wrong and another nearly always out of form is decided by the latter's few
# votes: step 786502 of the record stood at 31 to 29 after 60, and took 105. The usual cap of 60 stops too soon.
EMBEDDED_POLICY = Policy(
    rule=AheadBy(3),
    vote_cap=300,
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
    drafter = DRAFTER

    def __init__(self, spec: str = "embedded", seed: int = 0) -> None:
        self.name = spec
        self._seed = seed
        try:
            from unerring.adapters.embedded_desk import Desk
            from unerring.adapters.embedded_member import Member
        except ImportError as error:
            raise _lacking(error) from None
        drafter = _drafter()
        names = _named(spec)
        self._tokenizer = drafter.tokenizer
        self.rotation = len(names)
        self._desk = Desk({f"embedded/{name}": Member(WEIGHTS / name, drafter) for name in names})

    async def sample(self, prompt: str, settings: Settings, n: int) -> Sequence[Sample]:
        """Draw n samples; raises `InputError` for a prompt with words that the model does not know."""
        start = (self._tokenizer.begin, *self._tokenizer.encode(prompt))
        samples = tuple(
            ((settings.slot + offset) % self.rotation, f"{self._seed}:{settings.sample_seed(offset)}")
            for offset in range(n)
        )
        return await self._desk.ask(start, samples, settings)

    def close(self) -> None:
        """Stop the threads, at the latest when the batches under way are done; unanswered calls are cancelled."""
        self._desk.stop()
        self._desk.join()


class EmbeddedDrafter:
    """`embedded/draft`: guesses a step's whole answer at once, always the same for a prompt. It is no member.

    It answers on the event loop: a draft takes less time than handing it to a thread would.
    """

    paid = False
    compact = True
    name = DRAFTER

    def __init__(self) -> None:
        self._drafter = _drafter()

    async def sample(self, prompt: str, settings: Settings, n: int) -> Sequence[Sample]:
        """Draw n samples, all equal; raises `InputError` for a prompt with words that the model does not know."""
        tokenizer = self._drafter.tokenizer
        start = (tokenizer.begin, *tokenizer.encode(prompt))
        whole = self._drafter.drafts([start])[0]
        tokens = whole[: settings.max_output_tokens]
        finish = Finish.STOP if tokens[-1] == tokenizer.end else Finish.LENGTH
        return [Sample(tokenizer.decode(tokens), Usage(len(start), len(tokens)), finish, voter=DRAFTER)] * n


def _named(spec: str) -> tuple[str, ...]:
    provider, _, member = spec.partition("/")
    if provider == "embedded" and member in MEMBERS:
        return (member,)
    if spec != "embedded":
        known = ", ".join(["embedded", *(f"embedded/{name}" for name in MEMBERS), DRAFTER])
        raise InputError(f"there is no embedded model {spec!r}; there are: {known}")
    return MEMBERS


@cache
def _drafter() -> "Drafter":
    """The drafting model, loaded once: what it drafts to look ahead is not drafted again when the step is asked."""
    try:
        from unerring.adapters.embedded_member import Drafter
    except ImportError as error:
        raise _lacking(error) from None
    return Drafter(WEIGHTS / "draft")


def _lacking(error: ImportError) -> InputError:
    return InputError(f"the embedded model needs an extra ({error}): pip install 'unerring[embedded]'")
