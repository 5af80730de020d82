"""A transformer over a history in its order, taught to tell the likes that follow from the rest of the catalogue."""

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ccf_llm.cf.attention import Block
from ccf_llm.cf.by_content import by_content
from ccf_llm.cf.settings import SASRecSoftmaxConfig
from ccf_llm.cf.tables import start_table
from ccf_llm.errors import CCFError
from ccf_llm.io.progress import Say, time_left

Windows = NDArray[np.int32]
"""(W, 3) the number of a user's sequence, and in it the first place and the one after the last of those that are read.
"""


@dataclass(frozen=True)
class Sequences:
    """Item codes, row by row; they may lie in files."""

    codes: NDArray[np.int32]
    """(N,) one row after the other."""
    bounds: NDArray[np.integer[Any]]
    """(S + 1,) where each row begins, and N."""

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitem__(self, row: int) -> NDArray[np.int32]:
        return self.codes[self.bounds[row] : self.bounds[row + 1]]


class States(nn.Module):
    """Causal self-attention (Kang and McAuley 2018), whose softmax gets a learned number for each distance between two
    items instead of vectors for places: a state is then the same wherever in a longer history it stands.
    """

    def __init__(self, config: SASRecSoftmaxConfig) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.blocks = nn.ModuleList(Block(config.dim, config.heads, config.dropout) for _ in range(config.blocks))
        self.distances = nn.Parameter(torch.zeros(config.blocks, config.heads, config.history_length))
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, sequence: Tensor, known: Tensor, *, last: bool = False) -> Tensor:
        """(B, H, d) states by vectors (B, H, d) and what is no padding (B, H), which is on the left; or the (B, d)."""
        dropout = self.dropout if self.training else 0.0
        place = torch.arange(sequence.shape[1], device=sequence.device)
        back = (place[:, None] - place).clamp(min=0)  # (H, H)
        sequence = F.dropout(sequence, dropout)
        for block, distances in zip(self.blocks, self.distances, strict=True):
            sequence = block(sequence, sequence, known, dropout, distances[:, back])
        states: Tensor = self.norm(sequence[:, -1] if last else sequence)
        return states


