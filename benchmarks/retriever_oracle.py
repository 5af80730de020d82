"""LensKit's EASE, item KNN and implicit ALS on the likes that ours are fitted on: the same lists, or lists as good.

    pip install lenskit==2025.8.1     # in an environment of its own
    python benchmarks/retriever_oracle.py ml-100k benchmarks/ranking/ml-100k-retrievers.json \\
        --out benchmarks/ranking/ml-100k-oracle.json

Settings are those that `benchmarks/retrievers.py` chose. LensKit's KNN keeps all neighbours and has no shrinkage, so
ours is fitted so too; its ALS draws another start, so figures of three seeds are compared; its confidence in a like is
one more than its setting.
"""

import argparse
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import structlog
from lenskit.als import ImplicitMFScorer
from lenskit.data import ItemList, RecQuery, from_interactions_df
from lenskit.knn import EASEScorer, ItemKNNScorer
from lenskit.training import TrainingOptions
from numpy.typing import NDArray
from retrievers import K, Taught, measured

from ccf_llm.cf.settings import ALSConfig, EASEConfig, KNNConfig
from ccf_llm.data.likes import Targets, likes_matrix, targets
from ccf_llm.data.named import open_dataset
from ccf_llm.data.rows import Codes
from ccf_llm.data.split import user_time_split
from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.io.files import read_json, write_json

SEEDS = (0, 1, 2)


class Theirs:
    """A scorer of LensKit's as one of our retrievers, as far as lists go; codes are its ids."""

    def __init__(self, scorer: Any, likes: Any, seed: int) -> None:
        people, items = likes.nonzero()
        self.scorer, self.known, self.n_items = scorer, np.unique(items), likes.shape[1] - 1
        frame = pd.DataFrame({"user_id": people, "item_id": items})
        scorer.train(from_interactions_df(frame), TrainingOptions(rng=seed))

    def scores(self, history: Codes) -> NDArray[np.float64]:
        """(n_items,) -inf for what it does not know."""
        query = RecQuery(user_items=ItemList(item_ids=np.intersect1d(history, self.known)))
        found = self.scorer(query, ItemList(item_ids=self.known))
        scores: NDArray[np.float64] = np.full(self.n_items, -np.inf)
        scores[found.ids() - 1] = np.nan_to_num(found.scores(), nan=-np.inf)
        return scores

    def top(self, histories: list[Codes], k: int, seen: list[Codes]) -> Codes:
        """(B, k) codes, as `Retriever.top`."""
        lists = []
        for history, met in zip(histories, seen, strict=True):
            scores = self.scores(history) if len(history) else np.zeros(self.n_items)
            scores[met - 1] = -np.inf
            lists.append(np.argsort(-scores, kind="stable")[:k] + 1)
        return np.array(lists)


def compared(ours: Any, theirs: Theirs, test: Targets) -> dict[str, Any]:
    """Figures of both, and what share of the places of two lists their common items take, over users with a history."""
    told = [place for place, history in enumerate(test.histories) if len(history)]
    asked = Targets(
        test.users[told], *([column[place] for place in told] for column in (test.histories, test.seen, test.items))
    )
    lists = [model.top(asked.histories, K, asked.seen) for model in (ours, theirs)]
    common = [len(set(a) & set(b)) / K for a, b in zip(*lists, strict=True)]
    return {
        "ours": measured(ours, asked),
        "lenskit": measured(theirs, asked),
        "common_items": round(float(np.mean(common)), 4),
    }


def main() -> None:
    """Compare on one data set and write the figures."""
    parser = argparse.ArgumentParser(description="LensKit's retrievers beside ours.")
    parser.add_argument("data")
    parser.add_argument("chosen", type=Path, help="What benchmarks/retrievers.py wrote.")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    dataset = user_time_split(open_dataset(arguments.data))
    test, likes, learn = targets(dataset, "test"), likes_matrix(dataset, "train"), Taught(dataset, "train")
    chosen = {kind: found["settings"] for kind, found in read_json(arguments.chosen)["retrievers"].items()}
    ease, als = EASEConfig(**chosen["ease"]), ALSConfig(**chosen["als"])
    knn = KNNConfig(k=likes.shape[1], shrink=0, dim=0)
    result: dict[str, Any] = {"oracle": "lenskit 2025.8.1", "dataset": dataset.name, "fitted_on": "train"}
    theirs = Theirs(EASEScorer(regularization=ease.l2), likes, 0)
    result["ease"] = {"l2": ease.l2, **compared(learn("ease", ease, 0), theirs, test)}
    theirs = Theirs(ItemKNNScorer(feedback="implicit", k=likes.shape[1]), likes, 0)
    result["knn"] = {"neighbours": "all", **compared(learn("knn", knn, 0), theirs, test)}
    shared = {"embedding_size": als.dim, "regularization": als.regularization, "epochs": als.iterations}
    result["als"] = [
        {
            "seed": seed,
            **shared,
            "confidence": als.alpha,
            **compared(
                learn("als", als, seed),
                Theirs(ImplicitMFScorer(**shared, weight=als.alpha - 1), likes, seed),
                test,
            ),
        }
        for seed in SEEDS
    ]
    write_json(arguments.out, result | {"made": circumstances()})


if __name__ == "__main__":
    main()
