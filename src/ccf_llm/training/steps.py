"""Training rows as steps of packed sequences, the same for the same seed, epoch and rows."""

import numpy as np
from numpy.typing import NDArray

from ccf_llm.data.rows import Rows
from ccf_llm.prompts.pack import Sequence


def epoch_steps(
    sequences: list[Sequence], *, rows: int | None, batch_rows: int, seed: int, epoch: int
) -> list[list[Sequence]]:
    """The optimizer steps of an epoch: packs in random order, cut into steps of about `batch_rows` targets.

    With `rows`, packs are taken until there are so many targets.
    """
    generator = np.random.default_rng((seed, epoch))
    steps: list[list[Sequence]] = []
    taken = in_step = 0
    for index in generator.permutation(len(sequences)):
        if rows is not None and taken >= rows:
            break
        if not steps or in_step >= batch_rows:
            steps.append([])
            in_step = 0
        steps[-1].append(sequences[index])
        in_step += len(sequences[index].rows)
        taken += len(sequences[index].rows)
    return steps


def sample_users(rows: Rows, most: int | None, seed: int, each: int | None = None) -> Rows:
    """The rows of randomly drawn users, until there are at least `most`; those of all users where there are no more.

    Of each user all rows are taken, or at most `each`, drawn too, so that as many rows come from more users.
    """
    users, place, counts = np.unique(rows.users, return_inverse=True, return_counts=True)
    taken = counts if each is None else np.minimum(counts, each)
    if most is None:
        most = len(rows)
    if most >= taken.sum() == len(rows):
        return rows
    random = np.random.default_rng(seed)
    order = random.permutation(len(users))
    enough = int(np.searchsorted(np.cumsum(taken[order]), most)) + 1
    kept = np.isin(rows.users, users[order[:enough]])
    if each is not None:
        shuffled = np.lexsort((random.random(len(rows)), place))
        rank = np.empty(len(rows), dtype=np.int64)
        rank[shuffled] = np.arange(len(rows)) - (np.cumsum(counts) - counts)[place[shuffled]]
        kept &= rank < each
    return rows.take(kept)


def row_weights(rows: Rows, user_balance: float) -> NDArray[np.float32]:
    """(N,) weight of each row's loss, (rows of its user) ** -user_balance, with a mean of 1.

    Rows of users that the vocabulary does not know count as one user each.
    """
    counts = np.bincount(rows.users)[rows.users]
    counts[rows.users == 0] = 1
    weights = counts.astype(np.float64) ** -user_balance
    scaled: NDArray[np.float32] = (weights / weights.mean()).astype(np.float32)
    return scaled
