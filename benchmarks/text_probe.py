"""What a base model's words say of an item beyond CF: a linear probe on valid rows, no training of the language model.

    python benchmarks/text_probe.py FOLDER --out benchmarks/ml-1m/probe.json

A logistic regression on the training rows has an effect for each user and item, and a weight for each feature of the
item: its year; the mean embedding of its title's tokens (what a slot's semantic embedding is); the mean hidden state of
the title after all layers. If features help, text knows what the labels of training do not tell. They are measured by
themselves and added to a CF model's log-odds, which have seen the same labels. Test rows are never read.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from ccf_llm.cf.item_words import ItemWords
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.named import open_dataset
from ccf_llm.data.rows import Rows
from ccf_llm.evaluation.metrics import auc, uauc
from ccf_llm.experiments.cf import fit_row
from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.experiments.config import RunConfig
from ccf_llm.io.files import write_json
from ccf_llm.llm.base import LanguageModel, load_tokenizer
from ccf_llm.llm.source import resolve_model
from ccf_llm.prompts.encoder import PromptEncoder

Floats = NDArray[np.floating[Any]]
COMPONENTS = 64
SCALES = (0.03, 0.1, 0.3)
"""Of the features: the smaller, the more the regression's penalty holds them down. The best on valid is reported."""
EFFECTS = 0.5
"""Inverse of the penalty on user and item effects."""


def main(folder: str, method: str, out: Path) -> None:
    """Measure every set of features and write the figures."""
    dataset, config = open_dataset(folder), RunConfig()
    train, valid = dataset.rows("train"), dataset.rows("valid")
    cf = fit_row(method, dataset, train, config.cf, 0).score(valid)
    found: dict[str, Any] = {method: figures(valid, cf)}
    for name, table in features(dataset, config).items():
        tried = [(scale, probe(train, valid, dataset, table, scale)) for scale in (SCALES if table.size else (1.0,))]
        scale, scores = max(tried, key=lambda one: auc(valid.labels, one[1]))
        both = standard(cf) + 0.3 * standard(scores)
        found[name] = figures(valid, scores) | {"scale": scale, f"with {method}": figures(valid, both)}
        print(name, found[name], flush=True)
    about = {"dataset": dataset.name, "part": "valid", "llm": config.llm.model, "components": COMPONENTS}
    write_json(out, about | {"found": found, "made": circumstances()})


def features(dataset: Dataset, config: RunConfig) -> dict[str, Floats]:
    """(n_items, F) tables by name."""
    titles = dataset.items["title"].to_list()
    year = ItemWords.of(dataset.items).years[1:].astype(np.float64)
    year = np.where(np.isnan(year), np.nanmean(year), year)[:, None]
    tokens, hidden = title_states(titles, config)
    return {
        "user and item effects": np.zeros((len(titles), 0)),
        "with year": StandardScaler().fit_transform(np.hstack([year, (year - year.mean()) ** 2])),
        "with token embeddings": leading(tokens),
        "with hidden states": leading(hidden),
    }


@torch.no_grad()
def title_states(titles: list[str], config: RunConfig) -> tuple[Floats, Floats]:
    """(n_items, d) mean token embedding and mean last hidden state of every title, read by itself."""
    source = resolve_model(config.llm.model)
    llm = LanguageModel(source, torch.float32, config.llm.lora, seed=0).eval()  # a fresh adapter changes nothing
    encoder = PromptEncoder(load_tokenizer(source), config.prompt.template, titles)
    ids = [torch.from_numpy(encoder.words(item)) for item in range(len(titles))]
    tokens, hidden = torch.zeros(len(ids), llm.width), torch.zeros(len(ids), llm.width)
    for length in {len(one) for one in ids}:  # no padding
        same = [item for item, one in enumerate(ids) if len(one) == length]
        for begin in range(0, len(same), 64):
            items = same[begin : begin + 64]
            embedded = llm.embeddings(torch.stack([ids[item] for item in items]))
            tokens[items] = embedded.mean(1)
            hidden[items] = llm(embedded, torch.arange(length), None).mean(1)
    return tokens.numpy(), hidden.numpy()


def leading(table: Floats) -> Floats:
    """Its leading components, the first with a variance of 1."""
    found = PCA(COMPONENTS, random_state=0).fit_transform(StandardScaler().fit_transform(table))
    scaled: Floats = found / found[:, 0].std()
    return scaled


def probe(train: Rows, valid: Rows, dataset: Dataset, table: Floats, scale: float) -> Floats:
    """(N,) log-odds of the valid rows by effects and features, fitted on the training rows."""
    sizes = len(dataset.user_vocabulary), len(dataset.item_vocabulary)

    def design(rows: Rows) -> Any:
        known = [np.isin(codes, other) for codes, other in ((rows.users, train.users), (rows.items, train.items))]
        return hstack(
            [one_hot(rows.users * known[0], sizes[0]), one_hot(rows.items * known[1], sizes[1])]
            + ([csr_array(scale * table[rows.items - 1])] if table.size else []),
            format="csr",
        )

    regression = LogisticRegression(C=EFFECTS, max_iter=1000).fit(design(train), train.labels)
    scores: Floats = regression.decision_function(design(valid))
    return scores


def one_hot(codes: NDArray[np.int64], size: int) -> Any:
    """(N, size) a one for each code from 1 on; nothing for 0."""
    rows = np.flatnonzero(codes)
    return csr_array((np.ones(len(rows)), (rows, codes[rows] - 1)), shape=(len(codes), size))


def standard(scores: Floats) -> Floats:
    """Scores with mean 0 and variance 1."""
    scaled: Floats = (scores - scores.mean()) / scores.std()
    return scaled


def figures(rows: Rows, scores: Floats) -> dict[str, float]:
    """AUC and UAUC."""
    return {
        "auc": round(auc(rows.labels, scores), 4),
        "uauc": round(uauc(rows.users, rows.labels, scores)[0], 4),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="a data set with a split")
    parser.add_argument("--cf", default="ensemble", help="the CF model whose log-odds the features are added to")
    parser.add_argument("--out", type=Path, required=True, help="JSON file")
    arguments = parser.parse_args()
    main(arguments.folder, arguments.cf, arguments.out)
