"""A run over a split that holds out new items: what is told of them, and that anyone can recompute it."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from test_ranking_run import SILENT, ranking_values

import tiny
from ccf_llm.cf.candidates import Candidates
from ccf_llm.cli import main
from ccf_llm.data.dataset import Dataset
from ccf_llm.errors import CCFError
from ccf_llm.evaluation.known import Known
from ccf_llm.evaluation.lists import read_lists
from ccf_llm.evaluation.ranking import evaluate_lists
from ccf_llm.experiments.compare import compare_run
from ccf_llm.experiments.config import RunConfig, check_config
from ccf_llm.experiments.evaluate import evaluate_run
from ccf_llm.experiments.folder import RunFolder, open_split
from ccf_llm.experiments.lists import retriever_of
from ccf_llm.experiments.ranked import Asked, model_scores
from ccf_llm.experiments.report import report_run
from ccf_llm.experiments.train import train_run
from ccf_llm.experiments.words import words_key, words_of
from ccf_llm.io.files import read_json
from ccf_llm.model.ccfllm import CCFLLM

SPLIT = {"by": "user", "train": 0.7, "new_items": 0.25, "new_items_by": "drawn", "seed": 1}


@pytest.fixture(scope="module")
def config(tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    folder = tmp_path_factory.mktemp("new")
    tiny.make_dataset(rows=1200).save(folder / "data")
    values = ranking_values(tiny_llm, folder)
    values["data"] = {**values["data"], "split": SPLIT}
    values["methods"] = {"ccf_llm": {"stages": ["lists"]}}
    return check_config(values, "test")


@pytest.fixture(scope="module")
def folder(config: RunConfig) -> RunFolder:
    return train_run(config, say=SILENT)


def test_evaluate_ranks_new_items_among_all_and_among_themselves(folder: RunFolder, config: RunConfig) -> None:
    metrics, dataset = evaluate_run(folder), open_split(config)
    assert dataset.split is not None
    assert dataset.split.new_items is not None
    new = dataset.split.new_items.items
    assert metrics["lists"]["new_items"]["items"] == len(new)
    assert 0 < metrics["lists"]["new_items"]["share_of_targets"] < 1
    for row in ("ease", "knn", "popularity", "ccf_llm"):
        assert {"new@10", "new_hits@10"} <= metrics["models"][row].keys()
        assert "target new" in metrics["models"][row]["slices"]
    lists = read_lists(folder.lists.with_stem("lists-new"))
    assert set(lists["item_id"].drop_nulls()) == set(new)
    again = evaluate_lists(lists, Known.of(dataset, "test", "new"))
    for row in ("ease", "knn", "popularity", "ccf_llm"):
        figure = metrics["new_items"]["models"][row]["ndcg@5"]
        assert again["models"][row]["ndcg@5"] == pytest.approx(figure, abs=1e-12)
    # Without a prior nobody knows anything of them: EASE has the same for all, in the order of the catalogue.
    ease = lists.filter(pl.col("method") == "ease")
    assert ease["score"].unique().to_list() == [0.0]


def test_the_report_and_the_table_tell_of_new_items(folder: RunFolder, config: RunConfig, tmp_path: Path) -> None:
    evaluate_run(folder)
    page = report_run(folder).read_text()
    assert "items are new: nobody met them in training" in page
    store = compare_run(config, seeds=[0], results=tmp_path / "results", only=["ease", "knn"], say=SILENT)
    table = read_json(store.table(".json"))
    line = next(line for line in table["rows"] if line["method"] == "ease")
    alone = store.lists_of_new("ease", 0)
    assert alone is not None
    assert line["among_new"]["ndcg@5"] == pytest.approx(evaluate_lists(alone)["models"]["ease"]["ndcg@5"])
    assert line["new_hits@10"] is not None
    assert "| new among new | against ease | new in the list | new among hits |" in store.table(".md").read_text()


def test_its_lists_can_be_measured_by_anyone(
    folder: RunFolder,
    config: RunConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def invoke(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["ccf-llm", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        assert not stop.value.code
        return capsys.readouterr().out

    monkeypatch.setenv("COLUMNS", "200")
    file, data = tmp_path / "lists.parquet", tmp_path / "split"
    open_split(config).save(data)
    shown = invoke("evaluate", str(folder.path), "--lists", str(file))
    assert "new items among themselves, lists of" in shown
    assert "new among hits" in shown
    alone = tmp_path / "lists-new.parquet"
    assert "NDCG@" in invoke("evaluate", "--lists", str(alone), "--data", str(data), "--among", "new")
    with pytest.raises(CCFError, match=r"targets in the lists and \d+ in the data"):
        evaluate_lists(read_lists(alone), Known.of(Dataset.load(data)))


def test_the_prior_is_told_what_is_new(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ccf_llm.experiments.words.text_vectors", lambda texts, words: np.ones((len(texts), 3), "f"))

    def of(by_length: float, **split: float) -> RunConfig:
        data = config.data.model_copy(update={"split": config.data.split.model_copy(update=split)})
        prior = config.cf.prior.model_copy(update={"words": "sentences", "new_length": by_length})
        return config.model_copy(update={"data": data, "cf": config.cf.model_copy(update={"prior": prior})})

    dataset = open_split(config)
    assert dataset.split is not None
    assert dataset.split.new_items is not None
    words = words_of(of(1.0), dataset)
    assert words is not None
    assert words.new is not None
    codes = dataset.item_vocabulary.encode(pl.Series(dataset.split.new_items.items))
    assert np.flatnonzero(words.new).tolist() == sorted(codes.tolist())
    assert words_key(of(1.0), dataset) != words_key(of(2.0), dataset)
    # Where nothing is new, its length decides nothing, and what was fitted stays current.
    plain = open_split(of(1.0, new_items=0.0))
    told = words_of(of(1.0), plain)
    assert told is not None
    assert told.new is None
    assert words_key(of(1.0), plain) == words_key(of(2.0), plain)
    # Where what nobody met counts as new, that is what is told of.
    prior = of(1.0).cf.prior.model_copy(update={"unmet": "new"})
    coming = of(1.0).model_copy(update={"cf": config.cf.model_copy(update={"prior": prior})})
    told = words_of(coming, dataset)
    assert told is not None
    assert told.new is not None
    liked = set(dataset.interactions.filter((pl.col("split") == "train") & (pl.col("label") == 1))["item_id"])
    ids = dataset.items["item_id"].to_list()
    assert [ids[code - 1] for code in np.flatnonzero(told.new)] == [one for one in ids if one not in liked]
    assert words_key(coming, dataset) != words_key(of(1.0), dataset)


def test_the_language_model_leaves_new_items_where_the_retriever_has_them(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccf_llm.experiments.words.text_vectors", lambda texts, words: np.eye(len(texts), 8, dtype="f"))
    values = config.model_dump(mode="json")
    values["cf"] |= {"prior": {"words": "sentences"}}
    told = check_config({**values, "output": f"{config.output}-told"}, "test")
    folder, dataset = train_run(told, say=SILENT), open_split(told)
    model = CCFLLM.load(folder.model("ccf_llm"), device="cpu")
    network = model.network
    network.blend.weights.copy_(torch.tensor([5.0, 0.1, 0.0]))  # almost the language model's order
    new = network.cf.item_counts.numpy() == 0
    moved = 0
    for among in ("all", "new"):
        asked = Asked.of(dataset, "test", among=among)
        found = Candidates.of(asked.targets, 12, retriever_of(network.cf))
        scores = model_scores(model.scorer, found)[0]
        for items, mine in zip(found.items, scores, strict=True):
            there = items > 0
            turned = items[there][np.argsort(-mine[there], kind="stable")]
            np.testing.assert_array_equal(new[turned], new[items[there]])
            np.testing.assert_array_equal(turned[new[turned]], items[there][new[items[there]]])
            moved += int((turned != items[there]).sum())
    assert moved > 0
