"""A transformer over a history in its order, taught to tell the likes that follow from the rest of the catalogue."""

import math
import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ccf_llm.cf.attention import Block
from ccf_llm.cf.settings import SASRecSoftmaxConfig
from ccf_llm.cf.tables import start_table
from ccf_llm.data.rows import Codes
from ccf_llm.errors import CCFError
from ccf_llm.io.progress import Say, time_left

Window = tuple[Codes, int, int]
"""A user's likes in time, and the first place and the one after the last of those that are read."""


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

    def __init__(self, sequences: Sequence[Codes], n_items: int, config: SASRecSoftmaxConfig) -> None:
        """`sequences` of codes 1 to `n_items`, each of which occurs."""
        # Sorted by what they hold, as the order of the users must not matter.
        self.sequences = sorted((s for s in sequences if len(s) > 1), key=lambda codes: codes.tobytes())
        self.counts: NDArray[np.int64] = np.bincount(np.concatenate(sequences), minlength=n_items + 1)
        self.config = config

    def windows(self, order: np.random.Generator) -> list[list[Window]]:
        """All places once, in batches of windows of like length; long sequences are cut somewhere else each time."""
        length, size = self.config.history_length, self.config.batch_size
        windows: list[Window] = []
        for sequence in self.sequences:
            places = len(sequence) - 1
            begin = -int(order.integers(length)) if places > length else 0
            windows += [(sequence, max(at, 0), min(at + length, places)) for at in range(begin, places, length)]
        shuffled = [windows[place] for place in order.permutation(len(windows))]
        shuffled.sort(key=lambda window: window[2] - window[1])
        batches = [shuffled[begin : begin + size] for begin in range(0, len(shuffled), size)]
        return [batches[place] for place in order.permutation(len(batches))]

    def loss(self, states: States, items: Tensor, windows: list[Window], order: np.random.Generator) -> Tensor:
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

    def _arrays(self, windows: list[Window]) -> tuple[Tensor, Tensor, Tensor]:
        """(B, H) histories, (B, H, horizon) the likes that follow each place, (B, n_items + 1) what the user likes."""
        width, horizon = max(end - begin for _, begin, end in windows), self.config.horizon
        history = np.zeros((len(windows), width), dtype=np.int64)
        aims = np.zeros((len(windows), width, horizon), dtype=np.int64)
        own = np.zeros((len(windows), len(self.counts)), dtype=np.bool_)
        own[:, 0] = True
        for row, (sequence, begin, end) in enumerate(windows):
            left = width - (end - begin)
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


def teach(
    sequences: Sequence[Codes], n_items: int, config: SASRecSoftmaxConfig, seed: int, progress: Say | None = None
) -> tuple[States, Tensor]:
    """The network and the items' (n_items + 1, d + 1) vectors and biases, trained by AdamW; biases start at popularity.

    Draws torch's random numbers; `progress` gets a line for each pass. Raises `CCFError` where the training diverges.
    """
    lesson, order = Lesson(sequences, n_items, config), np.random.default_rng(seed)
    states, items = States(config), start_table(n_items + 1, config.dim, torch.default_generator)
    items[1:, -1] = torch.from_numpy(lesson.counts[1:] / len(sequences)).log()
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
