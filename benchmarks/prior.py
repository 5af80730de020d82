"""The prior from text in EASE: what it does to warm lists, to new items, and to how models of folds agree.

    python benchmarks/prior.py ml-100k --details year genres --out benchmarks/ranking/ml-100k-prior.json
    python benchmarks/prior.py DATA --details genres --k 3 --l2 10 --seeds 0 1 2 --out ...     # MovieLens latest-small
    python benchmarks/prior.py ml-100k --details year genres --words sentences+ngrams --l2 5 --out ...

Each user's likes in time: 70% train, 10% valid, 20% test. Warm: NDCG@10 over the whole catalogue, and its difference
to EASE without a prior, with the standard error over users. New: a fifth of the items that five or more people like,
drawn by each seed, is taken out of train and ranked alone; right is what a user likes of them, whenever. Folds: mean
cosine of an item's vectors in models that were each fitted without a quarter of the users, turned onto the one of all,
by how many people like the item in train. Choose by `valid` and by draws of other seeds than those reported.
"""

import argparse
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from retrievers import words as told_words
from scipy.sparse import csr_matrix

from ccf_llm.cf.candidates import CrossFittedRetrievers
from ccf_llm.cf.ease import EASE
from ccf_llm.cf.prior import Words
from ccf_llm.cf.settings import PriorConfig
from ccf_llm.data.likes import Targets, likes_matrix, targets
from ccf_llm.data.named import open_dataset
from ccf_llm.data.rows import Floats
from ccf_llm.data.split import user_time_split
from ccf_llm.evaluation.hits import ndcg
from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.io.files import write_json

K = 10
LEAST = 5
"""Likes of an item that can be drawn as new."""
BANDS = ((1, 2), (3, 5), (6, 20), (21, 10**9))


def warm(model: EASE, asked: Targets) -> NDArray[np.float64]:
    """(U,) NDCG of each user."""
    lists = model.top(asked.histories, K, asked.seen)
    relevant = np.array([np.isin(best, found) for best, found in zip(lists, asked.items, strict=True)])
    return ndcg(relevant, np.array([len(found) for found in asked.items]), K)


def new(likes: csr_matrix, every: csr_matrix, words: Words | None, seed: int) -> float:
    """Mean NDCG of the items drawn by a seed among themselves."""
    pool = np.flatnonzero(every.getnnz(axis=0) >= LEAST)
    gone = np.zeros(likes.shape[1], dtype=bool)
    gone[np.random.default_rng(seed).permutation(pool)[: len(pool) // 5]] = True
    kept, asked = _columns(likes, ~gone), _columns(every, gone)
    words = None if words is None else replace(words, new=gone)
    model, columns = EASE.fit(kept, words=words), np.flatnonzero(gone)
    relevant, sizes = [], []
    for user in np.flatnonzero((np.diff(asked.indptr) > 0) & (np.diff(kept.indptr) > 0)):
        found = asked.indices[asked.indptr[user] : asked.indptr[user + 1]]
        scores = model.scores(kept.indices[kept.indptr[user] : kept.indptr[user + 1]].astype(np.int64))[columns - 1]
        relevant.append(np.isin(columns[np.argsort(-scores, kind="stable")[:K]], found))
        sizes.append(len(found))
    return float(ndcg(np.array(relevant), np.array(sizes), K).mean())


def folds(likes: csr_matrix, words: Words | None) -> dict[str, float]:
    """Mean cosine between the models of four folds, by the items' likes."""
    counts = likes.getnnz(axis=0)[1:]
    reference = _unit(EASE.fit(likes, words=words).item_vectors())
    turned = []
    for model in CrossFittedRetrievers.fit(EASE, likes, folds=4, words=words).models:
        vectors = _unit(model.item_vectors())
        left, _, right = np.linalg.svd((vectors * counts[:, None]).T @ reference)
        turned.append(vectors @ (left @ right))
    pairs = [(ours * theirs).sum(1) for ours, theirs in itertools.combinations(turned, 2)]
    cosine = np.mean(pairs, axis=0)
    return {f"{low}-{high}": round(float(cosine[(counts >= low) & (counts <= high)].mean()), 3) for low, high in BANDS}


def _columns(matrix: csr_matrix, kept: NDArray[np.bool_]) -> csr_matrix:
    """The cells of these columns alone."""
    left = csr_matrix(matrix.multiply(kept[None].astype(np.float32)))
    left.eliminate_zeros()
    return left


def _unit(vectors: Floats) -> NDArray[np.float64]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-12)).astype(np.float64)


def _rounded(figure: float) -> float:
    return round(float(figure), 4)


def main() -> None:
    """Measure every setting on one data set and write the figures."""
    parser = argparse.ArgumentParser(description="The prior from text in EASE.")
    parser.add_argument("data")
    parser.add_argument("--details", nargs="*", default=["genres"])
    parser.add_argument("--words", default="sentences", help="As cf.prior.words in a run.")
    parser.add_argument("--k", nargs="+", type=float, default=[3.0])
    parser.add_argument("--l2", nargs="+", type=float, default=[10.0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    dataset = user_time_split(open_dataset(arguments.data))
    likes, every = likes_matrix(dataset, "train"), likes_matrix(dataset)
    asked = {"valid": targets(dataset, "valid"), "test": targets(dataset, "test")}
    told = told_words(dataset, arguments.details, PriorConfig(words=arguments.words))
    alone = {part: warm(EASE.fit(likes), found) for part, found in asked.items()}
    grid = itertools.product(arguments.k, arguments.l2)
    rows: list[dict[str, Any]] = []
    for prior in (None, *(PriorConfig(words=arguments.words, k=k, l2=l2) for k, l2 in grid)):
        words = None if prior is None else replace(told, config=prior)
        row: dict[str, Any] = {"prior": prior and prior.model_dump(mode="json")}
        model = EASE.fit(likes, words=words)
        for part, found in asked.items():
            figures = warm(model, found)
            more = figures - alone[part]
            error = more.std(ddof=1) / np.sqrt(len(more))
            row[part] = {"ndcg@10": _rounded(figures.mean()), "difference": _rounded(more.mean())}
            row[part]["standard_error"] = _rounded(error)
        row["new"] = {str(seed): _rounded(new(likes, every, words, seed)) for seed in arguments.seeds}
        rows.append(row | {"folds": folds(likes, words)})
        print(rows[-1], flush=True)
        about = {"dataset": dataset.name, "details": arguments.details, "made": circumstances()}
        write_json(arguments.out, about | {"rows": rows})


if __name__ == "__main__":
    main()
