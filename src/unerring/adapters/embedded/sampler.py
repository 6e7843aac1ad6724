"""Samplers for the embedded models: small language models in this process, without a key or a network.

This module loads without the inference engine; making a sampler needs it (`pip install 'unerring[embedded]'`).
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
    """Answers the compact prompts of the worked processes with the models that ship.

    `embedded` knows Towers of Hanoi, `embedded/digits` the steps of products and of sorting. Each has three members
    that were trained from different seeds, and so err on different steps: the samples of a step go to members a, b
    and c in turn. `embedded/a` (or b, c) is one member alone. A sample's `voter` names its member.

    Samples are reproducible: one depends on member, prompt, temperature, the seed, step and slot of its `Settings`,
    and `seed`, which tells apart samplers of the same run; not on other calls, their order, or a resume.
    This holds for one version of CTranslate2 on one kind of processor; others may round logits differently in the last
    digits, which changes a rare sample. At temperature 0 no seed is used.
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
            raise _missing_extra(error) from None
        drafter = _drafter(self._ensemble)
        members = {
            f"{self._ensemble.name}/{name}": EnsembleMember(self._ensemble.folder / name, drafter) for name in names
        }
        self._tokenizer = next(iter(members.values())).tokenizer
        self.rotation = len(names)
        self._workers = WorkerPool(members)

    async def sample(self, prompt: str, settings: Settings, n: int) -> Sequence[Sample]:
        """Draw n samples; raises `InputError` for a prompt that the model was not trained to read."""
        self._ensemble.require_readable(prompt)
        start = (self._tokenizer.begin, *self._tokenizer.encode(prompt))
        samples = tuple(
            ((settings.slot + offset) % self.rotation, f"{self._seed}:{settings.sample_seed(offset)}")
            for offset in range(n)
        )
        return await self._workers.ask(start, samples, settings)

    def close(self) -> None:
        """Stop the threads once the running passes are done; unanswered calls are cancelled."""
        self._workers.stop()
        self._workers.join()


class EmbeddedDrafter:
    """Drafts a whole answer at once, always the same: `embedded/draft`, `embedded/digits/draft`. It does not vote.

    It answers on the event loop, since a draft takes less time than a thread's turn.
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
    """The drafting model of an ensemble, loaded once: drafts made for speculation are used when the step is asked."""
    try:
        from unerring.adapters.embedded.engine import Drafter
    except ImportError as error:
        raise _missing_extra(error) from None
    return Drafter(ensemble.folder / DRAFT, ensemble.beyond)


def _missing_extra(error: ImportError) -> InputError:
    how = "pip install 'unerring[embedded]', or '.[embedded]' in the repository"
    return InputError(f"the embedded model needs an extra ({error}): {how}")
