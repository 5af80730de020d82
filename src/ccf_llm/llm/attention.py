"""Attention of branches over shared prefixes: what a branch reads is its prefix, up to a limit, and itself.

    prefix b:   k_1 k_2 ... k_C          keys and values, computed once
    branches:        |       |___ B,1    each causal in itself, blind to its siblings
                     |___________ B,2

The prefix is multiplied once with the queries of all its branches instead of being copied to each of them, so that many
short branches cost as much as one long text. Softmax runs over both parts together, so the result is exact.
"""

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from ccf_llm.errors import CCFError

NAME = "ccf_llm_branches"
SHORT = 64
"""Tokens up to which branches that read only themselves are computed as plain products, which is quicker."""


@dataclass
class Prefix:
    """Keys and values of B prefixes, padded on the right to C tokens, by layer."""

    layers: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """Layer -> keys and values, each (B, G, C, D) of G key-value heads; in fp64 where attention computes in it."""

    @property
    def tokens(self) -> int:
        """C."""
        return next((keys.shape[2] for keys, _ in self.layers.values()), 0)

    @property
    def nbytes(self) -> int:
        """Memory of all keys and values."""
        return sum(keys.nbytes + values.nbytes for keys, values in self.layers.values())

    def row(self, row: int, tokens: int) -> "Prefix":
        """One of the prefixes by itself, without padding; its memory is its own."""
        return Prefix(
            {
                layer: (keys[row : row + 1, :, :tokens].clone(), values[row : row + 1, :, :tokens].clone())
                for layer, (keys, values) in self.layers.items()
            }
        )

    @classmethod
    def stack(cls, prefixes: "list[Prefix]") -> Self:
        """Several prefixes of one row each as one of many rows, padded on the right."""
        if len(prefixes) == 1:
            return cls(prefixes[0].layers)
        C = max(prefix.tokens for prefix in prefixes)

        def pad(part: Tensor) -> Tensor:
            return F.pad(part, (0, 0, 0, C - part.shape[2]))

        return cls(
            {
                layer: (
                    torch.cat([pad(prefix.layers[layer][0]) for prefix in prefixes]),
                    torch.cat([pad(prefix.layers[layer][1]) for prefix in prefixes]),
                )
                for layer in prefixes[0].layers
            }
        )


@dataclass
class Branches:
    """Where the T tokens of a pass lie: B prefixes with n branches of at most S tokens each."""

    index: Tensor
    """(B, n, S) the token at each place; anything at padding, which is on the right."""
    place: Tensor
    """(T,) the place of each token, in `index` laid flat."""
    limits: Tensor | None = None
    """(B, n) how many tokens of its prefix each branch reads; None: all, and no prefix is padded."""
    prefix: Prefix | None = None
    """What was computed before; None: nothing comes before the branches."""
    record: Prefix | None = None
    """Where this pass's own keys and values are kept, as prefixes of a next pass; needs n = 1."""


