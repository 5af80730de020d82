"""`Scorer`: anything that scores rows."""

from pathlib import Path
from typing import ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ccf_llm.data.rows import Rows


class Scorer(Protocol):
    """Anything that scores interactions: a collaborative model, a mean, a language model."""

    name: ClassVar[str]

    def score(self, rows: Rows) -> NDArray[np.float32]:
        """(N,) log-odds that the user likes the item."""

    def save(self, folder: Path) -> None:
        """Write the fitted model to `folder`, atomically."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
