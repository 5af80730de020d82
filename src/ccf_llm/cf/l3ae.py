"""L3AE, EASE whose weights are drawn to what words say (Moon et al., *LLM-Enhanced Linear Autoencoders*, 2025)."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ccf_llm.cf.ease import BLOCK, EASE, gram_matrix, invert, item_weights
from ccf_llm.cf.prior import Prior
from ccf_llm.cf.settings import EASEConfig, L3AEConfig
from ccf_llm.data.rows import Floats
from ccf_llm.errors import CCFError


@dataclass(frozen=True, eq=False)
class L3AE(EASE):
    """EASE whose B has the least |X - X B|^2 + l2 |B - S|^2 of all with a diagonal of 0:

        P = (X'X + l2 I)^-1,    B = I + l2 P S - P diag((1 + l2 diag(P S)) / diag(P))

    in closed form, in float64. S says which items are called alike beyond what all share: `strength` times the weights
    of EASE, with the penalty `words_l2`, over the items' words as if each of their numbers were a user. So an item that
    somebody likes is not drawn to the prior as well; those that nobody likes, new ones too, are told by it alone.
    """

    kind: ClassVar[str] = "l3ae"
    config_type: ClassVar[type[EASEConfig]] = L3AEConfig

    @classmethod
    def _weights(cls, likes: csr_matrix, config: L3AEConfig, words: Floats | None) -> Floats:
        if words is None:
            raise CCFError(
                "words: l3ae reads the items' words; give their vectors (cf.prior.words in a run), or take ease"
            )
        own = words.astype(np.float64)
        weights = item_weights((own @ own.T).T, config.words_l2)  # .T: Fortran's order
        weights *= np.float32(config.strength)
        inverse = invert(gram_matrix(likes), config.l2)
        diagonal = inverse.diagonal()
        for begin in range(0, len(weights), BLOCK):  # each block of S becomes one of B
            some = slice(begin, begin + BLOCK)
            drawn = config.l2 * (inverse @ weights[:, some].astype(np.float64))
            weights[:, some] = drawn - inverse[:, some] * ((1 + drawn[some].diagonal()) / diagonal[some])
        np.fill_diagonal(weights, 0)
        return weights

    def _drawn_to(self, prior: Prior, counts: NDArray[np.int64]) -> Self:
        return replace(self, prior=prior)
