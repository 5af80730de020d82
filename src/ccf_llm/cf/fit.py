"""One training loop for every collaborative model: binary cross-entropy on labels, early stopping on valid AUC."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional as F

from ccf_llm.cf.checks import check_codes, check_labels
from ccf_llm.data.rows import Codes, Rows
from ccf_llm.errors import CCFError

if TYPE_CHECKING:  # the model's `fit` calls this loop
    from ccf_llm.cf.base import CFModel


def fit_on_labels(
    model: "CFModel",
    train: Rows,
    valid: Rows,
    *,
    seed: int,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Train `model` in place and leave it with the weights of its best pass, in evaluation mode.

    The loss of a batch is the mean cross-entropy plus `config.l2` times `model.penalty` per row. Raises `CCFError` for
    codes outside the vocabulary, labels other than 0 and 1, only one class, or a training that diverges.
    """
    for name, rows in (("train", train), ("valid", valid)):
        check_codes(rows, model.n_users, model.n_items)
        check_labels(rows, name)
    model.count(train)
    model.begin_fit(train)
    last = train.take(last_of_each(train.users, train.end - train.start))
    config = model.config
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    order = np.random.default_rng(seed)
    best_auc, best_epoch, best_state = -np.inf, 0, _copy(model)
    with seeded(seed):  # dropout
        for epoch in range(1, config.max_epochs + 1):
            loss = _pass(model, train, optimizer, order)
            model.eval()
            model.end_pass(last)
            scores = model.score(valid)
            if not np.isfinite(scores).all():
                raise CCFError(f"learning_rate: training diverged at {config.learning_rate}; choose a smaller one")
            auc = float(roc_auc_score(valid.labels, scores))
            if progress:
                progress(f"{model.name}: pass {epoch}, loss {loss:.4f}, valid AUC {auc:.4f}")
            if auc > best_auc:
                best_auc, best_epoch, best_state = auc, epoch, _copy(model)
            elif epoch - best_epoch >= config.patience:
                break
    model.load_state_dict(best_state)
    model.end_fit()
    model.measure_users(last)
    model.eval()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw torch's random numbers from `seed` inside, and leave the generators as they were."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def _pass(model: "CFModel", train: Rows, optimizer: torch.optim.Optimizer, order: np.random.Generator) -> float:
    """One pass over all training rows; returns their mean cross-entropy."""
    model.train()
    total = 0.0
    for batch in _batches(len(train), model.config.batch_size, order):
        rows = train.take(batch)
        users, history, items = model.inputs(rows)
        labels = torch.from_numpy(rows.labels).to(model.device, torch.float32)
        loss = F.binary_cross_entropy_with_logits(model(users, history, items), labels)
        optimizer.zero_grad()
        (loss + model.config.l2 * model.penalty(users, items) / len(rows)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += float(loss.detach()) * len(rows)
    return total / len(train)


def last_of_each(users: Codes, lengths: Codes) -> Codes:
    """The row of each user that has the longest history."""
    order = np.lexsort((lengths, users))
    return order[np.flatnonzero(np.diff(users[order], append=-1))]


def _batches(n: int, size: int, order: np.random.Generator) -> Iterator[Codes]:
    """Row numbers 0..n-1 in a random order, in batches."""
    shuffled = order.permutation(n)
    for begin in range(0, n, size):
        yield shuffled[begin : begin + size]


def _copy(model: "CFModel") -> dict[str, Tensor]:
    """A copy of the model's weights and buffers."""
    return {key: value.clone() for key, value in model.state_dict().items()}
