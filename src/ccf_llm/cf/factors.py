"""Vectors for slots from a matrix of weights between items."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ccf_llm.data.rows import Floats


def factorise(weights: NDArray[np.float32] | csr_matrix, dim: int, seed: int) -> tuple[Floats, Floats]:
    """Two matrices (n, d) whose product, first times second transposed, is the best of rank d for `weights` (n, n).

    Truncated singular value decomposition U S V': the first is U, what an item adds to a history's vector, the second
    V S, the item's own. d is `dim`, or n where that is less. Halko et al., 2011 (randomised, with power iterations).
    """
    d = min(dim, weights.shape[0])
    if d == 0:
        empty = np.zeros((weights.shape[0], 0), dtype=np.float32)
        return empty, empty
    from sklearn.utils.extmath import randomized_svd  # a second of every start

    left, sizes, right = randomized_svd(weights, d, n_iter=7, random_state=seed)
    return np.ascontiguousarray(left, dtype=np.float32), np.ascontiguousarray((sizes[:, None] * right).T, np.float32)
