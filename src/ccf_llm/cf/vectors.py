"""A retriever as a CF model: its vectors fill slots, and its scores are what a language model's are added to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from ccf_llm.cf.als import ALS
from ccf_llm.cf.base import CFModel, last_rows, stored_sizes
from ccf_llm.cf.checks import check_codes
from ccf_llm.cf.ease import EASE
from ccf_llm.cf.knn import ItemKNN
from ccf_llm.cf.l3ae import L3AE
from ccf_llm.cf.popularity import Popularity
from ccf_llm.cf.prior import Words
from ccf_llm.cf.retriever import BATCH, Retriever
from ccf_llm.cf.retriever_ensemble import RetrieverEnsemble
from ccf_llm.cf.sasrec_softmax import SASRecSoftmax
from ccf_llm.cf.settings import (
    ALSConfig,
    EASEConfig,
    KNNConfig,
    L3AEConfig,
    PopularityConfig,
    RetrieverConfig,
    RetrieverEnsembleConfig,
    SASRecSoftmaxConfig,
)
from ccf_llm.cf.store import WEIGHTS_FILE, read_settings, stored
from ccf_llm.data.rows import Codes, Floats, Rows
from ccf_llm.errors import CCFError, one_line
from ccf_llm.io.tensors import read_tensors, write_tensors

HISTORY = 50
"""How many of the last likes a user's vector looks at; the score reads all."""
HALF_LIFE = 3.0
"""Likes after which one counts half as much in a user's vector; 1, 3 and 10 were tried on the valid likes of
MovieLens-100K, where the cosine of such a vector and an item's says most beside EASE's own score."""
UNIT = 0.002
"""What a retriever's score is measured in before its logarithm is taken: far below those of the best hundred."""


