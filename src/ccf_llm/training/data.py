"""What a stage reads."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ccf_llm.cf.base import CFModel
from ccf_llm.cf.candidates import Candidates
from ccf_llm.data.rows import Floats, Rows
from ccf_llm.prompts.pack import Sequence


class _Read:
    """What is read by CF models that need not be the network's own."""

    cf_of_row: Callable[[int], CFModel] | None

    def cf_of(self, packs: list[Sequence]) -> list[CFModel] | None:
        """The CF model of each pack; None for the model's own."""
        return [self.cf_of_row(pack.rows[0]) for pack in packs] if self.cf_of_row else None


@dataclass(frozen=True)
class TrainingData(_Read):
    """Of the rating task: labels to learn, rows to choose by, and who reads the former."""

    train: Rows
    valid: Rows
    cf_of_row: Callable[[int], CFModel] | None = None
    """The CF model to read a training row with, one that has not seen it; None for the model's own."""
    categories: Floats | None = None
    """(n_items + 1, C) 1 where an item has a category, by item code; None where no stage asks."""


@dataclass(frozen=True)
class ListData(_Read):
    """Of the ranking task: lists to learn, whole people's lists to choose by, and who reads the former."""

    train: Rows
    """Row r is of list r // size; what is to be found has the label 1, and is not all of a list."""
    size: int
    valid: Candidates
    cf_of_row: Callable[[int], CFModel] | None = None
    """As of `TrainingData`; the rows of a list share theirs."""
    disliked: NDArray[np.bool_] | None = None
    """(N,) which rows of `train` are of items that the user met and did not like; None: none are."""
    categories: Floats | None = None
    """As of `TrainingData`."""
