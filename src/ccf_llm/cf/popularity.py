"""How many people like an item, of late or ever: the same list for everybody, and a bar for all others."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ccf_llm.cf.prior import Words
from ccf_llm.cf.retriever import Retriever
from ccf_llm.cf.settings import PopularityConfig
from ccf_llm.data.rows import Codes, Floats
from ccf_llm.errors import CCFError
from ccf_llm.io.progress import Say

DAY = 24 * 60 * 60


@dataclass(frozen=True, eq=False)
class Popularity(Retriever):
    """score(i) = share of the training users who like i, by likes of the last `days` before the newest one.

    What nobody liked in the window follows in the order of all likes. It knows no likeness of items, and no vectors.
    """

    kind: ClassVar[str] = "popularity"
    config_type: ClassVar[type[PopularityConfig]] = PopularityConfig
    by_item: ClassVar[tuple[str, ...]] = ("recent",)

    recent: Floats
    """(n_items,) the scores."""

    @classmethod
    def _learn(
        cls,
        likes: csr_matrix,
        config: PopularityConfig,
        seed: int,
        times: csr_matrix | None,
        words: Words | None,
        progress: Say | None,
    ) -> dict[str, NDArray[np.generic]]:
        items, people = likes.indices, likes.shape[0]
        if config.days is not None:
            if times is None or times.data.min() == times.data.max():
                raise CCFError("days: the likes have no times to count back from; leave the window out")
            items = times.indices[times.data > times.data.max() - config.days * DAY]
        counts = np.bincount(items, minlength=likes.shape[1])
        return {"recent": (counts / people).astype(np.float32)}

    @property
    def _fallback(self) -> Floats:
        return self.recent

    def _score(self, histories: list[Codes]) -> Floats:
        return np.tile(self.recent, (len(histories), 1))

    def _similar(self, column: int) -> Floats:
        raise CCFError("popularity: knows no likeness of items; use another retriever, such as ease or knn")
