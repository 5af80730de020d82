"""Training rows as steps of packed sequences, the same for the same seed, epoch and rows."""

import numpy as np

from ccf_llm.data.rows import Codes, Rows
from ccf_llm.prompts import Sequence


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


def sample_users(rows: Rows, most: int | None, seed: int) -> Rows:
    """The rows of randomly drawn whole users, until there are at least `most`; all where there are no more."""
    if most is None or len(rows) <= most:
        return rows
    users, counts = np.unique(rows.users, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(users))
    enough = int(np.searchsorted(np.cumsum(counts[order]), most)) + 1
    return rows.take(np.isin(rows.users, users[order[:enough]]))


def assign_folds(sequences: list[Sequence], rows: Rows, *, folds: int, whole_users: float, seed: int) -> Codes:
    """(N,) fold of each training row; rows of one pack share theirs, so that each pack is read through one CF model.

    For the share `whole_users` of users all rows lie in one fold: to that fold's CF model they are cold. For the others
    it knows the rest of their rows. So the language model meets cold and warm users, as it will later.
    """
    generator = np.random.default_rng(seed)
    fold_of_user = generator.integers(0, folds, int(rows.users.max()) + 1)
    whole = generator.random(len(fold_of_user)) < whole_users
    assigned = np.zeros(len(rows), dtype=np.int64)
    for sequence in sequences:
        user = rows.users[sequence.rows[0]]
        assigned[sequence.rows] = fold_of_user[user] if whole[user] else generator.integers(0, folds)
    return assigned
