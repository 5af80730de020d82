"""What else finds new items: the cosine of encoders, and a hybrid of ids and words learned from likes (LightFM).

    pip install rectools-lightfm==1.17.3      # builds with a C compiler
    python benchmarks/new_item_rivals.py ml-100k --details year genres --out benchmarks/ranking/ml-100k-new-rivals.json
    python benchmarks/new_item_rivals.py DATA --details genres --out ...     # MovieLens latest-small

Splits and lists are those of `new_items.py`: a drawn fifth of the items, or the newest, is out of train and valid.

- `cosine`: an item's score is the sum over the likes of the cosines, less the mean of all items' vectors, of the
  sentence encoder or of the means of SmolLM2's token embeddings.
- `lightfm`: user and item vectors and biases, an item's the sum of its own and of its words' (Kula, *Metadata
  Embeddings for User and Item Cold-start Recommendations*, 2015): words of title and details that two items have, as
  much together as its own, which a new item has none of. WARP; width, epochs and penalty of items are chosen by new
  items drawn within train and valid. `lightfm, words alone` leaves the items' own out.
- `ease, prior`: EASE with the prior from text by the sentence encoder, against which all others are paired.
"""

import argparse
import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from lightfm import LightFM
from new_items import SHARE, new_mask, within, without
from retrievers import texts, words
from scipy.sparse import csr_matrix, diags, hstack
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize

from ccf_llm.cf.ease import EASE
from ccf_llm.cf.prior import Words
from ccf_llm.cf.settings import PriorConfig
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.likes import likes_matrix
from ccf_llm.data.named import open_dataset
from ccf_llm.data.rows import Codes, Floats
from ccf_llm.data.split import user_time_split
from ccf_llm.evaluation.known import Known
from ccf_llm.evaluation.ranking import evaluate_lists
from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.experiments.ranked import Asked, retriever_lists
from ccf_llm.io.files import write_json
from ccf_llm.llm.base import LanguageModel, load_tokenizer
from ccf_llm.llm.hidden import hidden_means
from ccf_llm.llm.settings import LoRAConfig
from ccf_llm.llm.source import resolve_model

PRIOR = "ease, prior"
GRID = {"no_components": (32, 64), "epochs": (3, 10, 30), "item_alpha": (0.0, 1e-5, 1e-4)}


@dataclass(frozen=True, eq=False)
class Told:
    """What the catalogue's texts say."""

    plain: Words
    """As the default prior reads them, by the sentence encoder."""
    tokens: Floats
    """(n_items, d) means of token embeddings."""
    counted: csr_matrix
    """(n_items, v) the words that two items have at least; each row's sum is 1."""

    @classmethod
    def of(cls, dataset: Dataset, details: list[str]) -> "Told":
        """Of titles and these columns."""
        told = texts(dataset, details)
        source = resolve_model("smollm2-135m")
        llm = LanguageModel(source, torch.float32, LoRAConfig(), 0, layers=1)
        ids = load_tokenizer(source)([f" {text}" for text in told], add_special_tokens=False)["input_ids"]
        tokens = hidden_means(llm, [np.array(own, dtype=np.int64) for own in ids], 0, keep=False)
        counted = CountVectorizer(binary=True, min_df=2, token_pattern=r"\w+").fit_transform(told)
        plain = words(dataset, details, PriorConfig(words="sentences"))
        return cls(plain, tokens.numpy(), csr_matrix(normalize(counted, norm="l1"), dtype=np.float32))


def hybrid(likes: csr_matrix, told: Told, settings: dict[str, Any], *, own: bool = True, seed: int = 0) -> Floats:
    """(n_users + 1, n_items) the scores of a LightFM that has learned from likes (n_users + 1, n_items + 1)."""
    known = csr_matrix(likes[:, 1:], dtype=np.float32)
    alone = diags((known.getnnz(axis=0) > 0) * float(own))
    features = csr_matrix(normalize(hstack([alone, told.counted]), norm="l1"), dtype=np.float32)
    fixed = {name: value for name, value in settings.items() if name != "epochs"}
    model = LightFM(loss="warp", random_state=seed, **fixed)
    model.fit(known, item_features=features, epochs=settings["epochs"], num_threads=1)
    bias, vectors = model.get_item_representations(features)
    scores: Floats = (model.user_embeddings @ vectors.T + bias).astype(np.float32)  # a user's bias changes no list
    return scores


