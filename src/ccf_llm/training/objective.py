"""What a stage makes small, and what its states are chosen by."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ccf_llm.cf.base import CFModel
from ccf_llm.data.rows import Floats, Rows
from ccf_llm.model.network import CCFNetwork
from ccf_llm.prompts.pack import Sequence
from ccf_llm.scoring import SharedPrefixScorer
from ccf_llm.training.categories import CategoryHead
from ccf_llm.training.data import ListData, TrainingData
from ccf_llm.training.processes import count, rank, total
from ccf_llm.training.stage import BatchConfig, StageConfig


@dataclass(frozen=True)
class Measured:
    """How good a state is on the valid rows."""

    value: float
    """What decides: the larger, the better."""
    alone: float
    """The same of the language model without the blend (0: not asked), which decides between states of one value."""
    point: dict[str, float | None]
    """The figures for the stage's curve."""


class Objective(Protocol):
    """One of the two tasks, as the loop sees it."""

    head: CategoryHead | None
    """What tells categories, to be trained beside the model's own parts."""

    def plan(self, batch: BatchConfig) -> list[Sequence]:
        """All training rows as packs; what a step takes is whole packs."""

    def begin(self, packs: list[Sequence]) -> None:
        """Get ready for a stage that will read these packs."""

    def weight(self, packs: list[Sequence]) -> Tensor | float:
        """What all that is in the packs weighs."""

    def loss(self, packs: list[Sequence]) -> Tensor:
        """() the sum of weighted losses, with a gradient to the weights that are trained."""

    def measure(self, memory_mb: int, *, asked: bool = True) -> Measured:
        """Measure the present state on valid, and fit the blend's weights to it.

        Where the language model is not `asked`, the blend leaves it out.

        Raises `FloatingPointError` where a score is not finite.
        """


def rows_of(packs: list[Sequence]) -> list[int]:
    """The rows of all targets of the packs, one pack after the other."""
    return [row for pack in packs for row in pack.rows]


def empty_slots(packs: list[Sequence], stage: StageConfig, device: torch.device) -> Tensor | None:
    """(B,) whose slots hold zeros, drawn anew for each step from torch's generator; None where none shall."""
    return (torch.rand(len(packs)) < stage.empty_slots).to(device) if stage.empty_slots else None


def cf_scores(model: CCFNetwork, data: TrainingData | ListData, rows: list[int]) -> Tensor:
    """(N,) CF scores of these training rows, each by the CF model that it is read with; 0 for all others."""
    rows_of_model: dict[CFModel, list[int]] = {}
    for row in sorted(set(rows)):
        rows_of_model.setdefault(data.cf_of_row(row) if data.cf_of_row else model.cf, []).append(row)
    found = np.zeros(len(data.train), dtype=np.float32)
    for cf, mine in rows_of_model.items():
        found[mine] = cf.score(data.train.take(np.asarray(mine)))
    return torch.from_numpy(found).to(model.device)


def language_scores(model: CCFNetwork, rows: Rows, memory_mb: int, asked: bool) -> Floats:
    """(N,) log-odds of the language model alone, zeros where it is not `asked`; of several processes each reads some
    of the users, for all.
    """
    scores = np.zeros(len(rows), dtype=np.float32)
    if not asked:
        return scores
    mine = np.flatnonzero(rows.users % count() == rank())
    scores[mine] = SharedPrefixScorer(model, memory_mb=memory_mb).language_scores(rows.take(mine))
    with torch.no_grad():
        model.llm.end_together()
    return total(scores)


def check_finite(*scores: Floats | None) -> None:
    """Raise `FloatingPointError` where one of the scores is not finite."""
    if not all(found is None or np.isfinite(found).all() for found in scores):
        raise FloatingPointError("valid scores nan")
