"""`CFModel`: what every collaborative model with vectors is."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ccf_llm.cf.checks import check_codes
from ccf_llm.cf.settings import CFConfig
from ccf_llm.cf.store import WEIGHTS_FILE, read_settings, stored
from ccf_llm.data.rows import Codes, Rows
from ccf_llm.errors import CCFError, one_line
from ccf_llm.io.tensors import read_tensors, write_tensors

SCORE_BATCH = 8192


class CFModel(nn.Module, ABC):
    """A collaborative model with user and item vectors that a language model can read, however it came by them.

    One that is trained on labels is a `LabelModel`.

    Codes run from 1 to `n_users` and `n_items`; code 0 is a user or item that the vocabulary does not know, or padding.
    Every code has a defined vector, also 0 and those without a training row.

    All vectors are d factors and, as one more dimension, a bias: a language model that reads them needs it as much as
    the rest. A kind defines `item_vectors` and `user_vectors` in a space of its own; what is shown outside is turned
    by `rotation`, so that models fitted apart can share one space. It scores

        score(u, i) = p_u . q_i + b_u + b_i + offset

    for users [p_u, b_u] and items [q_i, b_i], unless it overrides `forward`.
    """

    kind: ClassVar[str]
    config_type: ClassVar[type[CFConfig]]
    name: ClassVar[str]
    scores_by_product: ClassVar[bool] = True
    """Whether a score is the inner product of a user's and an item's vector, so that an index can find the best."""
    item_tables: ClassVar[tuple[str, ...]] = ("item_counts", "items")
    """Weights and buffers that have a row for each item code, also those of parts of the model."""

    user_counts: Tensor
    """(n_users + 1,) training interactions of each user code."""
    item_counts: Tensor
    """(n_items + 1,) training interactions of each item code."""
    user_mean: Tensor
    """(d + 1,) mean vector of the training users, each at the end of the training rows."""
    user_variance: Tensor
    """() mean variance of its dimensions over these users."""
    rotation: Tensor
    """(d, d) orthogonal: what the factors are multiplied by before they are shown; the identity at first."""

    def __init__(self, n_users: int, n_items: int, config: CFConfig | None = None, *, seed: int = 0) -> None:
        """Make the buffers, which `fit` fills; a kind adds its weights, drawn with `seed`."""
        super().__init__()
        self.config = config or self.config_type()
        self.offset = nn.Parameter(torch.zeros(()))
        self.register_buffer("user_counts", torch.zeros(n_users + 1))
        self.register_buffer("item_counts", torch.zeros(n_items + 1))
        self.register_buffer("user_mean", torch.zeros(self.dim))
        self.register_buffer("user_variance", torch.zeros(()))
        self.register_buffer("rotation", torch.eye(self.factors))

    @classmethod
    def fit(
        cls,
        train: Rows,
        valid: Rows,
        *,
        n_users: int,
        n_items: int,
        config: CFConfig | None = None,
        seed: int = 0,
        progress: Callable[[str], None] | None = None,
        device: torch.device | str = "cpu",
    ) -> Self:
        """A model that has learned from `train`; `valid` only says when that is enough.

        `n_users` and `n_items` are the sizes of the vocabularies, without code 0; `progress` gets a line now and then.
        Equal arguments on one machine give equal weights. Raises what `learn` raises.
        """
        model = cls(n_users, n_items, config, seed=seed).to(device)
        model.learn(train, valid, seed=seed, progress=progress)
        return model

    @abstractmethod
    def learn(self, train: Rows, valid: Rows, *, seed: int, progress: Callable[[str], None] | None = None) -> None:
        """Fill in everything that `fit` promises, and go to evaluation mode."""

    @abstractmethod
    def item_vectors(self, items: Tensor) -> Tensor:
        """[q_i, b_i] of item codes, in the model's own space: (...) -> (..., d + 1)."""

    @abstractmethod
    def user_vectors(self, users: Tensor, history: Tensor) -> Tensor:
        """[p_u, b_u] of user codes (B,) with histories (B, H), in the model's own space -> (B, d + 1)."""

    def item_embedding(self, items: Tensor) -> Tensor:
        """Vectors of item codes: (...) -> (..., dim)."""
        return self._turn(self.item_vectors(items))

    def user_embedding(self, users: Tensor, history: Tensor) -> Tensor:
        """Vectors of users: codes (B,) and liked items (B, H), oldest first, padded with 0 on the left -> (B, dim)."""
        return self._turn(self.user_vectors(users, history))

    def user_evidence(self, users: Tensor, history: Tensor) -> Tensor:
        """(B,) how much is known of users: training interactions of their codes, or what else a vector stands on."""
        return self.user_counts[users]

    def forward(self, users: Tensor, history: Tensor, items: Tensor) -> Tensor:
        """Log-odds that the user likes the item: (B,), (B, H), (B,) -> (B,)."""
        return self.match(self.user_vectors(users, history), self.item_vectors(items))

    def match(self, user: Tensor, item: Tensor) -> Tensor:
        """(B,) log-odds from vectors [p_u, b_u] and [q_i, b_i], both (B, d + 1)."""
        return (user[:, :-1] * item[:, :-1]).sum(-1) + user[:, -1] + item[:, -1] + self.offset

    @property
    def factors(self) -> int:
        """d, the width of all vectors without the bias."""
        return self.config.dim

    @property
    def dim(self) -> int:
        """d + 1: the width of all vectors, factors and bias."""
        return self.factors + 1

    @property
    def history_length(self) -> int:
        """H, how many of the last likes the model looks at."""
        return self.config.history_length

    @property
    def n_users(self) -> int:
        """Known users, without code 0."""
        return len(self.user_counts) - 1

    @property
    def n_items(self) -> int:
        """Known items, without code 0."""
        return len(self.item_counts) - 1

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.user_counts.device

    def count(self, train: Rows) -> None:
        """Fill `user_counts` and `item_counts` from the training rows; code 0 counts as never seen.

        Raises `CCFError` if no row has a known user, or none a known item.
        """
        for what, buffer, codes in (("user", self.user_counts, train.users), ("item", self.item_counts, train.items)):
            counts = np.bincount(codes, minlength=len(buffer))
            counts[0] = 0
            if not counts.any():
                raise CCFError(f"train: no row has a known {what}; encode it with the vocabulary of the same data set")
            buffer.copy_(torch.from_numpy(counts))

    def inputs(self, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
        """Copies of the arguments of `forward` for `rows`: users (N,), histories (N, H), items (N,), on the device."""
        arrays = (rows.users, rows.padded_histories(self.history_length), rows.items)
        users, history, items = (torch.tensor(array, device=self.device) for array in arrays)
        return users, history, items

    def user_statistics(self) -> tuple[Tensor, Tensor]:
        """Mean (dim,) of the training users' vectors and () root mean variance of its dimensions, as of the fit."""
        return self._turn(self.user_mean), self.user_variance.sqrt()

    @torch.no_grad()
    def item_statistics(self) -> tuple[Tensor, Tensor]:
        """The same of the vectors of the items with a training row."""
        vectors = self.item_embedding(self.item_counts.nonzero().squeeze(1))
        return vectors.mean(0), vectors.var(0, correction=0).mean().sqrt()

    @torch.no_grad()
    def measure_users(self, last: Rows) -> None:
        """Fill `user_mean` and `user_variance` from one row of each training user."""
        rows = last.take(last.users > 0)
        parts = []
        for begin in range(0, len(rows), SCORE_BATCH):
            users, history, _ = self.inputs(rows.take(slice(begin, begin + SCORE_BATCH)))
            parts.append(self.user_vectors(users, history))
        vectors = torch.cat(parts)
        self.user_mean.copy_(vectors.mean(0))
        self.user_variance.copy_(vectors.var(0, correction=0).mean())

    @torch.no_grad()
    def score(self, rows: Rows) -> NDArray[np.float32]:
        """(N,) log-odds, computed in batches without dropout."""
        check_codes(rows, self.n_users, self.n_items)
        was_training = self.training
        self.eval()
        parts = [
            self(*self.inputs(rows.take(slice(begin, begin + SCORE_BATCH)))).float().cpu().numpy()
            for begin in range(0, len(rows), SCORE_BATCH)
        ]
        self.train(was_training)
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)

    def score_catalogue(self, user: int, history: Codes) -> NDArray[np.float32]:
        """(n_items,) log-odds of every item, by code from 1, for one user with these likes.

        One product of the item matrix with the user's vector; a kind whose `forward` is no such product overrides it.
        """
        query, rest = self.query(user, history)
        scores: NDArray[np.float32] = self.item_matrix() @ query + np.float32(rest)
        return scores

    @torch.no_grad()
    def item_matrix(self) -> NDArray[np.float32]:
        """(n_items, d + 1) the vectors [q_i, b_i] of all items, by code from 1."""
        return self.item_vectors(torch.arange(1, self.n_items + 1, device=self.device)).cpu().numpy()

    @torch.no_grad()
    def query(self, user: int, history: Codes) -> tuple[NDArray[np.float32], float]:
        """[p_u, 1] (d + 1,) and b_u + offset of one user with these likes: score(u, i) = query . [q_i, b_i] + rest."""
        users, likes, _ = self.inputs(Rows.for_candidates(history, np.zeros(1, dtype=np.int64), user=user))
        vector = self.user_vectors(users, likes)[0]
        query = torch.cat([vector[:-1], vector.new_ones(1)])
        return query.cpu().numpy(), float(vector[-1] + self.offset)

    @property
    def reads_words(self) -> str | None:
        """What reads the further items' words, of which `with_items` has to be told; None where it has not."""
        return None

    def with_items(self, n: int, words: NDArray[np.float32] | None = None) -> Self:
        """The same model over `n` further items, whose codes follow; it knows as little of them as of code 0.

        Code 0 stands for any item without a training row, so every table gets its row for the new ones. A model that
        reads words is told those of the further items, (n, w).
        """
        grown = type(self)(self.n_users, self.n_items + n, self.config)
        state = self.state_dict()
        for name in [name for name in state if name.rpartition(".")[2] in self.item_tables]:
            unknown = state[name][:1]
            state[name] = torch.cat([state[name], unknown.expand(n, *unknown.shape[1:])])
        grown.load_state_dict(state)
        return grown.to(self.device).train(self.training)

    def _turn(self, vectors: Tensor) -> Tensor:
        """Vectors of the model's own space (..., d + 1) as they are shown outside; the bias stays."""
        return torch.cat([vectors[..., :-1] @ self.rotation, vectors[..., -1:]], dim=-1)

    def save(self, folder: Path) -> None:
        """Write `cf.json` and `cf.safetensors` to `folder`, atomically."""
        sizes = {"n_users": self.n_users, "n_items": self.n_items}
        with stored(folder, self.kind, sizes | {"config": self.config.model_dump(mode="json")}) as temporary:
            write_tensors(self.state_dict(), temporary / WEIGHTS_FILE)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; the model is on the CPU and in evaluation mode.

        Raises `CCFError` where a file is missing, damaged or belongs to another kind of model.
        """
        settings = read_settings(folder, cls.kind)
        weights = Path(folder) / WEIGHTS_FILE
        tensors = read_tensors(weights)
        try:
            sizes = stored_sizes(settings, tensors)
            model = cls(*sizes, cls.config_type.model_validate(settings["config"]))
            model.load_state_dict(tensors)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CCFError(f"{weights}: does not hold a {cls.kind} model ({one_line(error)}); save it again") from None
        return model.eval()


def stored_sizes(settings: dict[str, Any], tensors: dict[str, Tensor]) -> tuple[int, int]:
    """Users and items of a stored model; a `ValueError` before anything is made for more than its weights are of."""
    sizes = settings["n_users"], settings["n_items"]
    counted = tuple(len(tensors[name]) - 1 for name in ("user_counts", "item_counts"))
    if sizes != counted:
        raise ValueError(f"{sizes} users and items, but weights of {counted}")
    return counted


def last_rows(rows: Rows) -> Rows:
    """One row of each user, the one with the longest history."""
    order = np.lexsort((rows.end - rows.start, rows.users))
    return rows.take(order[np.flatnonzero(np.diff(rows.users[order], append=-1))])
