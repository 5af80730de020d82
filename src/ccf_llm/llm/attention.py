"""Attention of branches over shared prefixes: what a branch reads is its prefix, up to a limit, and itself.

    prefix b:   k_1 k_2 ... k_C          keys and values, computed once
    branches:        |       |___ B,1    each causal in itself, blind to its siblings
                     |___________ B,2

The prefix is multiplied once with the queries of all its branches instead of being copied to each of them, so that many
short branches cost as much as one long text. Softmax runs over both parts together, so the result is exact.

A layer with a sliding window of w reads the token itself and the w - 1 before it, counted in the branch's own prompt.

Some keys may be lifted: in layer l, q . k / sqrt(D) + b_l for these. As one more element of each,
[q, 1] . [k, b_l sqrt(D)], it goes wherever keys go, also into prefixes that are kept.
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
    """Layer -> keys and values, each (B, G, C, D) of G key-value heads; in fp64 where attention computes in it. Lifted
    keys have an element more."""

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
    lift: Tensor | None = None,
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
        lift: (L, T), or (L, B, T) of plain attention: what each layer adds to the products with each key.
        options: further settings of an architecture; of these `sliding_window` is that of the layer, or None.

    Returns:
        (1, T, H, D) and nothing in place of the weights.

    Raises:
        CCFError: the architecture attends in a way that is not supported here.
    """
    scale = query.shape[3] ** -0.5 if scaling is None else scaling
    layer: Any = module.layer_idx
    if lift is not None:
        query, key = _lifted(query, key, lift[layer] / scale)
    if isinstance(branches, tuple):
        return _one_after_the_other(module, (query, key, value), branches, scaling=scale, dropout=dropout, **options)
    _check(options)
    window: int | None = options.get("sliding_window")
    dtype = query.dtype
    if exact or (branches is not None and dtype == torch.float32 and query.device.type == "cpu"):
        # PyTorch's fused kernels take exp to 20 bits, and a language model amplifies that a hundredfold: separate
        # prompts in fp32 differ by 1e-5 from the truth, and from packed ones. Attention is a tenth of the work.
        query, key, value = query.double(), key.double(), value.double()
    if branches is None:
        mask = _window_mask(query.shape[2], window, query.device)
        with sdpa_kernel(SDPBackend.MATH) if exact else nullcontext():
            out, _ = sdpa_attention_forward(
                module, query, key, value, mask, dropout=dropout, scaling=scale, is_causal=mask is None
            )
        return out.to(dtype), None
    B, n, S = branches.index.shape
    D, H, G = value.shape[3], query.shape[1], key.shape[1]
    where = branches.index.flatten()
    # Tokens to places: (T, heads, D) -> (B, G, n, [R,] S, D) with R = H / G queries to each key.
    q = query[0].transpose(0, 1).index_select(0, where).view(B, n, S, G, H // G, -1).permute(0, 3, 1, 4, 2, 5)
    k, v = (x[0].transpose(0, 1).index_select(0, where).view(B, n, S, G, -1) for x in (key, value))
    k, v = k.permute(0, 3, 1, 2, 4), v.permute(0, 3, 1, 2, 4)
    if branches.record is not None:
        branches.record.layers[layer] = (k[:, :, 0], v[:, :, 0])
    if branches.prefix is None and q.dtype != torch.float64 and S > SHORT:
        out = _causal(q, k, v, window, scale, dropout)
    else:
        before = branches.prefix.layers[layer] if branches.prefix else (k[:, :, 0, :0], v[:, :, 0, :0])
        unread = _unread_of_prefix(before[0].shape[2], S, branches.limits, window, q.device)
        out = _over_prefix(q, k, v, before, unread, _unread_of_own(S, window, q.device), scale, dropout)
    out = out.permute(0, 2, 4, 1, 3, 5).reshape(B * n * S, H, D).index_select(0, branches.place)
    return out.unsqueeze(0).to(dtype), None


AttentionInterface.register(NAME, branch_attention)


def _lifted(query: Tensor, key: Tensor, more: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys (B, heads, T, D + 1) whose products have `more`, (T,) or (B, T) by key, added."""
    element = more.to(key).view(-1, 1, key.shape[2], 1).expand(*key.shape[:3], 1)
    return F.pad(query, (0, 1), value=1.0), torch.cat([key, element], dim=3)


def _one_after_the_other(
    module: nn.Module, heads: tuple[Tensor, Tensor, Tensor], branches: tuple[Branches, Branches], **options: Any
) -> tuple[Tensor, None]:
    """Chains and the branches that read them, in one pass: all but attention is computed for both at once."""
    chains, targets = branches
    T, prefix = len(chains.place), Prefix()
    q, k, v = ((x[:, :, :T], x[:, :, T:]) for x in heads)
    read, _ = branch_attention(module, q[0], k[0], v[0], None, branches=replace(chains, record=prefix), **options)
    told, _ = branch_attention(module, q[1], k[1], v[1], None, branches=replace(targets, prefix=prefix), **options)
    return torch.cat([read, told], dim=1), None


def _causal(q: Tensor, k: Tensor, v: Tensor, window: int | None, scale: float, dropout: float) -> Tensor:
    """Branches that read only themselves: (B, G, n, R, S, D) and (B, G, n, S, D) -> (B, G, n, R, S, D)."""
    B, G, n, R, S, _ = q.shape
    heads = q.transpose(1, 2).reshape(B * n, G * R, S, -1)
    k, v = (x.transpose(1, 2).reshape(B * n, G, S, -1) for x in (k, v))
    mask = _window_mask(S, window, q.device)
    out = F.scaled_dot_product_attention(
        heads, k, v, mask, is_causal=mask is None, scale=scale, dropout_p=dropout, enable_gqa=R > 1
    )
    return out.view(B, n, G, R, S, -1).transpose(1, 2)


def _over_prefix(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    prefix: tuple[Tensor, Tensor],
    unread: Tensor | None,
    unread_own: Tensor,
    scale: float,
    dropout: float,
) -> Tensor:
    """Branches that read a prefix and themselves: (B, G, n, R, S, D) -> (B, G, n, R, S, D)."""
    B, G, n, R, S, _ = q.shape
    keys, values = (x.reshape(B * G, -1, x.shape[-1]) for x in prefix)
    C, D = values.shape[1:]
    q = q.reshape(B * G * n, R * S, -1) * scale
    k, v = (x.reshape(B * G * n, S, -1) for x in (k, v))
    before = torch.bmm(q.view(B * G, n * R * S, -1), keys.transpose(1, 2))
    if unread is not None:
        before = before.view(B, G, n, R, S, C).masked_fill(unread, -torch.inf).view(B * G, n * R * S, C)
    own = torch.bmm(q, k.transpose(1, 2)).masked_fill(unread_own.repeat(R, 1), -torch.inf)
    weights = torch.cat([before, own.view(B * G, n * R * S, S)], dim=2).softmax(2)
    weights = F.dropout(weights, dropout, training=dropout > 0)
    out = torch.bmm(weights[:, :, :C], values).view(B * G * n, R * S, D)
    out = torch.baddbmm(out, weights[:, :, C:].reshape(B * G * n, R * S, S), v)
    return out.view(B, G, n, R, S, D)


def _unread_of_own(S: int, window: int | None, device: torch.device) -> Tensor:
    """(S, S) which tokens of its own branch (columns) a token does not read: those after it, or behind its window."""
    every = torch.ones(S, S, dtype=torch.bool, device=device)
    return every.triu(1) if window is None or window >= S else every.triu(1) | every.tril(-window)


def _unread_of_prefix(C: int, S: int, limits: Tensor | None, window: int | None, device: torch.device) -> Tensor | None:
    """Which of the C tokens of its prefix a branch does not read, (B, 1, n, 1, 1, C) by the branch's limit.

    With a window that is shorter than the prompt it is another set for each token of the branch, whose first stands
    right behind the limit: (B, 1, n, 1, S, C), or (S, C) where all read the whole prefix. None: all is read.
    """
    place = torch.arange(C, device=device)
    end = None if limits is None else limits[:, None, :, None, None, None]
    unread = None if end is None else place >= end
    if window is None or window >= C + S:
        return unread
    own = torch.arange(S, device=device)[:, None] + (C if end is None else end)
    behind = place <= own - window
    return behind if unread is None else unread | behind


def _window_mask(T: int, window: int | None, device: torch.device) -> Tensor | None:
    """(1, 1, T, T) which tokens (columns) a token reads, where the window is shorter than the text; else None."""
    return None if window is None or window >= T else ~_unread_of_own(T, window, device)[None, None]


def _check(options: dict[str, Any]) -> None:
    for name in ("softcap", "s_aux", "position_bias"):
        if options.get(name) is not None:
            raise CCFError(f"llm.model: attention with '{name}' is not supported; use a model of another architecture")
