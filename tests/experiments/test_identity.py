"""Nothing made from one data set is ever read with another's codes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import ccf_llm
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.importers import import_tables
from ccf_llm.data.split import global_time_split
from ccf_llm.errors import CCFError
from ccf_llm.experiments.config import RunConfig
from ccf_llm.experiments.evaluate import evaluate_run
from ccf_llm.experiments.folder import RunFolder
from ccf_llm.experiments.results import ResultFolder, about_data, row_config
from ccf_llm.experiments.train import train_run
from ccf_llm.io.files import read_json
from ccf_llm.io.progress import Say
from ccf_llm.model.ccfllm import CCFLLM

SILENT: Say = lambda line: None  # noqa: E731


@pytest.fixture
def quick_run(tiny_run: RunConfig) -> RunConfig:
    """Stages of two steps: what is trained matters here, not how well."""
    few = {"rows": 40, "batch_rows": 20, "evaluations": 1, "valid_rows": 60}
    return tiny_run.model_copy(update={"stages": {k: s.model_copy(update=few) for k, s in tiny_run.stages.items()}})


def said(config: RunConfig) -> list[str]:
    lines: list[str] = []
    train_run(config, say=lines.append)
    return lines


def put(config: RunConfig, dataset: Dataset) -> None:
    """The data set where the run's settings find it."""
    dataset.save(Path(config.data.source))


def auc_of(config: RunConfig) -> dict[str, float]:
    models: dict[str, dict[str, float]] = evaluate_run(RunFolder(config.output))["models"]
    return {name: figures["auc"] for name, figures in models.items()}


def imported(dataset: Dataset, folder: Path, seed: int | None) -> Dataset:
    """The same content from tables whose rows, and with them users and items, come in another order."""
    interactions, items = dataset.interactions.drop("split"), dataset.items
    if seed is not None:
        interactions, items = (frame.sample(fraction=1, shuffle=True, seed=seed) for frame in (interactions, items))
    folder.mkdir()
    interactions.write_csv(folder / "interactions.csv")
    items.write_csv(folder / "items.csv")
    return global_time_split(import_tables(folder / "interactions.csv", folder / "items.csv"), 0.7, 0.15)


def shuffled(dataset: Dataset, seed: int) -> Dataset:
    """The same content, rows, users and items in another order."""
    mixed: dict[str, pl.DataFrame] = {
        name: frame.sample(fraction=1, shuffle=True, seed=seed)
        for name, frame in (("interactions", dataset.interactions), ("items", dataset.items))
    }
    return Dataset.from_frames(mixed["interactions"], mixed["items"], name=dataset.name)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_of_rows_users_and_items_changes_no_score(
    quick_run: RunConfig, tiny_data: Dataset, tmp_path: Path, seed: int
) -> None:
    assert torch.get_num_threads() == 1
    pairs = tiny_data.interactions.tail(60).select("user_id", "item_id")
    found = []
    for name, order in (("as it is", None), ("shuffled", seed)):
        data = imported(tiny_data, tmp_path / f"{name} tables", order)
        config = quick_run.model_copy(update={"output": tmp_path / name})
        found.append(ccf_llm.fit(data, config, say=SILENT).score(pairs, data)["score"].to_numpy())
    assert found[0].std() > 0.1
    np.testing.assert_allclose(found[1], found[0], rtol=0, atol=1e-6)


def test_the_same_data_in_another_order_is_not_trained_again(quick_run: RunConfig, tiny_data: Dataset) -> None:
    assert any("fitting" in line for line in said(quick_run))
    before = auc_of(quick_run)
    put(quick_run, shuffled(tiny_data, 3))
    assert not any("fitting" in line for line in said(quick_run))
    assert auc_of(quick_run) == before


def relabelled(dataset: Dataset) -> Dataset:
    turned = dataset.interactions.with_columns(label=1 - pl.col("label"))
    return Dataset.from_frames(turned, dataset.items, name=dataset.name)


def fewer_items(dataset: Dataset) -> Dataset:
    """Without the first item, so that all codes move."""
    left = pl.col("item_id") != "i1"
    return Dataset.from_frames(dataset.interactions.filter(left), dataset.items.filter(left), name=dataset.name)


def more_users(dataset: Dataset) -> Dataset:
    """With a user whose id comes first, so that all codes move."""
    more = dataset.interactions.head(2).with_columns(user_id=pl.lit("a"), timestamp=pl.lit(1, dtype=pl.Int64))
    return Dataset.from_frames(pl.concat([dataset.interactions, more]), dataset.items, name=dataset.name)


@pytest.mark.parametrize("change", [relabelled, fewer_items, more_users])
def test_what_was_made_from_other_data_is_made_anew(
    quick_run: RunConfig, tiny_data: Dataset, tmp_path: Path, change: Callable[[Dataset], Dataset]
) -> None:
    said(quick_run)
    put(quick_run, change(tiny_data))
    assert sum("fitting on" in line for line in said(quick_run)) == 4  # mean, MF and its two folds
    anew = quick_run.model_copy(update={"output": tmp_path / "anew"})
    said(anew)
    assert auc_of(quick_run) == auc_of(anew)
    assert auc_of(quick_run)["mf"] > 0.8


