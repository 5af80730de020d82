# ruff: noqa: D102  (methods are those of LabelModel)
"""RecBole's LightGCN and SASRec in our training loop: the same data, settings and labels, but their networks.

    pip install recbole==1.2.1 tensorboard     # an environment of its own; see benchmarks/ml-1m/oracle/README.md
    python benchmarks/oracle.py FOLDER lightgcn --config configs/ml-1m.yaml --ours benchmarks/ml-1m \\
        --out benchmarks/ml-1m/oracle/lightgcn.json

RecBole ranks items that somebody met, by pairwise or softmax losses; the task here is to tell likes from dislikes. So
its networks are trained as ours are (cross-entropy on labels, biases, early stopping on valid AUC) and measured on the
test rows whose user and item training has seen, as RecBole knows no others. Ours are the scores of `ccf-llm compare`.
"""

import argparse
import statistics
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from recbole.model.general_recommender import LightGCN as TheirLightGCN
from recbole.model.sequential_recommender import SASRec as TheirSASRec
from scipy.sparse import coo_matrix, dok_matrix
from torch import Tensor, nn

from ccf_llm.cf.labels import LabelModel
from ccf_llm.cf.settings import CFConfig, LightGCNConfig, SASRecConfig
from ccf_llm.cf.tables import fill_unseen
from ccf_llm.data.named import open_dataset
from ccf_llm.data.rows import Rows
from ccf_llm.evaluation.metrics import auc, uauc
from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.experiments.config import load_config
from ccf_llm.experiments.results import ResultFolder
from ccf_llm.io.files import write_json

# RecBole 1.2.1 fills its matrix by a method that SciPy has dropped since.
dok_matrix._update = lambda self, pairs: self._dict.update(pairs)

FIELDS = {
    "USER_ID_FIELD": "user",
    "ITEM_ID_FIELD": "item",
    "NEG_PREFIX": "neg_",
    "LIST_SUFFIX": "_list",
    "ITEM_LIST_LENGTH_FIELD": "length",
    "device": torch.device("cpu"),
}


class RecBoleData:
    """What RecBole's models ask of a data set: sizes, and who liked what."""

    def __init__(self, n_users: int, n_items: int, likes: coo_matrix) -> None:
        """Codes as ours, 0 for padding."""
        self.sizes, self.likes = {"user": n_users + 1, "item": n_items + 1}, likes

    def num(self, field: str) -> int:
        """Codes of a field, with 0."""
        return self.sizes[field]

    def inter_matrix(self, form: str) -> coo_matrix:
        """(n_users + 1, n_items + 1) 1 where a training row is a like."""
        return self.likes


class _Theirs(LabelModel):
    """A network of RecBole's as one of our models; its vectors are copied out after each pass."""

    kind: ClassVar[str] = "recbole"
    their: Any

    def __init__(self, n_users: int, n_items: int, config: CFConfig | None = None, *, seed: int = 0) -> None:
        super().__init__(n_users, n_items, config)
        self.seed = seed
        self.user_bias = nn.Parameter(torch.zeros(n_users + 1, 1))
        self.item_bias = nn.Parameter(torch.zeros(n_items + 1, 1))
        self.register_buffer("items", torch.zeros(n_items + 1, self.dim))

    def item_vectors(self, items: Tensor) -> Tensor:
        return self.items[items]

    def fill_biases(self) -> None:
        fill_unseen(self.user_bias, self.user_counts)
        fill_unseen(self.item_bias, self.item_counts)


class OracleLightGCN(_Theirs):
    """RecBole's smoothing; as in ours, a step's own edges are taken out of the graph first."""

    name: ClassVar[str] = "RecBole LightGCN"
    config_type: ClassVar[type[CFConfig]] = LightGCNConfig
    config: LightGCNConfig

    def begin_fit(self, train: Rows) -> None:
        known = (train.labels == 1) & (train.users > 0) & (train.items > 0)
        pairs = np.unique(np.stack([train.users[known], train.items[known]]), axis=1)
        self.likes = coo_matrix(
            (np.ones(pairs.shape[1], dtype=np.float32), (pairs[0], pairs[1])),
            shape=(self.n_users + 1, self.n_items + 1),
        )
        settings = FIELDS | {
            "embedding_size": self.config.dim,
            "n_layers": self.config.layers,
            "reg_weight": 0.0,
            "require_pow": False,
        }
        torch.manual_seed(self.seed)
        self.their = TheirLightGCN(settings, RecBoleData(self.n_users, self.n_items, self.likes))
        nn.init.normal_(self.their.user_embedding.weight, std=0.05)
        nn.init.normal_(self.their.item_embedding.weight, std=0.05)
        self.register_buffer("users", torch.zeros(self.n_users + 1, self.dim))

    def forward(self, users: Tensor, history: Tensor, items: Tensor) -> Tensor:
        if not self.training:
            return super().forward(users, history, items)
        self._graph(without=(users.numpy(), items.numpy()))
        p, q = self.their()
        return self.match(
            torch.cat([p[users], self.user_bias[users]], dim=1), torch.cat([q[items], self.item_bias[items]], dim=1)
        )

    def user_vectors(self, users: Tensor, history: Tensor) -> Tensor:
        return self.users[users]

    def penalty(self, users: Tensor, items: Tensor) -> Tensor:
        ego = self.their.user_embedding.weight[users].square().sum()
        return ego + self.their.item_embedding.weight[items].square().sum()

    @torch.no_grad()
    def end_pass(self, last: Rows) -> None:
        self.fill_biases()
        self._graph()
        p, q = self.their()
        self.users.copy_(torch.cat([p, self.user_bias], dim=1))
        self.items.copy_(torch.cat([q, self.item_bias], dim=1))

    def _graph(self, without: tuple[Any, Any] | None = None) -> None:
        """Their normalised adjacency, of the likes or of the likes without some rows."""
        likes = self.likes
        if without is not None:
            width = self.n_items + 1
            kept = ~np.isin(likes.row * width + likes.col, without[0] * width + without[1])
            likes = coo_matrix((likes.data[kept], (likes.row[kept], likes.col[kept])), shape=likes.shape)
        self.their.interaction_matrix = likes
        self.their.norm_adj_matrix = self.their.get_norm_adj_mat()


