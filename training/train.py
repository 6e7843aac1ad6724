"""Train one member of an embedded ensemble: ``python train.py --seed 1 --out runs/a``.

Muon trains the matrices of the layers, AdamW the rest. The rate warms up, is constant, then decays linearly to zero.
Examples grow over the first steps: copying is learned on short ones and holds for longer ones.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import data
import digits
from data import SPECIAL, Batch
from model import Llama, Shape
from muon import Muon

Model = nn.Module
PAD = SPECIAL.index("<pad>")
TASKS = {"hanoi": data, "digits": digits}


def rate_at(step: int, steps: int) -> float:
    """Learning rate as a share of its peak: 100 warm-up steps, constant to 40 %, linear to zero."""
    return min(1.0, (step + 1) / 100, (steps - step) / (0.6 * steps))


def asked(example: Batch, drafter: bool, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, int]:
    """What the model reads, the answer's tokens that it is to give, and how many leading places are not learned.

    A member reads the answer's tokens as far as they are written. The drafter reads blanks in their place, and so
    learns to give the whole answer at once.
    """
    tokens = torch.from_numpy(example.tokens).to(device)
    read = tokens[:, :-1].clone()
    if drafter:
        read[:, example.prompt_length :] = PAD
    return read, tokens[:, example.prompt_length :], example.prompt_length - 1


def device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def loss_of(model: Model, example: Batch, drafter: bool) -> torch.Tensor:
    """Mean cross-entropy of the answer's tokens, nats."""
    read, answer, skip = asked(example, drafter, device_of(model))
    return F.cross_entropy(model(read, skip=skip).float().flatten(0, 1), answer.flatten(), ignore_index=PAD)


@torch.no_grad()
def exact_match(model: Model, example: Batch, drafter: bool) -> float:
    """Share of examples whose every answer token is the most likely one (a member's: teacher-forced)."""
    read, answer, skip = asked(example, drafter, device_of(model))
    right = (model(read, skip=skip).argmax(-1) == answer) | (answer == PAD)
    return float(right.all(dim=1).float().mean())


def matched(model: Model, examples: dict[str, Batch], drafter: bool) -> str:
    """`exact_match` of each kind of examples, as text."""
    return ", ".join(f"{kind} {exact_match(model, one, drafter):.4f}" for kind, one in examples.items())


class Optimizers:
    """Muon for the matrices inside the layers, AdamW for embeddings and norms, on one schedule."""

    def __init__(self, model: Llama, muon_rate: float, adam_rate: float) -> None:
        matrices = [p for p in model.model.layers.parameters() if p.dim() == 2]
        self.others = [p for p in model.parameters() if not any(p is m for m in matrices)]
        self.muon = Muon(matrices, lr=muon_rate, momentum=0.95, weight_decay=0.01)
        self.adam = torch.optim.AdamW(self.others, lr=adam_rate, betas=(0.9, 0.98), weight_decay=0.0)
        self.peaks = [(self.muon, muon_rate), (self.adam, adam_rate)]

    def prepare(self, share: float) -> None:
        """Set the rates to a share of their peaks, and forget the last gradients."""
        for optimizer, peak in self.peaks:
            for group in optimizer.param_groups:
                group["lr"] = peak * share
            optimizer.zero_grad(set_to_none=True)

    def step(self) -> None:
        # Muon's updates have a fixed size whatever the gradient's; only AdamW's need clipping
        torch.nn.utils.clip_grad_norm_(self.others, 1.0)
        for optimizer, _ in self.peaks:
            optimizer.step()


def save(model: Llama, folder: Path) -> None:
    """Write weights.pt, whole or not at all."""
    torch.save(model.state_dict(), folder / "weights.partial")
    (folder / "weights.partial").replace(folder / "weights.pt")


def train(options: argparse.Namespace) -> None:
    """Train, logging and saving into `options.out` on the way."""
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    task = TASKS[options.task]
    model = Llama(Shape(len(task.VOCABULARY), options.width, options.layers, 4, options.inner)).to(options.device)
    forward = model if options.eager else torch.compile(model, dynamic=True)
    optimizers = Optimizers(model, options.muon_rate, options.adam_rate)
    options.out.mkdir(parents=True, exist_ok=True)
    log = (options.out / "train.log").open("w", buffering=1)
    unseen = task.unseen(np.random.default_rng(10**6))
    started = time.process_time()
    for step in range(options.steps):
        optimizers.prepare(rate_at(step, options.steps))
        total = 0.0
        batches = [*task.batches_at(rng, options.size, step, options.ramp)]
        examples = sum(len(example.tokens) for example in batches)
        for example in batches:
            with torch.autocast(options.device, torch.bfloat16, enabled=not options.float32):
                loss = loss_of(forward, example, options.drafter) * len(example.tokens) / examples
            loss.backward()
            total += loss.item()
        optimizers.step()
        last = step == options.steps - 1
        if step % 100 == 99 or last:
            match = matched(forward, unseen, options.drafter)
            seconds = time.process_time() - started
            log.write(f"step {step + 1} cpu {seconds:.0f} s loss {total:.5f} match {match}\n")
        if step % 500 == 499 or last:
            save(model, options.out)
    record = {**vars(options), "out": options.out.name}
    (options.out / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--task", choices=list(TASKS), default="hanoi")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--float32", action="store_true", help="faster on processors that have no bfloat16")
    parser.add_argument("--eager", action="store_true", help="without torch.compile, which takes a minute to begin")
    parser.add_argument("--drafter", action="store_true", help="give all of an answer at once, from its prompt alone")
    parser.add_argument("--steps", type=int, default=1_600)
    parser.add_argument("--ramp", type=int, default=500, help="steps until all sizes occur")
    parser.add_argument("--size", type=int, default=64, help="examples in a batch")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--inner", type=int, default=344)
    parser.add_argument("--muon-rate", type=float, default=0.005)
    parser.add_argument("--adam-rate", type=float, default=3e-3)
    parser.add_argument("--out", type=Path, required=True)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