def cosines(vectors: Floats, histories: list[Codes]) -> Floats:
    """(B, n_items) the sums over the likes."""
    unit = normalize(vectors - vectors.mean(0))
    profiles = np.stack([unit[codes - 1].sum(0) for codes in histories])
    scores: Floats = (profiles @ unit.T).astype(np.float32)
    return scores


def measured(dataset: Dataset, told: Told, settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """NDCG@10 among all items and among new ones, and paired with the prior."""
    likes = likes_matrix(dataset, "train")
    prior = EASE.fit(likes, words=replace(told.plain, new=new_mask(dataset)))
    scores = {
        "lightfm": hybrid(likes, told, settings, seed=seed),
        "lightfm, words alone": hybrid(likes, told, settings, own=False, seed=seed),
    }
    rows: dict[str, Any] = {}
    for among in ("all", "new"):
        asked = Asked.of(dataset, "test", among=among)
        histories = asked.targets.histories
        ways = {
            "cosine, tokens": cosines(told.tokens, histories),
            "cosine, sentences": cosines(told.plain.vectors[1:], histories),
        }
        ways |= {name: of[asked.targets.users] for name, of in scores.items()}
        lists = [retriever_lists(PRIOR, prior, asked, 0)]
        lists += [asked.lists(name, of.__getitem__, 0) for name, of in ways.items()]
        for name, row in evaluate_lists(pl.concat(lists), Known.of(dataset, "test", among))["models"].items():
            figures = {"ndcg@10": row["ndcg@10"], "interval": row["ndcg@10_ci"]}
            if PRIOR in row["diff"]:
                figures |= {"against prior": [row["diff"][PRIOR]["ndcg@10"], *row["diff"][PRIOR]["ndcg@10_ci"]]}
            rows.setdefault(name, {})[among] = {key: np.round(value, 4).tolist() for key, value in figures.items()}
    return rows


def main() -> None:
    """Choose the hybrid's settings, then measure one data set and write the figures."""
    parser = argparse.ArgumentParser(description="Other ways to find new items, measured.")
    parser.add_argument("data")
    parser.add_argument("--details", nargs="*", default=["genres"])
    parser.add_argument("--choose", nargs="*", type=int, default=[10, 11])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    whole = open_dataset(arguments.data)
    told = Told.of(whole, arguments.details)
    earlier = within(user_time_split(whole))
    drawn = [without(earlier, "drawn", seed) for seed in arguments.choose]
    trials: list[dict[str, Any]] = []
    for values in itertools.product(*GRID.values()):
        settings = dict(zip(GRID, values, strict=True))
        found = [found_new(dataset, told, settings) for dataset in drawn]
        trials.append({"settings": settings, "ndcg@10": round(float(np.mean(found)), 4)})
        print(trials[-1], flush=True)
    best = max(trials, key=lambda trial: trial["ndcg@10"])["settings"]
    result: dict[str, Any] = {"dataset": whole.name, "details": arguments.details, "new_items": SHARE, "trials": trials}
    result |= {"chosen": best, "made": circumstances(), "test": {}}
    for name, by, seed in [*((f"drawn {seed}", "drawn", seed) for seed in arguments.seeds), ("newest", "time", 0)]:
        result["test"][name] = measured(without(whole, by, seed), told, best, seed)
        write_json(arguments.out, result)


def found_new(dataset: Dataset, told: Told, settings: dict[str, Any]) -> float:
    """NDCG@10 of the hybrid, new items among themselves."""
    scores, asked = hybrid(likes_matrix(dataset, "train"), told, settings), Asked.of(dataset, "test", among="new")
    lists = asked.lists("lightfm", lambda some: scores[asked.targets.users[some]], 0)
    figure: float = evaluate_lists(lists, Known.of(dataset, "test", "new"))["models"]["lightfm"]["ndcg@10"]
    return figure


if __name__ == "__main__":
    main()
