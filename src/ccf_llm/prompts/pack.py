"""Many targets of one user in one sequence: a chain of history with each target as an isolated branch.

The chain (instruction and history) is causal, and the histories of a user's rows are prefixes of each other, so a
target may read the chain up to its own history's end and nothing else: the result equals that of its separate prompt.

    chain:     instruction  like_1  like_2  like_3 ...
    branches:                  |        |__ target B (history like_1, like_2)
                               |__ target A (history like_1)

Words: a target's *prefix* is the part of its prompt before the suffix. A *chain* is the tokens of the longest prefix of
a sequence, of which the others are beginnings; a `Prefix` (llm.attention) is the keys and values that a model has
computed of chains. A *stem* is what all suffixes of a chain begin with; it moves into the chain.
"""

from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field, replace
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from ccf_llm.data.rows import Codes, Rows
from ccf_llm.errors import CCFError
from ccf_llm.prompts.budget import HistoryBudget
from ccf_llm.prompts.encoder import ITEM_SLOT, Ids, PromptEncoder


@dataclass
class Sequence:
    """One packed sequence: the chain, and the targets that branch off it."""

    chain: Ids
    """(C,) ids of instruction, the user's words and history, and of what all suffixes begin with where they share one
    history."""
    chain_items: Codes
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
        return len(self.chain) + sum(map(len, self.suffixes))

    def part(self, targets: SequenceOf[int]) -> "Sequence":
        """The same chain with some of the targets."""
        return replace(
            self,
            rows=[self.rows[k] for k in targets],
            limits=[self.limits[k] for k in targets],
            suffixes=[self.suffixes[k] for k in targets],
            candidates=[self.candidates[k] for k in targets],
        )


def plan_sequences(
    rows: Rows,
    encoder: PromptEncoder,
    budget: HistoryBudget,
    *,
    max_tokens: int | None = None,
    max_rows: int | None = None,
) -> list[Sequence]:
    """Lay out every row in sequences of one user and at most `max_tokens` tokens and `max_rows` targets.

    Raises:
        CCFError: a prompt without any history is longer than `max_tokens`.
    """
    most = max_tokens or np.inf
    sequences: list[Sequence] = []
    open_key: tuple[int, int, int, int] | None = None
    length = 0
    windows = _windows(rows, encoder, budget)
    readers = encoder.readers(rows)
    words, told = np.unique(np.array(encoder.user_words(rows), dtype=object), return_inverse=True)
    openings = [encoder.opening(text) for text in words]
    # Stable: rows of one window by the length of their history, ties in the order of the data. The start alone does not
    # tell users apart: one without likes shares it with the next one. Nor does the code: 0 is everybody unknown.
    for row in np.lexsort((rows.end, windows, told, rows.users, rows.start)):
        key = (int(rows.start[row]), int(rows.users[row]), int(told[row]), int(windows[row]))
        suffix = encoder.suffix(int(rows.items[row]), readers[row])
        last = sequences[-1] if key == open_key else None
        if last is None or rows.end[row] != rows.end[last.rows[-1]]:
            history = rows.likes[rows.start[row] + windows[row] : rows.end[row]]
            chain, items = _chain(openings[told[row]], history, encoder)
        if len(chain) + len(suffix) > most:
            raise CCFError(
                f"a prompt of {len(chain) + len(suffix)} tokens exceeds the limit of {max_tokens}; "
                "lower history.tokens or raise batch.sequence_tokens"
            )
        grown = len(chain) + length + len(suffix)
        if last is None or grown > most or len(last.rows) == max_rows:
            last, length, open_key = Sequence(chain, items), 0, key
            sequences.append(last)
        last.chain, last.chain_items = chain, items  # the newest row's history is the longest so far
        last.rows.append(int(row))
        last.limits.append(len(chain))
        last.suffixes.append(suffix)
        last.candidates.append(int(rows.items[row]))
        length += len(suffix)
    return [_share_stem(sequence) for sequence in sequences]


def plan_batches(sequences: list[Sequence], *, batch_tokens: int) -> list[list[Sequence]]:
    """Group sequences of similar shape so that no batch exceeds `batch_tokens` tokens.

    A sequence that is longer than that alone is a batch of its own.
    """
    batches: list[list[Sequence]] = []
    room = 0
    for sequence in sorted(sequences, key=lambda s: (len(s.rows), len(s.chain)), reverse=True):  # stable
        if len(sequence) > room:
            batches.append([])
            room = batch_tokens
        batches[-1].append(sequence)
        room -= len(sequence)
    return batches


def split_targets(sequence: Sequence, *, batch_tokens: int) -> list[Sequence]:
    """The targets of one sequence in parts of at most `batch_tokens` suffix tokens and of similar lengths."""
    parts: list[list[int]] = []
    room = 0
    for k in sorted(range(len(sequence.rows)), key=lambda k: -len(sequence.suffixes[k])):
        if len(sequence.suffixes[k]) > room:
            parts.append([])
            room = batch_tokens
        parts[-1].append(k)
        room -= len(sequence.suffixes[k])
    return [sequence.part(part) for part in parts]


def _share_stem(sequence: Sequence) -> Sequence:
    """Where all targets have one history, what their suffixes begin with becomes part of the chain.

    An item slot ends it, as it is another item's in each suffix; at least one token stays in each.
    """
    if len(sequence.rows) < 2 or sequence.limits[0] != sequence.limits[-1]:
        return sequence
    shortest = min(map(len, sequence.suffixes))
    columns = np.stack([suffix[: shortest - 1] for suffix in sequence.suffixes], axis=1)
    shared = takewhile(lambda column: column[0] != ITEM_SLOT and (column == column[0]).all(), columns)
    stem = np.array([column[0] for column in shared], dtype=np.int64)
    C = len(sequence.chain) + len(stem)
    return replace(
        sequence,
        chain=np.concatenate([sequence.chain, stem]),
        chain_items=np.concatenate([sequence.chain_items, np.zeros_like(stem)]),
        limits=[C] * len(sequence.rows),
        suffixes=[suffix[len(stem) :] for suffix in sequence.suffixes],
    )


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


def _chain(opening: Ids, history: NDArray[np.int64], encoder: PromptEncoder) -> tuple[Ids, Codes]:
    """Ids of instruction and history, and the item code at each of its item slots."""
    pieces = [opening] + [encoder.history_item(int(i)) for i in history]
    codes = [np.zeros(len(opening), dtype=np.int64)] + [
        np.where(piece == ITEM_SLOT, item, 0) for piece, item in zip(pieces[1:], history, strict=True)
    ]
    return np.concatenate(pieces), np.concatenate(codes)
