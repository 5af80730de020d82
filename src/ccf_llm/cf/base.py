"""What a collaborative model is: `Scorer` for anything that scores rows, `CFModel` for models with embeddings."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ccf_llm.cf.checks import check_codes
from ccf_llm.data.rows import Rows
from ccf_llm.errors import CCFError, one_line
from ccf_llm.files import atomic_folder, read_json, write_json

FORMAT = 1
SETTINGS_FILE = "cf.json"
WEIGHTS_FILE = "cf.safetensors"
SCORE_BATCH = 8192


class Scorer(Protocol):
    """Anything that scores interactions: a collaborative model, a mean, a language model."""

    name: str

    def score(self, rows: Rows) -> NDArray[np.float32]:
        """(N,) log-odds that the user likes the item."""

    def save(self, folder: Path) -> None:
        """Write the fitted model to `folder`, atomically."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""


class CFConfig(BaseModel):
    """Settings that every collaborative model trained on labels has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dim: int = Field(default=64, ge=1)
    """Width of the user and item vectors, without the bias."""
    history_length: int = Field(default=50, ge=1)
    """How many of the last liked items a user's history vector looks at."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """Step size of Adam."""
    l2: float = Field(default=3e-2, ge=0)
    """Weight of the squared vectors of a batch, per row, added to the loss."""
    batch_size: int = Field(default=1024, ge=1)
    """Rows per step."""
    max_epochs: int = Field(default=60, ge=1)
    """Passes over the training rows, at most."""
    patience: int = Field(default=5, ge=1)
    """Passes without a better AUC on the validation rows after which training stops."""


class CFModel(nn.Module, ABC):
    """A collaborative model with user and item vectors that a language model can read.

    Codes run from 1 to `n_users` and `n_items`; code 0 is a user or item that the vocabulary does not know, or padding.
    Every code has a defined vector, also 0 and those without a training row.
    """

    kind: ClassVar[str]
    config_type: ClassVar[type[CFConfig]]
    name: str

    user_counts: Tensor
    """(n_users + 1,) training interactions of each user code."""
    item_counts: Tensor
    """(n_items + 1,) training interactions of each item code."""

    def __init__(self, n_users: int, n_items: int, config: CFConfig) -> None:
        """Make the count buffers, zero until `count` is called."""
        super().__init__()
        self.config = config
        self.register_buffer("user_counts", torch.zeros(n_users + 1))
        self.register_buffer("item_counts", torch.zeros(n_items + 1))

    @property
    @abstractmethod
    def dim(self) -> int:
        """Width of the vectors that `user_embedding` and `item_embedding` return."""

    @abstractmethod
    def item_embedding(self, items: Tensor) -> Tensor:
        """Vectors of item codes: (...) -> (..., dim)."""

    @abstractmethod
    def user_embedding(self, users: Tensor, history: Tensor) -> Tensor:
        """Vectors of users: codes (B,) and liked items (B, H), oldest first, padded with 0 on the left -> (B, dim)."""

    @abstractmethod
    def forward(self, users: Tensor, history: Tensor, items: Tensor) -> Tensor:
        """Log-odds that the user likes the item: (B,), (B, H), (B,) -> (B,)."""

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
        """The arguments of `forward` for `rows`: users (N,), histories (N, H), items (N,), on the model's device."""
        arrays = (rows.users, rows.padded_histories(self.history_length), rows.items)
        users, history, items = (torch.from_numpy(np.ascontiguousarray(array)).to(self.device) for array in arrays)
        return users, history, items

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

    def save(self, folder: Path) -> None:
        """Write `cf.json` and `cf.safetensors` to `folder`, atomically."""
        settings = {
            "format": FORMAT,
            "kind": self.kind,
            "n_users": self.n_users,
            "n_items": self.n_items,
            "config": self.config.model_dump(mode="json"),
        }
        with atomic_folder(Path(folder)) as temporary:
            write_json(temporary / SETTINGS_FILE, settings)
            save_file({key: value.contiguous() for key, value in self.state_dict().items()}, temporary / WEIGHTS_FILE)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; the model is on the CPU and in evaluation mode.

        Raises `CCFError` where a file is missing, damaged or belongs to another kind of model.
        """
        settings = read_settings(folder, cls.kind)
        weights = Path(folder) / WEIGHTS_FILE
        try:
            model = cls(settings["n_users"], settings["n_items"], cls.config_type.model_validate(settings["config"]))
            model.load_state_dict(load_file(weights))
        except FileNotFoundError:
            raise CCFError(f"{weights}: no such file; save the model again") from None
        except (KeyError, TypeError, ValidationError, RuntimeError, SafetensorError, OSError) as error:
            raise CCFError(f"{weights}: does not hold a {cls.kind} model ({one_line(error)}); save it again") from None
        return model.eval()


def read_settings(folder: Path, kind: str | None = None) -> dict[str, Any]:
    """The settings of the collaborative model in `folder`; a `CCFError` if it is not of the expected `kind`."""
    path = Path(folder) / SETTINGS_FILE
    settings = read_json(path)
    if not isinstance(settings, dict) or settings.get("format") != FORMAT:
        raise CCFError(f"{path}: not the settings of a collaborative model of format {FORMAT}; save the model again")
    if kind is not None and settings.get("kind") != kind:
        raise CCFError(f"{path}: holds a model of kind {settings.get('kind')!r}, not {kind!r}; use load_cf")
    return dict(settings)