def branch_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    branches: Branches | tuple[Branches, Branches] | None = None,
    exact: bool = False,
    **options: Any,
) -> tuple[Tensor, None]:
    """The attention function that `transformers` calls in each layer (its AttentionInterface).

    Args:
        module: the attention layer.
        query: (1, H, T, D) with positions applied; heads h = g * H / G + r read key-value head g.
        key, value: (1, G, T, D).
        attention_mask: unused; `branches` says who reads whom.
        scaling: of the products, 1 / sqrt(D) if None.
        dropout: of the attention weights.
        branches: None for plain causal attention over a (B, H, T, D) batch, by PyTorch's own kernels. A pair: the
            tokens are those of the first and then those of the second, whose prefixes the first ones are.
        exact: compute the plain attention in fp64.
        options: further settings of an architecture.

    Returns:
        (1, T, H, D) and nothing in place of the weights.

    Raises:
        CCFError: the architecture attends in a way that is not supported here.
    """
    if isinstance(branches, tuple):
        return _one_after_the_other(module, (query, key, value), branches, scaling=scaling, dropout=dropout, **options)
    dtype = query.dtype
    if exact or (branches is not None and dtype == torch.float32 and query.device.type == "cpu"):
        # PyTorch's fused kernels take exp to 20 bits, and a language model amplifies that a hundredfold: separate
        # prompts in fp32 differ by 1e-5 from the truth, and from packed ones. Attention is a tenth of the work.
        query, key, value = query.double(), key.double(), value.double()
    if branches is None:
        with sdpa_kernel(SDPBackend.MATH) if exact else nullcontext():
            out, _ = sdpa_attention_forward(
                module, query, key, value, None, dropout=dropout, scaling=scaling, is_causal=True
            )
        return out.to(dtype), None
    layer: Any = module.layer_idx
    _check(options, branches)
    B, n, S = branches.index.shape
    D, H, G = query.shape[3], query.shape[1], key.shape[1]
    where = branches.index.flatten()
    # Tokens to places: (T, heads, D) -> (B, G, n, [R,] S, D) with R = H / G queries to each key.
    q = query[0].transpose(0, 1).index_select(0, where).view(B, n, S, G, H // G, D).permute(0, 3, 1, 4, 2, 5)
    k, v = (x[0].transpose(0, 1).index_select(0, where).view(B, n, S, G, D) for x in (key, value))
    k, v = k.permute(0, 3, 1, 2, 4), v.permute(0, 3, 1, 2, 4)
    if branches.record is not None:
        branches.record.layers[layer] = (k[:, :, 0], v[:, :, 0])
    scale = D**-0.5 if scaling is None else scaling
    if branches.prefix is None and q.dtype != torch.float64 and S > SHORT:
        out = _causal(q, k, v, scale, dropout)
    else:
        before = branches.prefix.layers[layer] if branches.prefix else (k[:, :, 0, :0], v[:, :, 0, :0])
        out = _over_prefix(q, k, v, before, branches.limits, scale, dropout)
    out = out.permute(0, 2, 4, 1, 3, 5).reshape(B * n * S, H, D).index_select(0, branches.place)
    return out.unsqueeze(0).to(dtype), None


AttentionInterface.register(NAME, branch_attention)


def _one_after_the_other(
    module: nn.Module, heads: tuple[Tensor, Tensor, Tensor], branches: tuple[Branches, Branches], **options: Any
) -> tuple[Tensor, None]:
    """Chains and the branches that read them, in one pass: all but attention is computed for both at once."""
    chains, targets = branches
    T, prefix = len(chains.place), Prefix()
    out = [
        branch_attention(module, *(x[:, :, part] for x in heads), None, branches=mine, **options)[0]
        for part, mine in (
            (slice(T), replace(chains, record=prefix)),
            (slice(T, None), replace(targets, prefix=prefix)),
        )
    ]
    return torch.cat(out, dim=1), None


def _causal(q: Tensor, k: Tensor, v: Tensor, scale: float, dropout: float) -> Tensor:
    """Branches that read only themselves: (B, G, n, R, S, D) and (B, G, n, S, D) -> (B, G, n, R, S, D)."""
    B, G, n, R, S, D = q.shape
    heads = q.transpose(1, 2).reshape(B * n, G * R, S, D)
    k, v = (x.transpose(1, 2).reshape(B * n, G, S, D) for x in (k, v))
    out = F.scaled_dot_product_attention(heads, k, v, is_causal=True, scale=scale, dropout_p=dropout, enable_gqa=R > 1)
    return out.view(B, n, G, R, S, D).transpose(1, 2)


def _over_prefix(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    prefix: tuple[Tensor, Tensor],
    limits: Tensor | None,
    scale: float,
    dropout: float,
) -> Tensor:
    """Branches that read a prefix and themselves: (B, G, n, R, S, D) -> (B, G, n, R, S, D)."""
    B, G, n, R, S, D = q.shape
    keys, values = (x.reshape(B * G, -1, D) for x in prefix)
    C = keys.shape[1]
    q = q.reshape(B * G * n, R * S, D) * scale
    k, v = k.reshape(B * G * n, S, D), v.reshape(B * G * n, S, D)
    before = torch.bmm(q.view(B * G, n * R * S, D), keys.transpose(1, 2))
    if limits is not None:
        reads = torch.arange(C, device=q.device) < limits.view(B, 1, n, 1, 1)
        before = before.view(B, G, n, R * S, C).masked_fill(~reads, -torch.inf).view(B * G, n * R * S, C)
    future = torch.ones(S, S, dtype=torch.bool, device=q.device).triu(1).repeat(R, 1)
    own = torch.bmm(q, k.transpose(1, 2)).masked_fill(future, -torch.inf)
    weights = torch.cat([before, own.view(B * G, n * R * S, S)], dim=2).softmax(2)
    weights = F.dropout(weights, dropout, training=dropout > 0)
    out = torch.bmm(weights[:, :, :C], values).view(B * G * n, R * S, D)
    out = torch.baddbmm(out, weights[:, :, C:].reshape(B * G * n, R * S, S), v)
    return out.view(B, G, n, R, S, D)


def _check(options: dict[str, Any], branches: Branches) -> None:
    for name in ("softcap", "s_aux", "position_bias"):
        if options.get(name) is not None:
            raise CCFError(f"llm.model: attention with '{name}' is not supported; use a model of another architecture")
    window = options.get("sliding_window")
    longest = branches.index.shape[2] + (branches.prefix.tokens if branches.prefix else 0)
    if window is not None and longest > window:
        raise CCFError(
            f"llm.model: this model attends to the last {window} tokens only, a prompt has up to {longest}; "
            "lower history.tokens"
        )
