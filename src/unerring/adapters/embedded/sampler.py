"""The embedded models as samplers: small language models in this process, no key, no network.

This module loads without the engine; making a sampler needs it (`pip install 'unerring[embedded]'`).
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from unerring.adapters.embedded.catalog import DRAFT, EmbeddedEnsemble, parse_embedded_spec
from unerring.core.voting.sample import Finish, Sample, Settings, Usage
from unerring.errors import InputError

if TYPE_CHECKING:
    from unerring.adapters.embedded.engine import Drafter


class EmbeddedSampler:
    """Answers the compact prompts of the processes that ship with the models that ship.

    `embedded` knows Towers of Hanoi, `embedded/digits` the steps of products and of sorting. Each spreads votes over
    three members that were trained from different seeds and so err on different steps: a step's sample number i goes
    to member a, b or c in turn. `embedded/a` (or b, c) is one member alone. A sample's `voter` names its member.

    How far seeds reach: a sample follows from member, prompt, temperature and the seed, step and slot of its
    `Settings` (and from `seed`, which tells apart samplers that serve the same run), and from nothing else. What
    is asked at the same time, in which order, and whether the run was resumed make no difference. This holds for
    one version of CTranslate2 on one kind of processor; others may round logits differently in the last digits,
    so that a rare sample comes out different. At temperature 0 no seed is used.
    """

    paid = False
    compact = True
    takes_request = False

    def __init__(self, spec: str = "embedded", seed: int = 0) -> None:
        self.name = spec
        self._seed = seed
        self._ensemble, names = parse_embedded_spec(spec)
        self.drafter = self._ensemble.drafter
        try:
            from unerring.adapters.embedded.engine import EnsembleMember
            from unerring.adapters.embedded.worker import WorkerPool
        except ImportError as error:
            raise _lacking(error) from None
        drafter = _drafter(self._ensemble)
        members = {
            f"{self._ensemble.name}/{name}": EnsembleMember(self._ensemble.folder / name, drafter) for name in names
        }
        self._tokenizer = next(iter(members.values())).tokenizer
        self.rotation = len(names)
        self._desk = WorkerPool(members)

    async def sample(self, prompt: str, settings: Settings, n: int) -> Sequence[Sample]:
        """Draw n samples; raises `InputError` for a prompt that the model was not trained to read."""
        self._ensemble.require_readable(prompt)
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
    """`embedded/draft`, `embedded/digits/draft`: guesses a whole answer at once, always the same. It is no member.

    It answers on the event loop: a draft takes less time than handing it to a thread would.
    """

    paid = False
    compact = True

    def __init__(self, spec: str) -> None:
        self.name = spec
        self._drafter = _drafter(parse_embedded_spec(spec)[0])

    async def sample(self, prompt: str, settings: Settings, n: int) -> Sequence[Sample]:
        """Draw n samples, all equal; raises `InputError` for a prompt with words that the model does not know."""
        tokenizer = self._drafter.tokenizer
        start = (tokenizer.begin, *tokenizer.encode(prompt))
        whole = self._drafter.drafts([start])[0]
        tokens = whole[: settings.max_output_tokens]
        finish = Finish.STOP if tokens[-1] == tokenizer.end else Finish.LENGTH
        return [Sample(tokenizer.decode(tokens), Usage(len(start), len(tokens)), finish, voter=self.name)] * n


@cache
def _drafter(ensemble: EmbeddedEnsemble) -> "Drafter":
    """The drafting model of an ensemble, loaded once: what it drafts to look ahead is there when the step is asked."""
    try:
        from unerring.adapters.embedded.engine import Drafter
    except ImportError as error:
        raise _lacking(error) from None
    return Drafter(ensemble.folder / DRAFT, ensemble.beyond)


def _lacking(error: ImportError) -> InputError:
    return InputError(f"the embedded model needs an extra ({error}): pip install 'unerring[embedded]'")
