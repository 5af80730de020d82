import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from ccf_llm.cf.kinds import load_cf
from ccf_llm.cf.mean import ItemUserMean
from ccf_llm.data.rows import Rows
from ccf_llm.errors import CCFError


def plain_rows(users: list[int], items: list[int], labels: list[int]) -> Rows:
    zeros = np.zeros(len(users), dtype=np.int64)
    return Rows(
        np.array(users),
        np.array(items),
        np.array(labels, dtype=np.int8),
        zeros,
        np.zeros(0, dtype=np.int64),
        zeros,
        zeros,
    )


def logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


def test_score_is_the_sum_of_log_odds_around_the_global_mean() -> None:
    rows = plain_rows([1, 1, 2, 2], [1, 2, 1, 2], [1, 1, 1, 0])
    model = ItemUserMean.fit(rows, n_users=3, n_items=3, smoothing=1.0)
    item, user = (2 + 0.75) / 3, (1 + 0.75) / 3
    expected = [logit(item) + logit(user) - logit(0.75), logit(item), logit(0.75)]
    np.testing.assert_allclose(model.score(plain_rows([2, 3, 0], [1, 1, 3], [0, 0, 0])), expected, rtol=1e-5)


def test_saves_and_loads(train: Rows, valid: Rows, tmp_path: Path) -> None:
    model = ItemUserMean.fit(train, n_users=41, n_items=31)
    model.save(tmp_path / "mean")
    np.testing.assert_array_equal(load_cf(tmp_path / "mean").score(valid), model.score(valid))


def test_refuses_one_class_and_smoothing_of_zero() -> None:
    with pytest.raises(CCFError, match="train: 1 rows without both"):
        ItemUserMean.fit(plain_rows([1], [1], [1]), n_users=1, n_items=1)
    with pytest.raises(CCFError, match="train: row 1 has label -1"):
        ItemUserMean.fit(plain_rows([1, 1], [1, 1], [1, -1]), n_users=1, n_items=1)
    with pytest.raises(CCFError, match="smoothing"):
        ItemUserMean.fit(plain_rows([1, 1], [1, 1], [1, 0]), n_users=1, n_items=1, smoothing=0)


def test_published_movielens_1m_split() -> None:
    folder = os.environ.get("CCF_LLM_ML1M")
    if not folder:
        pytest.skip("set CCF_LLM_ML1M to the folder of the published MovieLens-1M split")
    columns = ["user_id", "item_id", "label"]
    train, test = (pl.read_parquet(Path(folder) / f"{part}.parquet", columns=columns) for part in ("train", "test"))
    both = pl.concat([train, test])
    n_users, n_items = int(both["user_id"].max()) + 1, int(both["item_id"].max()) + 1
    # Its ids are small integers from 0; codes start at 1.
    train_rows, test_rows = (
        plain_rows((f["user_id"] + 1).to_list(), (f["item_id"] + 1).to_list(), f["label"].to_list())
        for f in (train, test)
    )
    scores = ItemUserMean.fit(train_rows, n_users=n_users, n_items=n_items).score(test_rows)
    users = [test_rows.users == user for user in np.unique(test_rows.users)]
    mixed = [m for m in users if 0 < test_rows.labels[m].mean() < 1]
    assert len(mixed) == 224
    assert roc_auc_score(test_rows.labels, scores) == pytest.approx(0.7326, abs=0.001)
    uauc = np.mean([roc_auc_score(test_rows.labels[m], scores[m]) for m in mixed])
    assert uauc == pytest.approx(0.6786, abs=0.001)
