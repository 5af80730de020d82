"""Sequences -> tensors: a batch goes through the model in two passes, its chains and then its branches.

Tokens of a pass lie side by side without padding; `index` says which token stands at which place of which branch.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ccf_llm.data.rows import Codes
from ccf_llm.prompts.encoder import ITEM_SLOT, Ids
from ccf_llm.prompts.pack import Sequence


@dataclass
class Pass:
    """T tokens that go through the model at once: for each of B sequences, n branches of at most S tokens."""

    ids: Tensor
    """(T,) token ids; `USER_SLOT` / `ITEM_SLOT` at slots."""
    positions: Tensor
    """(T,) positions as they would be in separate prompts."""
    items: Tensor
    """(T,) item code at item slots, 0 elsewhere."""
    asked: Tensor
    """(T,) whether a token is the slot of a target item, not of one in the history."""
    rows: Tensor
    """(T,) row of the target whose user or item a slot stands for; any row of the sequence elsewhere."""
    sequence: Tensor
    """(T,) which of the B sequences a token belongs to."""
    index: Tensor
    """(B, n, S) the token at each place, 0 at padding, which is on the right."""
    place: Tensor
    """(T,) the place of each token in `index` laid flat."""
    limits: Tensor | None
    """(B, n) how many tokens of the chain each branch reads; None where each reads the whole of it."""
    last: Tensor
    """(N,) the last token of each branch."""
    targets: NDArray[np.int64]
    """(N,) the row of each branch."""

    def to(self, device: torch.device) -> "Pass":
        """The same pass with its tensors on `device`."""
        moved: dict[str, Any] = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **moved)

    def filled(self, more: int) -> "Pass":
        """The same pass with so many tokens more: the last one again, which nobody reads there."""
        names = ("ids", "positions", "items", "asked", "rows", "sequence", "place")
        flat: dict[str, Tensor] = {name: getattr(self, name) for name in names}
        filled: dict[str, Any] = {name: torch.cat([of, of[-1:].expand(more)]) for name, of in flat.items()}
        return replace(self, **filled)


def collate_chains(sequences: list[Sequence]) -> Pass:
    """The chains of B sequences: one branch each, with nothing before it."""
    return _collate([[_Branch(s.chain, s.chain_items, np.zeros(len(s.chain), bool), 0, s.rows[0])] for s in sequences])


def collate_targets(sequences: list[Sequence]) -> Pass:
    """The targets of B sequences as branches of their chains."""
    lengths = {len(s.chain) for s in sequences}
    whole = len(lengths) == 1 and all(limit in lengths for s in sequences for limit in s.limits)
    batch = _collate([[_target(s, k) for k in range(len(s.rows))] for s in sequences])
    if whole:
        return batch
    limits = np.zeros(batch.index.shape[:2], dtype=np.int64)
    for b, s in enumerate(sequences):
        limits[b, : len(s.limits)] = s.limits
    return replace(batch, limits=torch.from_numpy(limits))


def collate_prompts(sequences: list[Sequence]) -> Pass:
    """Each target's whole prompt by itself, chain and suffix in one branch: the plain way, which shares nothing."""
    prompts = []
    for s in sequences:
        for k, limit in enumerate(s.limits):
            suffix = _target(s, k)
            ids = np.concatenate([s.chain[:limit], suffix.ids])
            items = np.concatenate([s.chain_items[:limit], suffix.items])
            asked = np.concatenate([np.zeros(limit, bool), suffix.asked])
            prompts.append([_Branch(ids, items, asked, 0, s.rows[k])])
    return _collate(prompts)


@dataclass
class _Branch:
    ids: Ids
    items: Codes
    asked: NDArray[np.bool_]
    start: int
    """Position of its first token."""
    row: int


def _target(s: Sequence, k: int) -> _Branch:
    suffix = s.suffixes[k]
    asked = suffix == ITEM_SLOT
    return _Branch(suffix, np.where(asked, s.candidates[k], 0), asked, s.limits[k], s.rows[k])


def _collate(sequences: list[list[_Branch]]) -> Pass:
    branches = [branch for sequence in sequences for branch in sequence]
    sizes = np.array([len(branch.ids) for branch in branches])
    first = np.cumsum(sizes) - sizes
    B, n, S = len(sequences), max(map(len, sequences)), int(sizes.max())
    inside = np.zeros((B, n, S), dtype=bool)
    index = np.zeros((B, n, S), dtype=np.int64)
    at = 0
    for b, sequence in enumerate(sequences):
        for k in range(len(sequence)):
            inside[b, k, : sizes[at]] = True
            index[b, k, : sizes[at]] = first[at] + np.arange(sizes[at])
            at += 1
    return Pass(
        ids=torch.from_numpy(np.concatenate([b.ids for b in branches])),
        positions=torch.from_numpy(np.concatenate([b.start + np.arange(len(b.ids)) for b in branches])),
        items=torch.from_numpy(np.concatenate([b.items for b in branches])),
        asked=torch.from_numpy(np.concatenate([b.asked for b in branches])),
        rows=torch.from_numpy(np.repeat([b.row for b in branches], sizes)),
        sequence=torch.from_numpy(np.repeat(np.repeat(np.arange(B), [len(s) for s in sequences]), sizes)),
        index=torch.from_numpy(index),
        place=torch.from_numpy(np.flatnonzero(inside)),
        limits=None,
        last=torch.from_numpy(first + sizes - 1),
        targets=np.array([b.row for b in branches]),
    )
