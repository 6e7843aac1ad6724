"""The optimizer Muon, in float32.

`torch.optim.Muon` orthogonalizes in bfloat16, which processors without bfloat16 instructions compute thirty times as
slowly as float32: there it takes three quarters of the whole training.
"""

import torch
from torch import Tensor

COEFFICIENTS = 3.4445, -4.7750, 2.0315  # of the quintic step, by Keller Jordan (kellerjordan.github.io/posts/muon)
ROUNDS = 5


def orthogonalized(matrix: Tensor) -> Tensor:
    """About U V^T of a matrix U S V^T, shape [rows, columns], by Newton-Schulz steps; singular values end near 1."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm().clamp(min=1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ROUNDS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum, then an orthogonal update of the same size whatever the gradient's: for matrices, shape [out, in].

    Nesterov's momentum, decoupled weight decay and the rate's factor sqrt(max(1, out / in)) are as in
    `torch.optim.Muon`.
    """

    def __init__(self, params: list[Tensor], lr: float, momentum: float, weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            for matrix in group["params"]:
                kept = self.state[matrix].setdefault("momentum", torch.zeros_like(matrix))
                kept.lerp_(matrix.grad, 1 - group["momentum"])
                update = orthogonalized(matrix.grad.lerp(kept, group["momentum"]))
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(update, alpha=-group["lr"] * max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5)
