"""Architecture of the embedded models: a small Llama decoder.

Parameter names are those of Hugging Face's ``LlamaForCausalLM``, so a saved state dict loads there as it is.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """Sizes of the decoder."""

    vocabulary: int
    width: int = 128
    layers: int = 3
    heads: int = 4
    inner: int = 344
    positions: int = 128
    rope_theta: float = 10_000.0


NORM_EPSILON = 1e-5


class RMSNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), NORM_EPSILON)


class Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            setattr(self, name, nn.Linear(shape.width, shape.width, bias=False))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        b, t, width = x.shape

        def split(y: Tensor) -> Tensor:
            return y.view(b, t, self.heads, width // self.heads).transpose(1, 2)

        q, k, v = split(self.q_proj(x)), split(self.k_proj(x)), split(self.v_proj(x))
        mixed = attend(rotate(q, cos, sin), rotate(k, cos, sin), v)
        return self.o_proj(mixed.transpose(1, 2).reshape(b, t, width))


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention in float32: torch's bfloat16 kernel is several times slower here at these short lengths."""
    with torch.autocast("cpu", enabled=False):
        return F.scaled_dot_product_attention(q.float(), k.float(), v.float(), is_causal=True).to(q.dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions in the half-split layout (Su et al., arXiv:2104.09864; Llama's order of channels)."""
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    return x * cos + turned * sin


class MLP(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.width, shape.inner, bias=False)
        self.up_proj = nn.Linear(shape.width, shape.inner, bias=False)
        self.down_proj = nn.Linear(shape.inner, shape.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(shape.width)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = RMSNorm(shape.width)
        self.mlp = MLP(shape)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Body(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.width)


class Llama(nn.Module):
    """Token ids [batch, tokens] to logits [batch, tokens - skip, vocabulary]; embeddings are tied."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.model = Body(shape)
        head = shape.width // shape.heads
        frequency = shape.rope_theta ** (-torch.arange(0, head, 2).float() / head)
        angle = torch.outer(torch.arange(shape.positions).float(), frequency).repeat(1, 2)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(
                    parameter, std=0.02 if parameter.shape[0] == shape.vocabulary else parameter.shape[1] ** -0.5
                )
        for layer in self.model.layers:
            for residual in (layer.self_attn.o_proj, layer.mlp.down_proj):
                with torch.no_grad():
                    residual.weight.mul_((2 * shape.layers) ** -0.5)

    def forward(self, tokens: Tensor, skip: int = 0) -> Tensor:
        x = self.model.embed_tokens(tokens)
        if torch.is_autocast_enabled("cpu"):
            x = x.to(torch.bfloat16)
        cos, sin = (table[: tokens.shape[1]].to(x.dtype) for table in (self.cos, self.sin))
        for layer in self.model.layers:
            x = layer(x, cos, sin)
        return F.linear(self.model.norm(x[:, skip:]), self.model.embed_tokens.weight)