class RetrieverVectors(CFModel):
    """Learns from the likes among its rows alone, and knows a user by history alone.

    Its score is the retriever's, of all likes alike. Where that is a sum over the likes, it grows with their number,
    while odds follow ratios: so it is shown as asinh(score / `UNIT`), a logarithm that also takes zero and less and
    keeps the order. It is an order, no log-odds.

    The vector of an item is the retriever's at length 1, with the standardised logarithm of its popularity as the bias.
    A user's is the mean of those of the last likes, the latest counting most: what the score does not know. Where a
    retriever has no vectors (`Popularity`), the bias is all that there is.

    With `words` vectors and scores of items with few likes are drawn to what these predict (see `cf.prior`).
    """

    config_type: ClassVar[type[RetrieverConfig]]  # type: ignore[assignment]  # no settings of a training on labels
    retriever_type: ClassVar[type[Retriever]]
    scores_by_product: ClassVar[bool] = False
    by_logarithm: ClassVar[bool] = True
    """Whether the score is shown so; not where the retriever's are logits already."""

    config: RetrieverConfig  # type: ignore[assignment]
    retriever: Retriever

    def __init__(self, n_users: int, n_items: int, config: RetrieverConfig | None = None, *, seed: int = 0) -> None:
        """Make room; `learn` fills it."""
        super().__init__(n_users, n_items, config, seed=seed)  # type: ignore[arg-type]
        self.register_buffer("items", torch.zeros(n_items + 1, self.dim), persistent=False)

    items: Tensor
    """(n_items + 1, d + 1) [q_i, b_i]; it follows from the retriever, so it is not saved."""
    words: Words | None = None
    """What `learn` is told of the items beside likes; the retriever keeps what follows from it."""

    @classmethod
    def fit(  # type: ignore[override]  # settings of its own, as `config_type`
        cls,
        train: Rows,
        valid: Rows,
        *,
        n_users: int,
        n_items: int,
        config: RetrieverConfig | None = None,
        seed: int = 0,
        progress: Callable[[str], None] | None = None,
        device: torch.device | str = "cpu",
        words: Words | None = None,
    ) -> Self:
        """As `CFModel.fit`, told what the items' words say; a kind that takes no words passes them over."""
        model = cls(n_users, n_items, config, seed=seed).to(device)
        model.words = words
        model.learn(train, valid, seed=seed, progress=progress)
        model.words = None
        return model

    def learn(self, train: Rows, valid: Rows, *, seed: int, progress: Callable[[str], None] | None = None) -> None:
        """Fit the retriever on the likes of `train`; `valid` is not read."""
        self.count(train)
        likes, times = likes_of_rows(train, self.n_users, self.n_items)
        told: dict[str, Any] = {"times": times, "words": self.words, "progress": progress}
        self._take(self.retriever_type.fit(likes, config=self.config, seed=seed, **told))
        self.measure_users(last_rows(train))
        self.eval()

    def _take(self, retriever: Retriever) -> None:
        """Read by this retriever, and show its vectors."""
        self.retriever = retriever
        vectors = np.zeros((self.n_items, self.factors), dtype=np.float32)
        if self.factors:
            own = retriever.item_vectors()
            own = own[:, : self.factors]  # what comes after them is a bias; a small catalogue has fewer
            vectors[:, : own.shape[1]] = own / np.maximum(np.linalg.norm(own, axis=1, keepdims=True), 1e-12)
        known = retriever.popularity > 0
        bias = np.log(np.where(known, retriever.popularity, retriever.popularity[known].min(initial=1) / 2))
        # Twice as wide as a factor is on average.
        bias = (bias - bias.mean()) / (bias.std() or 1) * 2 / np.sqrt(max(1, self.factors))
        self.items[1:] = torch.from_numpy(np.column_stack([vectors, bias]).astype(np.float32))

    @property
    def factors(self) -> int:
        """d; 0 of a retriever without vectors."""
        return getattr(self.config, "dim", 0)

    @property
    def history_length(self) -> int:
        """How many of the last likes the user's vector looks at."""
        return HISTORY

    def item_vectors(self, items: Tensor) -> Tensor:
        """Looked up; zeros and a low bias for what nobody likes."""
        return self.items[items]

    def user_vectors(self, users: Tensor, history: Tensor) -> Tensor:
        """By the history alone, whatever the user's code; zeros where it is empty."""
        age = torch.arange(history.shape[1] - 1, -1, -1, device=self.device)
        weights = 0.5 ** (age / HALF_LIFE) * (history > 0)
        weights = weights / weights.sum(1, keepdim=True).clamp(min=1e-12)
        return torch.einsum("bh,bhd->bd", weights, self.items[history])

    def user_evidence(self, users: Tensor, history: Tensor) -> Tensor:
        """(B,) the likes that the vector stands on."""
        return (history > 0).sum(1).float()

    def forward(self, users: Tensor, history: Tensor, items: Tensor) -> Tensor:
        """(B,) the retriever's scores by these histories."""
        scores = self._shown(self.retriever.scores_of(list(history.cpu().numpy())))
        codes = items.cpu().numpy()
        return torch.from_numpy(_pick(scores, codes)).to(self.device)

    def score(self, rows: Rows) -> NDArray[np.float32]:
        """(N,) scores by the whole history of each row; 0 for code 0."""
        check_codes(rows, self.n_users, self.n_items)
        spans, which = np.unique(np.stack([rows.start, rows.end]), axis=1, return_inverse=True)
        which = which.reshape(-1)
        order = np.argsort(which, kind="stable")
        ends = np.searchsorted(which[order], np.arange(spans.shape[1] + 1))
        found = np.zeros(len(rows), dtype=np.float32)
        for begin in range(0, spans.shape[1], BATCH):
            some = range(begin, min(begin + BATCH, spans.shape[1]))
            scores = self.retriever.scores_of([rows.likes[spans[0, k] : spans[1, k]] for k in some])
            mine = order[ends[some.start] : ends[some.stop]]
            found[mine] = _pick(self._shown(scores)[which[mine] - begin], rows.items[mine])
        return found

    def score_catalogue(self, user: int, history: Codes) -> Floats:
        """(n_items,) of every item, by code from 1."""
        return self._shown(self.retriever.scores(history))

    def _shown(self, scores: Floats) -> Floats:
        """Scores of the retriever as this model shows them, in the same order."""
        shown: Floats = np.arcsinh(scores / np.float32(UNIT)) if self.by_logarithm else scores
        return shown

    @property
    def reads_words(self) -> str | None:
        """As the setting of the prior names it."""
        return None if self.retriever.prior is None else self.retriever.prior.config.words

    def with_items(self, n: int, words: Floats | None = None) -> Self:
        """The same model over `n` further items, of which it knows nothing; with a prior their words, (n, w)."""
        grown = type(self)(self.n_users, self.n_items + n, self.config)
        counts = torch.cat([self.item_counts, self.item_counts.new_zeros(n)])
        grown.load_state_dict(self.state_dict() | {"item_counts": counts})
        grown._take(self.retriever.with_items(n, words))
        return grown.to(self.device).train(self.training)

    def save(self, folder: Path) -> None:
        """Write the retriever into `retriever/` and what stands beside it to `folder`, atomically."""
        sizes = {"n_users": self.n_users, "n_items": self.n_items}
        with stored(folder, self.kind, sizes | {"config": self.config.model_dump(mode="json")}) as temporary:
            write_tensors(self.state_dict(), temporary / WEIGHTS_FILE)
            self.retriever.save(temporary / "retriever")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raises `CCFError` where a file is missing, damaged or of another kind."""
        settings, weights = read_settings(folder, cls.kind), Path(folder) / WEIGHTS_FILE
        tensors, retriever = read_tensors(weights), cls.retriever_type.load(Path(folder) / "retriever")
        try:
            sizes = stored_sizes(settings, tensors)
            model = cls(*sizes, cls.config_type.model_validate(settings["config"]))
            model.load_state_dict(tensors)
            if retriever.n_items != model.n_items:
                raise ValueError(f"retriever of {retriever.n_items} items, not {model.n_items}")
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CCFError(f"{weights}: does not hold a {cls.kind} model ({one_line(error)}); save it again") from None
        model._take(retriever)
        return model.eval()


class PopularityVectors(RetrieverVectors):
    """`Popularity`, which has no vectors: for comparison, not for slots."""

    kind = name = Popularity.kind
    config_type, retriever_type = PopularityConfig, Popularity


class KNNVectors(RetrieverVectors):
    """`ItemKNN`."""

    kind = name = ItemKNN.kind
    config_type, retriever_type = KNNConfig, ItemKNN


class EASEVectors(RetrieverVectors):
    """`EASE`."""

    kind = name = EASE.kind
    config_type, retriever_type = EASEConfig, EASE


class L3AEVectors(RetrieverVectors):
    """`L3AE`."""

    kind = name = L3AE.kind
    config_type, retriever_type = L3AEConfig, L3AE


class ALSVectors(RetrieverVectors):
    """`ALS`."""

    kind = name = ALS.kind
    config_type, retriever_type = ALSConfig, ALS


class SASRecSoftmaxVectors(RetrieverVectors):
    """`SASRecSoftmax`."""

    kind = name = SASRecSoftmax.kind
    by_logarithm = False
    config_type, retriever_type = SASRecSoftmaxConfig, SASRecSoftmax


class EnsembleVectors(RetrieverVectors):
    """`RetrieverEnsemble`, whose members have vectors of different spaces: for comparison, not for slots."""

    kind = name = RetrieverEnsemble.kind
    by_logarithm = False
    config_type, retriever_type = RetrieverEnsembleConfig, RetrieverEnsemble


def likes_of_rows(rows: Rows, n_users: int, n_items: int) -> tuple[csr_matrix, csr_matrix]:
    """(n_users + 1, n_items + 1) likes among rows, 1 by the latest label, and their seconds: as `data.likes` has them.

    Code 0 likes nothing and is liked by nobody.
    """
    order = np.lexsort((rows.timestamps, rows.items, rows.users))  # stable: of one second the later row counts
    users, items = rows.users[order], rows.items[order]
    last = np.append((np.diff(users) != 0) | (np.diff(items) != 0), True)[: len(order)]
    kept = order[last & (users > 0) & (items > 0) & (rows.labels[order] == 1)]
    cells, shape = (rows.users[kept], rows.items[kept]), (n_users + 1, n_items + 1)
    return (
        csr_matrix((np.ones(len(kept), dtype=np.float32), cells), shape=shape),
        csr_matrix((rows.timestamps[kept], cells), shape=shape),
    )


def _pick(scores: Floats, codes: Codes) -> Floats:
    """(B,) of scores (B, n_items) those of the item codes (B,); 0 for code 0."""
    picked: Floats = np.where(codes > 0, scores[np.arange(len(codes)), np.maximum(codes - 1, 0)], 0)
    return picked.astype(np.float32)
