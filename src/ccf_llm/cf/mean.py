"""The mean of the item and the mean of the user: no learning, and hard to beat on sparse data."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from ccf_llm.cf.checks import check_codes, check_labels
from ccf_llm.cf.settings import MEAN
from ccf_llm.cf.store import WEIGHTS_FILE, read_settings, stored
from ccf_llm.data.rows import Codes, Rows
from ccf_llm.errors import CCFError, one_line
from ccf_llm.io.tensors import read_tensors, write_tensors


@dataclass(frozen=True)
class ItemUserMean:
    """Sum of the log-odds of the item's and of the user's smoothed training mean, around the global mean:

        mean(x)     = (likes(x) + smoothing * global) / (n(x) + smoothing)
        score(u, i) = logit(mean(i)) + logit(mean(u)) - logit(global)

    The last term is a constant: it changes no ranking, and makes the score a log-odds (an unseen user and an unseen
    item together get the global mean). Test AUC .7326 and UAUC .6786 on the published MovieLens-1M split, smoothing 3.
    """

    kind: ClassVar[str] = "mean"
    name: ClassVar[str] = MEAN

    item_log_odds: NDArray[np.float32]
    """(n_items + 1,) log-odds of each item's mean, minus that of the global mean."""
    user_log_odds: NDArray[np.float32]
    """(n_users + 1,) the same for users."""
    global_log_odds: float
    """Log-odds of the share of liked training rows."""

    @classmethod
    def fit(cls, train: Rows, *, n_users: int, n_items: int, smoothing: float = 3.0) -> Self:
        """Count likes; `smoothing` is the number of rows at the global mean that each user and item is given first.

        Raises `CCFError` for labels other than 0 and 1, for only one class, and for a smoothing that is not above 0.
        """
        check_codes(train, n_users, n_items)
        check_labels(train, "train")
        if not smoothing > 0:
            raise CCFError(f"smoothing: {smoothing} is not above 0; an item liked by all would get an infinite score")
        share = float(train.labels.mean())
        base = float(np.log(share) - np.log1p(-share))
        return cls(
            item_log_odds=_smoothed_log_odds(train.items, train.labels, n_items, smoothing, share) - np.float32(base),
            user_log_odds=_smoothed_log_odds(train.users, train.labels, n_users, smoothing, share) - np.float32(base),
            global_log_odds=base,
        )

    def score(self, rows: Rows) -> NDArray[np.float32]:
        """(N,) log-odds."""
        check_codes(rows, len(self.user_log_odds) - 1, len(self.item_log_odds) - 1)
        base = np.float32(self.global_log_odds)
        scores: NDArray[np.float32] = self.item_log_odds[rows.items] + self.user_log_odds[rows.users] + base
        return scores

    def save(self, folder: Path) -> None:
        """Write `cf.json` and `cf.safetensors` to `folder`, atomically."""
        with stored(folder, self.kind, {"global_log_odds": self.global_log_odds}) as temporary:
            arrays = {"items": self.item_log_odds, "users": self.user_log_odds}
            write_tensors({name: torch.from_numpy(array) for name, array in arrays.items()}, temporary / WEIGHTS_FILE)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raises `CCFError` where a file is missing or damaged."""
        settings = read_settings(folder, cls.kind)
        path = Path(folder) / WEIGHTS_FILE
        tensors = read_tensors(path)
        try:
            return cls(tensors["items"].numpy(), tensors["users"].numpy(), float(settings["global_log_odds"]))
        except (KeyError, TypeError, ValueError) as error:
            raise CCFError(f"{path}: does not hold a mean model ({one_line(error)}); save it again") from None


def _smoothed_log_odds(
    codes: Codes, labels: NDArray[np.int8], size: int, smoothing: float, share: float
) -> NDArray[np.float32]:
    """(size + 1,) log-odds of the smoothed mean label per code; code 0 (unknown) gets that of `share`."""
    known = codes > 0
    counts = np.bincount(codes[known], minlength=size + 1)
    likes = np.bincount(codes[known], weights=labels[known], minlength=size + 1)
    mean = (likes + smoothing * share) / (counts + smoothing)
    log_odds: NDArray[np.float32] = np.log(mean / (1 - mean)).astype(np.float32)
    return log_odds