class OracleSASRec(_Theirs):
    """RecBole's transformer (layer norms after the blocks, GELU, positions from the oldest like on)."""

    name: ClassVar[str] = "RecBole SASRec"
    config_type: ClassVar[type[CFConfig]] = SASRecConfig
    config: SASRecConfig

    def begin_fit(self, train: Rows) -> None:
        config = self.config
        settings = FIELDS | {
            "MAX_ITEM_LIST_LENGTH": config.history_length,
            "n_layers": config.blocks,
            "n_heads": config.heads,
            "hidden_size": config.dim,
            "inner_size": config.dim,
            "hidden_dropout_prob": config.dropout,
            "attn_dropout_prob": config.dropout,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-12,
            "initializer_range": 0.05,
            "loss_type": "CE",
        }
        torch.manual_seed(self.seed)
        self.their = TheirSASRec(settings, RecBoleData(self.n_users, self.n_items, coo_matrix((1, 1))))

    def forward(self, users: Tensor, history: Tensor, items: Tensor) -> Tensor:
        if not self.training:
            return super().forward(users, history, items)
        q = torch.cat([self.their.item_embedding(items), self.item_bias[items]], dim=1)
        return self.match(self._states(users, history), q)

    def user_vectors(self, users: Tensor, history: Tensor) -> Tensor:
        self.their.eval()
        return self._states(users, history)

    def penalty(self, users: Tensor, items: Tensor) -> Tensor:
        return self.their.item_embedding(items).square().sum()

    @torch.no_grad()
    def end_pass(self, last: Rows) -> None:
        self.fill_biases()
        self.items.copy_(torch.cat([self.their.item_embedding.weight, self.item_bias], dim=1))
        fill_unseen(self.items, self.item_counts)

    def _states(self, users: Tensor, history: Tensor) -> Tensor:
        """Known likes to the left, padding behind them, as RecBole has its sequences."""
        known = self.item_counts[history] > 0
        order = torch.sort(known, dim=1, descending=True, stable=True).indices
        sequence = torch.where(known, history, 0).gather(1, order)
        state = self.their(sequence, known.sum(1).clamp(min=1))
        return torch.cat([state, self.user_bias[users]], dim=1)


ORACLES: dict[str, type[_Theirs]] = {"lightgcn": OracleLightGCN, "sasrec": OracleSASRec}


def main() -> None:
    """Fit theirs for each seed, measure both, write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="a data set with a split")
    parser.add_argument("method", choices=ORACLES)
    parser.add_argument("--config", type=Path, required=True, help="whose CF settings are taken")
    parser.add_argument("--ours", type=Path, required=True, help="results of ccf-llm compare")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True, help="JSON file")
    arguments = parser.parse_args()
    dataset = open_dataset(arguments.folder)
    train, valid, test = (dataset.rows(part) for part in ("train", "valid", "test"))
    known = np.isin(test.users, train.users) & np.isin(test.items, train.items)
    rows = test.take(known)
    config = load_config(arguments.config).cf.of(arguments.method)
    sizes = {"n_users": len(dataset.user_vocabulary), "n_items": len(dataset.item_vocabulary)}
    found: dict[str, list[dict[str, float]]] = {"theirs": [], "ours": []}
    for seed in range(arguments.seeds):
        theirs = ORACLES[arguments.method].fit(
            train, valid, **sizes, config=config, seed=seed, progress=lambda line: print(line, flush=True)
        )
        ours = ResultFolder(arguments.ours).scores(arguments.method, seed)[known]
        for name, scores in (("theirs", theirs.score(rows)), ("ours", ours)):
            figures = {"auc": auc(rows.labels, scores), "uauc": uauc(rows.users, rows.labels, scores)[0]}
            found[name].append({figure: round(value, 4) for figure, value in figures.items()})
        print(found, flush=True)
    summary = {
        name: {
            figure: {
                "mean": round(statistics.mean(one[figure] for one in seeds), 4),
                "sd": round(statistics.stdev(one[figure] for one in seeds), 4) if len(seeds) > 1 else None,
            }
            for figure in ("auc", "uauc")
        }
        for name, seeds in found.items()
    }
    about = {"method": arguments.method, "dataset": dataset.name, "rows": len(rows), "oracle": "RecBole 1.2.1"}
    settings = {"settings": config.model_dump(mode="json"), "made": circumstances()}
    write_json(arguments.out, about | {"summary": summary, "seeds": found} | settings)


if __name__ == "__main__":
    main()
