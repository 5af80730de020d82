"""`LabelModel`: a collaborative model trained on labels, by one loop for all kinds."""

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ccf_llm.cf.base import CFModel, last_rows
from ccf_llm.cf.checks import check_codes, check_labels
from ccf_llm.data.rows import Codes, Rows
from ccf_llm.errors import CCFError
from ccf_llm.evaluation.metrics import auc
from ccf_llm.io.progress import time_left
from ccf_llm.randomness import seeded


class LabelModel(CFModel):
    """Vectors taught by binary cross-entropy on labels, until the AUC on the validation rows stops rising.

    The loss of a batch is the mean cross-entropy plus `config.l2` times `penalty` per row.
    """

    @abstractmethod
    def penalty(self, users: Tensor, items: Tensor) -> Tensor:
        """() the sum of squares that `config.l2` weighs, for a batch's users (B,) and items (B,); biases are free."""

    def begin_fit(self, train: Rows) -> None:
        """Prepare for the first pass over `train`; nothing, for most kinds."""

    @abstractmethod
    def end_pass(self, last: Rows) -> None:
        """Fill in what has no gradient, such as the vectors of items without a training row.

        `last` holds one training row of each user, the one with the longest history.
        """

    def end_fit(self) -> None:
        """Drop what only fitting needs; nothing, for most kinds."""

    def learn(self, train: Rows, valid: Rows, *, seed: int, progress: Callable[[str], None] | None = None) -> None:
        """Train, and stay with the weights of the best pass; `progress` gets a line for each.

        Raises `CCFError` for codes outside the vocabulary, labels other than 0 and 1, only one class, or a training
        that diverges.
        """
        for name, rows in (("train", train), ("valid", valid)):
            check_codes(rows, self.n_users, self.n_items)
            check_labels(rows, name)
        self.count(train)
        self.begin_fit(train)
        last, config = last_rows(train), self.config
        optimizer = torch.optim.Adam(self.parameters(), lr=config.learning_rate)
        order = np.random.default_rng(seed)
        best_auc, best_epoch, best_state, begun = -np.inf, 0, self._copy(), time.monotonic()
        with seeded(seed):  # dropout
            for epoch in range(1, config.max_epochs + 1):
                loss = self._pass(train, optimizer, order)
                self.eval()
                self.end_pass(last)
                scores = self.score(valid)
                if not np.isfinite(scores).all():
                    raise CCFError(f"learning_rate: training diverged at {config.learning_rate}; choose a smaller one")
                value = auc(valid.labels, scores)
                if progress:
                    left = time_left(begun, epoch, config.max_epochs)
                    progress(f"{self.name}: pass {epoch}, loss {loss:.4f}, valid AUC {value:.4f}, at most {left}")
                if value > best_auc:
                    best_auc, best_epoch, best_state = value, epoch, self._copy()
                elif epoch - best_epoch >= config.patience:
                    break
        self.load_state_dict(best_state)
        self.end_fit()
        self.measure_users(last)
        self.eval()

    def _pass(self, train: Rows, optimizer: torch.optim.Optimizer, order: np.random.Generator) -> float:
        """One pass over all training rows; returns their mean cross-entropy."""
        self.train()
        total = 0.0
        for batch in _batches(len(train), self.config.batch_size, order):
            rows = train.take(batch)
            users, history, items = self.inputs(rows)
            labels = torch.from_numpy(rows.labels).to(self.device, torch.float32)
            loss = F.binary_cross_entropy_with_logits(self(users, history, items), labels)
            optimizer.zero_grad()
            (loss + self.config.l2 * self.penalty(users, items) / len(rows)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += float(loss.detach()) * len(rows)
        return total / len(train)

    def _copy(self) -> dict[str, Tensor]:
        """A copy of weights and buffers."""
        return {key: value.clone() for key, value in self.state_dict().items()}


def _batches(n: int, size: int, order: np.random.Generator) -> Iterator[Codes]:
    """Row numbers 0..n-1 in a random order, in batches."""
    shuffled = order.permutation(n)
    for begin in range(0, n, size):
        yield shuffled[begin : begin + size]
