"""Lists to learn from: what somebody liked later, among other items that the retriever finds for the same history."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ccf_llm.cf.candidates import Candidates
from ccf_llm.data.rows import Codes, Rows
from ccf_llm.errors import CCFError
from ccf_llm.training.stage import ListConfig


def draw_lists(
    found: Candidates,
    liked: csr_matrix,
    disliked: csr_matrix,
    popularity: NDArray[np.floating],
    config: ListConfig,
    seed: int,
) -> Rows:
    """A list for each person whose candidates hold something to be found, as `config.size` rows each.

    What is to be found comes first and has the label 1. The others are drawn from the candidates, all alike, so that
    the softmax over them is a consistent estimate of the one over all (McFadden 1978), and some by popularity; before
    them stand some that the user came to dislike, where `config.dislikes` asks for them.

    Args:
        found: what retrievers that have not seen these people find.
        liked: (n_users + 1, n_items + 1) all likes of train.
        disliked: the same of what its users met and did not like.
        popularity: (n_items,) by which the rest is drawn.
        config: how many of each.
        seed: of the draw.

    Raises:
        CCFError: nowhere anything to be found, or nothing left to set against it.
    """
    random = np.random.default_rng(seed)
    chances = popularity / popularity.sum()
    people: list[int] = []
    items: list[Codes] = []
    found_in: list[int] = []
    for person in np.flatnonzero(found.relevant.any(1)):
        user, seen = found.asked.users[person], found.asked.seen[person]
        own = _items(liked, user)
        wanted = found.items[person][found.relevant[person]]
        wanted = random.permutation(wanted)[: config.positives]
        met = _disliked_later(_items(disliked, user), np.union1d(wanted, seen), config, random)
        popular = np.setdiff1d(_popular(chances, np.union1d(own, seen), config, random), met)
        others = np.setdiff1d(found.items[person], np.concatenate([own, met, popular, [0]]))
        missing = config.size - len(wanted) - len(met) - len(popular)
        if len(others) >= missing:
            drawn = random.choice(others, missing, replace=False)
            items.append(np.concatenate([wanted, met, drawn, popular]))
            people.append(int(person))
            found_in.append(len(wanted))
    if not people:
        raise CCFError(
            f"ranking: no history of train has something to be found and {config.size} items in the retriever's best "
            f"{found.items.shape[1]}; lower ranking.size or raise ranking.depth"
        )
    asked = found.asked
    return Rows.for_lists(
        asked.users[people],
        [asked.histories[person] for person in people],
        np.full(len(people), config.size),
        np.concatenate(items),
        (np.arange(config.size) < np.array(found_in)[:, None]).ravel(),
    )


def _items(matrix: csr_matrix, user: int) -> Codes:
    """The items of a user, ascending."""
    found: Codes = matrix.indices[matrix.indptr[user] : matrix.indptr[user + 1]]
    return found


def _disliked_later(disliked: Codes, known: Codes, config: ListConfig, random: np.random.Generator) -> Codes:
    """What the user met later and did not like; nothing is drawn where nothing is asked for."""
    later: Codes = np.setdiff1d(disliked, known)
    return random.permutation(later)[: config.dislikes] if config.dislikes else later[:0]


def _popular(chances: NDArray[np.floating], known: Codes, config: ListConfig, random: np.random.Generator) -> Codes:
    """Items drawn by popularity, fewer where the draw meets what is known."""
    wanted = round((config.size - config.positives) * config.popular)
    drawn: Codes = np.unique(random.choice(len(chances), wanted, p=chances) + 1)
    return np.setdiff1d(drawn, known)
