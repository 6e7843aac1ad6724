"""A gateway to a model on virtual time: a caching proxy of the fault server without a network."""

import asyncio

from faults.answers import chance, letters, written
from faults.caching import Proxy, Reply
from faults.replies import Question, answered, billed_for, payload_of
from unerring.core.voting.sample import Sample, Usage
from unerring.errors import FailureKind, ProviderDown


class Gateway:
    """A model that takes `latency` seconds of virtual time, behind one of the six caching proxies or none.

    `several` is its reply to a call for several samples: all of them ("own"), one of them ("one"), one of them several
    times ("equal"), or a refusal ("refused"); or it has an adapter that asks for one sample a call after it received
    only one ("adapted"). `name` makes the ids of replies.
    """

    def __init__(self, model=letters, cache=None, several="own", latency=0.5, name=None):
        self.model, self.several, self.latency = model, several, latency
        self.new_id = name or (lambda: f"chatcmpl-{len(self.calls):020d}-{self.named():08d}")
        self.proxy = None if cache is None else Proxy(cache, self.new_id)
        self.calls, self.copied, self.names = [], [], 0
        self.in_flight = self.most_in_flight = 0

    def named(self):
        self.names += 1
        return self.names

    async def ask(self, prompt, settings, n):
        """The samples of one call, as an adapter makes them; `copied` records which ones were copies."""
        self.calls.append((prompt, settings, n))
        if self.several == "adapted" and any(asked > 1 for _, _, asked in self.calls[:-1]):
            n = 1
        if self.several == "refused" and n > 1:
            raise ProviderDown("400: n is 1 here", FailureKind.INVALID)
        began = asyncio.get_running_loop().time()
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        reply = await self.reply(prompt, settings, n)
        self.in_flight -= 1
        took = asyncio.get_running_loop().time() - began + 0.004
        samples = [self.sample(reply, i, took) for i in range(len(reply.payload["choices"]))]
        self.copied += [reply.copied] * len(samples)
        return samples

    async def reply(self, prompt, settings, n):
        """A reply of the model, or of the cache before it."""
        body = f"{prompt} {settings.temperature} {settings.sample_seed()} {n}"
        question = Question("m", prompt, prompt, body, n, settings.sample_seed(), settings.temperature, 64)

        async def compute():
            await asyncio.sleep(self.latency)
            answers = await answered(self.model, question, n if self.several == "own" else 1)
            answers *= n if self.several == "equal" else 1
            return Reply(payload_of(self.new_id(), 0, question, answers, billed_for(answers, 0.0)))

        return await compute() if self.proxy is None else await self.proxy.reply(len(self.calls), question, compute)

    def sample(self, reply, i, took):
        usage = reply.payload["usage"]
        return Sample(
            text=reply.payload["choices"][i]["message"]["content"],
            usage=Usage(usage["prompt_tokens"], usage["completion_tokens"]),
            voter="m",
            reply_id=f"{reply.payload['id']}:{i}",
            cached="HIT" in reply.headers.values() or usage["total_tokens"] == 0,
            seconds=took,
        )


def always(text):
    """A model with one answer."""
    return lambda prompt, temperature, seed, index, limit: written(prompt, text, limit)


def mostly(p, text="7"):
    """A model with one answer with probability p, and else another one of ten."""

    def model(prompt, temperature, seed, index, limit):
        own = chance("mostly", prompt, seed, index)
        return written(prompt, text if own.random() < p else str(own.randrange(10)), limit)

    return model


def unseeded(prompt, temperature, seed, index, limit):
    """A model that ignores temperature and seed: its letters follow from the prompt."""
    return letters(prompt, temperature, 1, 0, limit)
