"""One training loop for every collaborative model: binary cross-entropy on labels, early stopping on valid AUC."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional as F

from ccf_llm.cf.base import CFModel
from ccf_llm.cf.checks import check_codes, check_labels
from ccf_llm.data.rows import Codes, Rows
from ccf_llm.errors import CCFError


def fit_on_labels(
    model: CFModel,
    train: Rows,
    valid: Rows,
    *,
    penalty: Callable[[Tensor, Tensor], Tensor],
    finish: Callable[[], None],
    seed: int,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Train `model` in place and leave it with the weights of its best pass, in evaluation mode.

    The loss of a batch is the mean cross-entropy plus `config.l2` times `penalty(users, items)` per row. `finish` runs
    after each pass and fills in what has no gradient, such as the vectors of items without a training row. Raises
    `CCFError` for codes outside the vocabulary, labels other than 0 and 1, or only one class.
    """
    for name, rows in (("train", train), ("valid", valid)):
        check_codes(rows, model.n_users, model.n_items)
        check_labels(rows, name)
    model.count(train)
    config = model.config
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    order = np.random.default_rng(seed)
    best_auc, best_epoch, best_state = -np.inf, 0, _copy(model)
    for epoch in range(1, config.max_epochs + 1):
        model.train()
        total = 0.0
        for batch in _batches(len(train), config.batch_size, order):
            rows = train.take(batch)
            users, history, items = model.inputs(rows)
            labels = torch.from_numpy(rows.labels).to(model.device, torch.float32)
            loss = F.binary_cross_entropy_with_logits(model(users, history, items), labels)
            optimizer.zero_grad()
            (loss + config.l2 * penalty(users, items) / len(rows)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += float(loss.detach()) * len(rows)
        model.eval()
        finish()
        scores = model.score(valid)
        if not np.isfinite(scores).all():
            raise CCFError(f"learning_rate: training diverged at {config.learning_rate}; choose a smaller one")
        auc = float(roc_auc_score(valid.labels, scores))
        if progress:
            progress(f"{model.name}: pass {epoch}, loss {total / len(train):.4f}, valid AUC {auc:.4f}")
        if auc > best_auc:
            best_auc, best_epoch, best_state = auc, epoch, _copy(model)
        elif epoch - best_epoch >= config.patience:
            break
    model.load_state_dict(best_state)
    model.eval()


def _batches(n: int, size: int, order: np.random.Generator) -> Iterator[Codes]:
    """Row numbers 0..n-1 in a random order, in batches."""
    shuffled = order.permutation(n)
    for begin in range(0, n, size):
        yield shuffled[begin : begin + size]


def _copy(model: CFModel) -> dict[str, Tensor]:
    """A copy of the model's weights and buffers."""
    return {key: value.clone() for key, value in model.state_dict().items()}
