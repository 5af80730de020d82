"""Many targets of one user in one sequence: a chain of history with each target as an isolated branch.

The prefix (instruction and history) is causal, and the histories of a user's rows are prefixes of each other, so a
target may read the chain up to its own history's end and nothing else: the result equals that of its separate prompt. A
sequence with a single branch *is* the separate prompt; there is no second path.

    chain:     instruction  like_1  like_2  like_3 ...
    branches:                  |        |__ target B (history like_1, like_2)
                               |__ target A (history like_1)
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ccf_llm.data.rows import Rows
from ccf_llm.errors import CCFError
from ccf_llm.prompts.budget import HistoryBudget
from ccf_llm.prompts.encoder import ITEM_SLOT, USER_SLOT, Ids, PromptEncoder


@dataclass
class Sequence:
    """One packed sequence: the chain, and the targets that branch off it."""

    chain: Ids
    """(C,) ids of instruction and history."""
    chain_items: NDArray[np.int64]
    """(C,) the item code at the item slots of the chain, 0 elsewhere."""
    rows: list[int] = field(default_factory=list)
    """The row of each target, an index into the Rows that were planned."""
    limits: list[int] = field(default_factory=list)
    """How many chain tokens each target reads."""
    suffixes: list[Ids] = field(default_factory=list)
    """Ids of each target's suffix."""
    candidates: list[int] = field(default_factory=list)
    """Item code of each target."""

    def __len__(self) -> int:
        """Tokens of the chain and all branches."""
        return len(self.chain) + sum(len(s) for s in self.suffixes)


@dataclass
class PromptBatch:
    """Tensors of B sequences padded to T tokens, holding N targets. Slots have negative ids in `ids`."""

    ids: Tensor
    """(B, T) token ids; `USER_SLOT` / `ITEM_SLOT` at slots; 0 at padding."""
    positions: Tensor
    """(B, T) positions as they would be in separate prompts."""
    mask: Tensor
    """(B, 1, T, T) True where a token (third dimension) may read another (fourth)."""
    slot_items: Tensor
    """(B, T) item code at item slots, 0 elsewhere."""
    slot_targets: Tensor
    """(B, T) target (0..N-1) at user slots, -1 elsewhere."""
    answers: Tensor
    """(N, 2) sequence and token of each target's last token."""
    rows: NDArray[np.int64]
    """(N,) row of each target."""

    def to(self, device: torch.device) -> "PromptBatch":
        """The same batch with its tensors on `device`."""
        moved: dict[str, Any] = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **moved)


def plan_sequences(
    rows: Rows, encoder: PromptEncoder, budget: HistoryBudget, *, max_tokens: int, max_rows: int | None = None
) -> list[Sequence]:
    """Lay out every row in sequences of one user and at most `max_tokens` tokens and `max_rows` targets.

    Raises:
        CCFError: a prompt without any history is longer than `max_tokens`.
    """
    sequences: list[Sequence] = []
    open_key: tuple[int, int, int] | None = None
    windows = _windows(rows, encoder, budget)
    # Stable: rows of one window by the length of their history, ties in the order of the data. The start alone does not
    # tell users apart: one without likes shares it with the next one.
    for row in np.lexsort((rows.end, windows, rows.users, rows.start)):
        key = (int(rows.start[row]), int(rows.users[row]), int(windows[row]))
        suffix = encoder.suffix(int(rows.items[row]))
        chain, items = _chain(rows.likes[rows.start[row] + windows[row] : rows.end[row]], encoder)
        if len(chain) + len(suffix) > max_tokens:
            raise CCFError(
                f"a prompt of {len(chain) + len(suffix)} tokens exceeds the limit of {max_tokens}; "
                "lower history.tokens or raise batch.sequence_tokens"
            )
        last = sequences[-1] if key == open_key else None
        grown = len(chain) + sum(map(len, last.suffixes)) + len(suffix) if last else 0
        if last is None or grown > max_tokens or len(last.rows) == max_rows:
            last = Sequence(chain, items)
            sequences.append(last)
            open_key = key
        last.chain, last.chain_items = chain, items  # the newest row's history is the longest so far
        last.rows.append(int(row))
        last.limits.append(len(chain))
        last.suffixes.append(suffix)
        last.candidates.append(int(rows.items[row]))
    return sequences