class Lesson:
    """What is taught: the sequences, and how a loss comes of some windows of them.

    From every place of a window the next `horizon` likes are aimed at, each against all items that the user never
    likes. Beyond `negatives` items, these are drawn by popularity, and their logits corrected by the logarithm of how
    often they are drawn (Yi et al., *Sampling-Bias-Corrected Neural Modeling*, 2019).
    """

    def __init__(self, sequences: Sequences, counts: NDArray[np.int64], config: SASRecSoftmaxConfig) -> None:
        """`sequences` of codes from 1; `counts` (n_items,) is how often each of them occurs."""
        self.sequences, self.config = sequences, config
        self.counts: NDArray[np.int64] = np.append(0, counts)
        # Sorted by what they hold, as the order of the users must not matter.
        self.order = by_content(len(sequences), lambda row: sequences[row].tobytes())

    def windows(self, order: np.random.Generator) -> list[Windows]:
        """All places once, in batches of windows of like length; long sequences are cut somewhere else each time."""
        length, size = self.config.history_length, self.config.batch_size
        places = np.maximum(np.diff(self.sequences.bounds)[self.order] - 1, 0)
        begins = np.zeros(len(places), dtype=np.int64)
        begins[places > length] -= order.integers(length, size=(places > length).sum())
        counts = -((begins - places) // length)
        before = np.cumsum(counts) - counts  # windows of those who stand before
        at = np.repeat(begins - length * before, counts) + length * np.arange(counts.sum())
        columns = np.repeat(self.order, counts), np.maximum(at, 0), np.minimum(at + length, np.repeat(places, counts))
        windows = np.stack(columns, axis=1, dtype=np.int32, casting="same_kind")
        windows = windows[order.permutation(len(windows))]
        windows = windows[np.argsort(windows[:, 2] - windows[:, 1], kind="stable")]
        batches = [windows[begin : begin + size] for begin in range(0, len(windows), size)]
        return [batches[place] for place in order.permutation(len(batches))]

    def loss(self, states: States, items: Tensor, windows: Windows, order: np.random.Generator) -> Tensor:
        """() mean over places and aims of what the softmax lacks; `items` are (n_items + 1, d + 1) [vector, bias]."""
        history, aims, own = self._arrays(windows)
        known = history > 0
        kept = known & (torch.rand(known.shape) >= self.config.item_dropout)
        vectors, biases = items[:, :-1], items[:, -1]
        read = states(vectors[history], kept)[known]  # (P, d)
        rivals, correction = self._rivals(order)
        logits = torch.addmm(biases[rivals] - correction, read, vectors[rivals].T)
        rows = known.nonzero()[:, 0]
        logits.masked_fill_(own[:, rivals][rows], -1e4)  # never what the user likes; a finite number, for gradients
        aims = aims[known]
        aimed = (read.unsqueeze(1) * vectors[aims]).sum(-1) + biases[aims]  # (P, horizon)
        counts = (aims > 0).float()
        lacking = F.softplus(logits.logsumexp(1, keepdim=True) - aimed)  # -log of aimed's share of itself and rivals
        return ((lacking * counts).sum(1) / counts.sum(1)).mean()

    def _arrays(self, windows: Windows) -> tuple[Tensor, Tensor, Tensor]:
        """(B, H) histories, (B, H, horizon) the likes that follow each place, (B, n_items + 1) what the user likes."""
        width, horizon = int((windows[:, 2] - windows[:, 1]).max()), self.config.horizon
        history = np.zeros((len(windows), width), dtype=np.int64)
        aims = np.zeros((len(windows), width, horizon), dtype=np.int64)
        own = np.zeros((len(windows), len(self.counts)), dtype=np.bool_)
        own[:, 0] = True
        for row, (of, begin, end) in enumerate(windows.tolist()):
            left, sequence = width - (end - begin), self.sequences[of]
            history[row, left:] = sequence[begin:end]
            own[row, sequence] = True
            for step in range(1, horizon + 1):
                following = sequence[begin + step : end + step]
                aims[row, left : left + len(following), step - 1] = following
        return torch.from_numpy(history), torch.from_numpy(aims), torch.from_numpy(own)

    def _rivals(self, order: np.random.Generator) -> tuple[Tensor, Tensor]:
        """(R,) codes to be beaten in a step, and the logarithms of how often each is expected among them."""
        n_items, n = len(self.counts) - 1, self.config.negatives
        if n_items <= n:
            return torch.arange(n_items + 1), torch.zeros(n_items + 1)
        return self._drawn(order, n)

    def _drawn(self, order: np.random.Generator, n: int) -> tuple[Tensor, Tensor]:
        """`n` codes by their share of the likes, with repeats."""
        share = self.counts / self.counts.sum()
        drawn = order.choice(len(share), n, p=share)
        return torch.from_numpy(drawn), torch.from_numpy(np.log(n * share[drawn])).float()


def teach(lesson: Lesson, seed: int, progress: Say | None = None) -> tuple[States, Tensor]:
    """The network and the items' (n_items + 1, d + 1) vectors and biases, trained by AdamW; biases start at popularity.

    Draws torch's random numbers; `progress` gets a line for each pass. Raises `CCFError` where the training diverges.
    """
    config, order = lesson.config, np.random.default_rng(seed)
    states, items = States(config), start_table(len(lesson.counts), config.dim, torch.default_generator)
    items[1:, -1] = torch.from_numpy(lesson.counts[1:] / len(lesson.sequences)).log()
    items.requires_grad_()
    optimizer = torch.optim.AdamW([items, *states.parameters()], weight_decay=0)
    begun = time.monotonic()
    for epoch in range(config.epochs):
        batches = lesson.windows(order)
        for place, batch in enumerate(batches):
            rate = config.learning_rate * _rate((epoch + (place + 0.5) / len(batches)) / config.epochs)
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad()
            lesson.loss(states, items, batch, order).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_([items, *states.parameters()], 1.0)
            optimizer.step()
        if progress:
            left = time_left(begun, epoch + 1, config.epochs)
            progress(f"sasrec_softmax: pass {epoch + 1} of {config.epochs}, {left}")
    if not bool(torch.isfinite(items).all()):
        raise CCFError(f"learning_rate: training diverged at {config.learning_rate}; choose a smaller one")
    return states.eval(), items.detach()


def _rate(done: float) -> float:
    """Share of the learning rate after this share of the training: up in the first twentieth, down as a cosine."""
    return min(1.0, 20 * done) * 0.5 * (1 + math.cos(math.pi * done))
