"""A trained model over data that have grown: old vectors stay where they were, new likes and items count at once."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import tiny
from ccf_llm.cli import app
from ccf_llm.data.dataset import Dataset
from ccf_llm.errors import CCFError
from ccf_llm.experiments.config import RunConfig, check_config
from ccf_llm.experiments.folder import RunFolder, open_split
from ccf_llm.experiments.train import train_run
from ccf_llm.experiments.update import update_run
from ccf_llm.io.files import read_json
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.recommend.recommender import Recommender

NEW_ITEM, NEW_USER = "i0", "u0"
"""They come first in their vocabularies, so that every code moves."""
SILENT = lambda line: None  # noqa: E731


def shop(folder: Path, *, later: bool) -> Dataset:
    """The tiny data without its last rows; later: all of them, an item and a user more, and u1's new like, i2."""
    whole = tiny.make_dataset(rows=1000)
    rows, items = whole.interactions.sort("timestamp"), whole.items
    rows = rows.filter(~((pl.col("user_id") == "u1") & (pl.col("item_id") == "i2")))
    if later:
        fans = [f"u{user}" for user in range(1, 31, 2)]
        likes = {"user_id": [*fans, NEW_USER, "u1"], "item_id": [*[NEW_ITEM] * 16, "i2"]}
        more = pl.DataFrame(likes).with_columns(timestamp=pl.int_range(17) + 10_000, label=pl.lit(1, pl.Int8))
        rows = pl.concat([rows, more.select(rows.columns)], how="vertical_relaxed")
        items = pl.concat([items, pl.DataFrame({"item_id": [NEW_ITEM], "title": ["Rain"]})], how="diagonal")
    else:
        rows = rows.head(900)
    dataset = Dataset.from_frames(rows, items, name="shop")
    dataset.save(folder)
    return replace(dataset, source=str(folder))


def ranking_run(llm: Path, folder: Path) -> RunConfig:
    values = tiny.run_values(llm, folder)
    stage = {"train": ["lora", "fusion"], "residual": True, "rows": 120, "batch_rows": 40, "evaluations": 1}
    values["data"]["split"] = {"by": "user"}
    values["cf"] |= {"model": "ease", "folds": 0, "ease": {"l2": 5.0, "dim": 2}}
    return check_config(
        values
        | {
            "task": "ranking",
            "ranking": {"cuts": 2, "size": 6, "positives": 2, "depth": 12},
            "stages": {"lists": stage},
            "methods": {"ccf_llm": {"stages": ["lists"]}},
        },
        "test",
    )


@pytest.fixture(scope="module")
def run(tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("update")
    shop(folder / "data", later=False)
    return train_run(ranking_run(tiny_llm, folder), say=SILENT)


def test_before_serving_a_model_learns_from_the_parts_that_measured_it(run: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    served, old = RunFolder(tmp_path / "run"), CCFLLM.load(run.model("ccf_llm"))
    config = run.load_config()
    found = update_run(served, config.data.source, say=SILENT)
    assert found["models"]["after"]["ndcg@10"] == found["models"]["before"]["ndcg@10"]  # measured by train alone
    dataset, network = open_split(config), CCFLLM.load(served.model("ccf_llm")).network
    assert old.network.cf.item_counts.sum() == len(dataset.rows("train")) < len(dataset.interactions)
    assert network.cf.item_counts.sum() == len(dataset.interactions)


def test_a_model_learns_what_is_new_and_keeps_what_it_knew(run: RunFolder, tmp_path: Path) -> None:
    old = CCFLLM.load(run.model("ccf_llm"))
    grown = shop(tmp_path / "grown", later=True)
    options = ["update", str(run.path), str(tmp_path / "grown"), "--json", str(tmp_path / "figures.json")]
    assert "NDCG@10" in CliRunner().invoke(app, options, catch_exceptions=False).output
    found = read_json(tmp_path / "figures.json")
    new, network = CCFLLM.load(run.model("ccf_llm")), old.network

    assert found["likeness"] > 0.9
    assert {"before", "after", "before_retriever", "after_retriever"} == found["models"].keys()
    assert read_json(run.update)["models"] == found["models"]
    for name in ("lora", "fusion"):
        kept, now = network.part(name), new.network.part(name)
        assert all((now[weight] == kept[weight]).all() for weight in kept)
    assert new.network.blend.weights.tolist() == network.blend.weights.tolist()
    assert {NEW_ITEM, *old.items["item_id"]} == set(new.items["item_id"])
    assert new.users.code(NEW_USER) == 1
    assert CCFLLM.load(run.before("ccf_llm")).users.sha256 == old.users.sha256
    assert run.load_config().data.source == str(tmp_path / "grown")

    lists = {
        name: Recommender(model, dataset).recommend("u1", k=10)["item_id"].to_list()
        for name, model, dataset in (("new", new, grown), ("old", old, shop(tmp_path / "data", later=False)))
    }
    assert "i2" not in lists["new"]
    assert lists["new"] != lists["old"]
    # Liked by the odd users alone: the vector says so, which words could not.
    odd, even = (
        Recommender(new, grown).recommend_for_history([f"i{i}" for i in liked], k=25)
        for liked in ((1, 3, 5), (2, 4, 6))
    )
    rank = [one.filter(pl.col("item_id") == NEW_ITEM)["cf_rank"].item() for one in (odd, even)]
    assert rank[0] < rank[1]


def test_a_model_of_the_rating_task_is_measured_by_its_labels(tiny_llm: Path, tmp_path: Path) -> None:
    shop(tmp_path / "data", later=False)
    values = tiny.run_values(tiny_llm, tmp_path) | {"methods": {"ccf_llm": {"stages": ["fusion"], "folds": 0}}}
    config = check_config(values, "test")
    folder = train_run(config, say=SILENT)
    shop(tmp_path / "grown", later=True)
    found = update_run(folder, str(tmp_path / "grown"), part="valid", say=SILENT)
    assert found["models"].keys() == {"before", "after", "before_cf", "after_cf"}
    assert found["part"] == "valid"
    assert found["likeness"] > 0.5  # of few steps from the same start
    assert np.isfinite(found["models"]["after"]["auc"])


def test_data_of_another_shop_are_refused_and_nothing_changes(run: RunFolder, tmp_path: Path) -> None:
    shop(tmp_path / "data", later=False)
    other = Dataset.load(tmp_path / "data")
    renamed = [frame.with_columns(item_id="x" + pl.col("item_id")) for frame in (other.interactions, other.items)]
    Dataset.from_frames(renamed[0], renamed[1], name="other").save(tmp_path / "other")
    before = (run.model("ccf_llm") / "config.json").read_bytes()
    with pytest.raises(CCFError, match="has none of the model's items"):
        update_run(run, str(tmp_path / "other"), say=SILENT)
    assert (run.model("ccf_llm") / "config.json").read_bytes() == before