def test_evaluation_goes_by_ids(quick_run: RunConfig, tiny_data: Dataset) -> None:
    said(quick_run)
    before = auc_of(quick_run)
    new = pl.DataFrame({"item_id": ["0"], "title": ["New"], "genres": [""]})
    grown = replace(more_users(tiny_data), items=pl.concat([new, tiny_data.items]))
    put(quick_run, grown)
    assert grown.item_vocabulary.code("i1") != tiny_data.item_vocabulary.code("i1")
    assert auc_of(quick_run) == pytest.approx(before, abs=1e-6)


def test_training_rows_are_not_measured_as_test(quick_run: RunConfig, tiny_data: Dataset) -> None:
    said(quick_run)
    whole = replace(tiny_data, interactions=tiny_data.interactions.drop("split"), split=None)
    put(quick_run, global_time_split(whole, 0.5, 0.2))
    with pytest.raises(CCFError, match=r"135 of its 270 test rows were (train|valid) rows when this run was trained"):
        auc_of(quick_run)
    put(quick_run, fewer_items(tiny_data))  # all test rows were test rows, so they may be measured
    assert auc_of(quick_run)["mf"] > 0.8


def test_rows_of_items_that_a_run_does_not_know_are_counted(quick_run: RunConfig, tiny_data: Dataset) -> None:
    put(quick_run, fewer_items(tiny_data))
    said(quick_run)
    put(quick_run, tiny_data)
    asked = int(((tiny_data.interactions["split"] == "test") & (tiny_data.interactions["item_id"] == "i1")).sum())
    with pytest.raises(CCFError, match=rf"{asked} of its 135 test rows are of items that this run does not know"):
        auc_of(quick_run)


def test_a_method_of_other_data_is_not_measured_with_the_others(quick_run: RunConfig, tiny_data: Dataset) -> None:
    said(quick_run)
    put(quick_run, relabelled(tiny_data))
    train_run(quick_run, only="llm_text", say=SILENT)
    with pytest.raises(CCFError, match=r"ccf_llm: was not made from the data of this run; run ccf-llm train again"):
        auc_of(quick_run)


def test_a_result_of_other_data_is_stale(quick_run: RunConfig, tiny_data: Dataset, tmp_path: Path) -> None:
    store = ResultFolder(tmp_path / "results")
    result: dict[str, Any] = {
        "method": "mf",
        "seed": quick_run.seed,
        "data": about_data(tiny_data),
        "config": row_config(quick_run, "mf"),
    }
    store.save(result, np.zeros(3, dtype=np.float32))
    assert store.is_current("mf", quick_run, tiny_data)
    assert store.is_current("mf", quick_run, shuffled(tiny_data, 5))
    for change in (relabelled, fewer_items, more_users):
        assert not store.is_current("mf", quick_run, change(tiny_data))


def test_scores_do_not_depend_on_the_order_of_the_catalogue(quick_run: RunConfig, tiny_data: Dataset) -> None:
    model = ccf_llm.fit(tiny_data, quick_run, say=SILENT)
    backwards = replace(tiny_data, items=tiny_data.items.reverse())
    pairs = tiny_data.interactions.tail(40).select("user_id", "item_id")
    expected = model.score(pairs, tiny_data)["score"]
    np.testing.assert_array_equal(model.score(pairs, backwards)["score"], expected)


def test_a_split_that_leaks_through_histories_is_said(quick_run: RunConfig, tiny_data: Dataset) -> None:
    drawn = pl.Series("split", ["train", "test", "train", "valid", "train"] * 180)
    mixed = Dataset.from_frames(tiny_data.interactions.with_columns(drawn), tiny_data.items, name="tiny")
    put(quick_run, mixed)
    lines = said(quick_run)
    assert lines[0].startswith("note: split: ")
    assert "what these say was left out of their histories" in lines[0]


def test_a_model_records_the_data_that_it_was_given(quick_run: RunConfig, tiny_data: Dataset) -> None:
    elsewhere = quick_run.model_copy(update={"data": quick_run.data.model_copy(update={"source": "ml-100k"})})
    model = ccf_llm.fit(tiny_data, elsewhere, say=SILENT)
    saved = read_json(RunFolder(elsewhere.output).model("ccf_llm") / "config.json")
    for data in (saved["info"]["data"], model.info.model_dump()["data"]):
        assert data["name"] == "tiny"
        assert data["identity"] == tiny_data.identity.to_json()
        assert Dataset.load(data["source"]).identity == tiny_data.identity
    assert saved["info"]["training"]["data"]["source"] == saved["info"]["data"]["source"]
    assert CCFLLM.load(RunFolder(elsewhere.output).model("ccf_llm")).details == ("genres",)