def plan_batches(sequences: list[Sequence], *, batch_tokens: int) -> list[list[Sequence]]:
    """Group sequences of similar length so that no batch exceeds `batch_tokens` tokens, padding included.

    A sequence that is longer than that alone is a batch of its own.
    """
    batches: list[list[Sequence]] = []
    for sequence in sorted(sequences, key=len, reverse=True):  # stable; the first of a batch is its longest
        if not batches or len(batches[-1][0]) * (len(batches[-1]) + 1) > batch_tokens:
            batches.append([])
        batches[-1].append(sequence)
    return batches


def collate(sequences: list[Sequence]) -> PromptBatch:
    """Tensors of a batch of sequences."""
    B, T = len(sequences), max(len(s) for s in sequences)
    ids, positions, slot_items = (np.zeros((B, T), dtype=np.int64) for _ in range(3))
    slot_targets = np.full((B, T), -1, dtype=np.int64)
    segment = np.full((B, T), -1, dtype=np.int64)  # 0 chain, 1.. branches, -1 padding
    limit = np.zeros((B, T), dtype=np.int64)  # how many chain tokens a token reads
    answers: list[tuple[int, int]] = []
    rows: list[int] = []
    for b, sequence in enumerate(sequences):
        C = len(sequence.chain)
        ids[b, :C], slot_items[b, :C] = sequence.chain, sequence.chain_items
        positions[b, :C], limit[b, :C], segment[b, :C] = np.arange(C), np.arange(1, C + 1), 0
        at = C
        for k, (row, reads, suffix) in enumerate(zip(sequence.rows, sequence.limits, sequence.suffixes, strict=True)):
            here = slice(at, at + len(suffix))
            ids[b, here], segment[b, here], limit[b, here] = suffix, k + 1, reads
            positions[b, here] = reads + np.arange(len(suffix))
            slot_targets[b, here] = np.where(suffix == USER_SLOT, len(rows), -1)
            slot_items[b, here] = np.where(suffix == ITEM_SLOT, sequence.candidates[k], 0)
            at += len(suffix)
            rows.append(row)
            answers.append((b, at - 1))
    return PromptBatch(
        ids=torch.from_numpy(ids),
        positions=torch.from_numpy(positions),
        mask=_mask(torch.from_numpy(segment), torch.from_numpy(limit)),
        slot_items=torch.from_numpy(slot_items),
        slot_targets=torch.from_numpy(slot_targets),
        answers=torch.tensor(answers),
        rows=np.asarray(rows),
    )


def _mask(segment: Tensor, limit: Tensor) -> Tensor:
    """(B, 1, T, T): the chain up to a token's limit, and its own branch up to itself. Padding reads only itself."""
    token = torch.arange(segment.shape[1])
    chain = (segment == 0)[:, None, :] & (token[None, None, :] < limit[:, :, None])
    branch = (
        (segment[:, :, None] == segment[:, None, :]) & (segment > 0)[:, :, None] & (token[:, None] >= token[None, :])
    )
    alone = torch.eye(segment.shape[1], dtype=torch.bool) & (segment < 0)[:, :, None]
    return (chain | branch | alone)[:, None]


def _windows(rows: Rows, encoder: PromptEncoder, budget: HistoryBudget) -> NDArray[np.int64]:
    """(N,) window start of each row, counted from the start of the row's history."""
    lengths = rows.end - rows.start
    tokens = np.zeros(len(rows.likes), dtype=np.int64)
    used = np.unique(rows.likes)
    size = {int(item): len(encoder.history_item(int(item))) for item in used}
    if len(used):
        tokens = np.array([size[int(i)] for i in rows.likes], dtype=np.int64)
    cache: dict[tuple[int, int], int] = {}
    result = np.zeros(len(rows), dtype=np.int64)
    for r in range(len(rows)):
        key = (int(rows.start[r]), int(lengths[r]))
        if key not in cache:
            cache[key] = budget.window_start(key[1], tokens[key[0] : key[0] + key[1]])
        result[r] = cache[key]
    return result


def _chain(history: NDArray[np.int64], encoder: PromptEncoder) -> tuple[Ids, NDArray[np.int64]]:
    """Ids of instruction and history, and the item code at each of its item slots."""
    pieces = [encoder.instruction] + [encoder.history_item(int(i)) for i in history]
    codes = [np.zeros(len(encoder.instruction), dtype=np.int64)] + [
        np.where(piece == ITEM_SLOT, item, 0) for piece, item in zip(pieces[1:], history, strict=True)
    ]
    return np.concatenate(pieces), np.concatenate(codes)
