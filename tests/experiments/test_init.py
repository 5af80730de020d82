"""Configurations that fit: written, checked, trained; and the small comparison that answers whether it is worth it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import tiny
from ccf_llm.data.dataset import Dataset
from ccf_llm.errors import CCFError
from ccf_llm.experiments import init
from ccf_llm.experiments.compare import compare_run
from ccf_llm.experiments.config import RunConfig, check_config, config_of
from ccf_llm.experiments.init import Machine, draft_config, told
from ccf_llm.experiments.quick import answer, quick_config, quick_rows
from ccf_llm.io.files import read_json
from ccf_llm.model.ccfllm import CCFLLM

LAPTOP = Machine(cores=2, memory=8e9, gpu=False)


@pytest.fixture(scope="module")
def clicks() -> Dataset:
    """60 people of two tastes, who click and never say what they dislike."""
    rng = np.random.default_rng(0)
    found = [(user, item) for user in range(60) for item in rng.permutation(tiny.N_ITEMS // 2)[:9] * 2 + user % 2]
    users, items = zip(*found, strict=True)
    frame = {"user_id": [f"u{user}" for user in users], "item_id": [f"i{item + 1}" for item in items]}
    interactions = pl.DataFrame(frame | {"timestamp": np.arange(len(found))})
    return Dataset.from_frames(interactions, tiny.make_dataset().items, name="clicks")


@pytest.fixture(scope="module")
def news() -> Dataset:
    """60 people who like what came out of late, of the tenth that there is at a time."""
    rng, rows = np.random.default_rng(0), []
    for time in range(2400):
        newest = 1 + time * tiny.N_ITEMS // 2400
        rows.append((f"u{rng.integers(60)}", f"i{max(1, newest - rng.integers(4))}", 86400 * time))
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    return Dataset.from_frames(
        frame.unique(["user_id", "item_id"], keep="first"), tiny.make_dataset().items, name="news"
    )


def drafted(dataset: Dataset, llm: Path, folder: Path) -> RunConfig:
    """What is drafted for a data set on disk; a random model of two layers stands for the base model."""
    dataset.save(folder / "data")
    text = draft_config(dataset, str(folder / "data"), LAPTOP, 10, llm=str(llm)).text
    small = ["llm.layers=null", "llm.dtype=float32", "fusion.hidden=16", f"output={folder / 'run'}"]
    if "\n  prior: {words: sentences" in text:
        small.append(f"cf.prior.words=sentences:{tiny.write_sentence_encoder(folder / 'encoder')}")
    return config_of(text, folder / "config.yaml", small)


def test_a_drafted_ranking_run_trains_and_answers(clicks: Dataset, tiny_llm: Path, tmp_path: Path) -> None:
    config = drafted(clicks, tiny_llm, tmp_path)
    assert (config.task, config.cf.model, config.data.split.by) == ("ranking", "l3ae", "user")
    small = quick_config(config).model_copy(
        update={"stages": {"lists": config.stages["lists"].model_copy(update={"rows": 60, "batch_rows": 30})}}
    )
    small = small.model_copy(update={"ranking": small.ranking.model_copy(update={"trees": False})})
    assert (small.ranking.size, small.ranking.positives) == (7, 2)  # of 24 items; people like 9 of them
    store = compare_run(small, seeds=[0], only=quick_rows(small), say=lambda line: None)
    table = read_json(store.table(".json"))
    rows = {row["method"] for row in table["rows"]}
    assert rows == {"l3ae", "popularity", "ccf_llm"} == set(quick_rows(small))
    assert any(answer(table).startswith(words) for words in ("A language model", "Whether a language model"))
    assert CCFLLM.load(small.output / "seed-0" / "models" / "ccf_llm").info.task == "ranking"


def test_where_items_keep_coming_the_draft_learns_of_new_ones(news: Dataset, tiny_llm: Path, tmp_path: Path) -> None:
    config = drafted(news, tiny_llm, tmp_path)
    assert (config.task, config.cf.model, config.data.split.by) == ("ranking", "ease", "global")
    assert (config.cf.prior.unmet, config.ranking.moments) == ("new", 8)
    lists = {"lists": config.stages["lists"].model_copy(update={"rows": 60, "batch_rows": 30})}
    ranking = config.ranking.model_copy(update={"trees": True})
    small = config.model_copy(update={"stages": lists, "ranking": ranking})
    table = read_json(compare_run(small, seeds=[0], say=lambda line: None).table(".json"))
    ndcg = {row["method"]: row["ndcg@10"] for row in table["rows"]}
    assert ndcg["trees"] > ndcg["ease"] > 0


def test_a_drafted_rating_run_trains(tiny_llm: Path, tmp_path: Path) -> None:
    config = drafted(tiny.make_dataset(), tiny_llm, tmp_path)  # 30 people are too few for lists
    assert (config.task, config.data.split.max_rows_per_user) == ("rating", 15)
    small = quick_config(config)
    assert small.data.split.max_rows_per_user == 5
    few = {name: stage.model_copy(update={"rows": 48}) for name, stage in small.stages.items()}
    assert small.cf.compare == ("gbm_words",)
    trees = small.cf.gbm.model_copy(update={"max_trees": 20, "folds": 2})
    quick = {"folds": 2, "mf": small.cf.mf.model_copy(update=tiny.QUICK_CF), "gbm": trees}
    small = small.model_copy(update={"stages": few, "cf": small.cf.model_copy(update=quick)})
    table = read_json(compare_run(small, seeds=[0], only=quick_rows(small), say=lambda line: None).table(".json"))
    assert {"item_user_mean", "mf", "gbm_words", "ccf_llm"} == {row["method"] for row in table["rows"]}
    assert "AUC against" in answer(table)


def test_sizes_follow_time_and_machine(clicks: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clicks.save(tmp_path / "data")

    def sizes(machine: Machine, minutes: float) -> dict[str, Any]:
        return draft_config(clicks, str(tmp_path / "data"), machine, minutes).summary

    slow = Machine(1, 8e9, gpu=False)
    short, long = sizes(slow, 2), sizes(slow, 60)
    assert short["lists"] < long["lists"] == 60 * 4  # of nine likes each, the first third and what is held out aside
    assert 1 < short["minutes"] <= 2.5
    assert sizes(Machine(2, 8e9, gpu=True), 2)["lists"] == long["lists"]  # all that there are
    assert short["retriever"] == "l3ae"
    assert sizes(Machine(2, 4e3, gpu=False), 2)["retriever"] in ("als", "knn")
    monkeypatch.setattr(init, "MEASURED_EACH", 100)
    texts = [draft_config(clicks, str(tmp_path / "data"), slow, minutes).text for minutes in (2, 60)]
    drafts = [config_of(text, tmp_path / "config.yaml").stages["lists"] for text in texts]
    assert [stage.evaluations for stage in drafts] == [1, 2]
    numbers = clicks.items.with_columns(title=pl.format("{}", pl.int_range(pl.len())))
    draft = draft_config(replace(clicks, items=numbers), str(tmp_path / "data"), LAPTOP, 2)
    assert draft.summary["retriever"] == "ease"  # titles that say nothing
    with pytest.raises(CCFError, match=r"--minutes 1: .* give at least 2"):
        sizes(LAPTOP, 1)


def test_a_split_that_is_there_is_kept_and_names_are_no_yaml(clicks: Dataset, tmp_path: Path) -> None:
    from ccf_llm.data.split import leave_last_out

    folder = tmp_path / "it's: #1"
    leave_last_out(clicks).save(folder)
    draft = draft_config(Dataset.load(folder), str(folder), LAPTOP, 5)
    config = config_of(draft.text, tmp_path / "config.yaml")
    assert (config.name, config.data.source) == (folder.name, str(folder))
    assert draft.summary["split"] == "last like out"
    assert "split:" not in draft.text


def test_which_columns_are_told() -> None:
    n = 40
    columns = {
        "item_id": [f"i{k}" for k in range(n)],
        "title": ["x"] * n,
        "description": [f"a long text about what happens in this one, number {k}, at length" for k in range(n)],
        "author": [f"A. {k % 7}" for k in range(n)],
        "price": [f"{k}.50" for k in range(n)],
        "year": [1980 + k for k in range(n)],
        "cover": [f"https://example.org/{k}" for k in range(n)],
        "language": ["en"] * n,
        "tags": ["a,b" if k % 2 else "c" for k in range(n)],
        "rare": ["x", "y", *[None] * (n - 2)],
        "email": [f"x{k}" for k in range(n)],
    }
    found = told(pl.DataFrame(columns))
    assert [(detail["column"], detail["before"], detail["most"]) for detail in found] == [
        ("author", "by ", None),
        ("year", "", None),
        ("tags", "", 48),
        ("description", "", 48),
    ]


@pytest.mark.parametrize(
    ("ease", "trees", "words"),
    [
        ([-0.03, -0.05, -0.01], [-0.02, -0.04, -0.01], "helps on these data: +0.020 NDCG@10 against trees_words"),
        (
            [-0.03, -0.05, -0.01],
            [0.01, -0.01, 0.03],
            "cannot be told from so small a trial",
        ),
        ([-0.03, -0.05, -0.01], [0.0, 0.0, 0.0], "does not help on these data"),
        ([-0.03, -0.05, -0.01], None, "helps on these data: +0.030 NDCG@10 against ease, 95 % interval +0.010 to"),
    ],
)
def test_the_answer_follows_the_interval(ease: list[float], trees: list[float] | None, words: str) -> None:
    main = {"method": "ccf_llm", "llm": "small", "vs_main": None, "ndcg@10": 0.2}
    rows = [main, {"method": "ease", "llm": None, "ndcg@10": 0.17, "vs_main": {"ndcg": ease}}]
    if trees is not None:
        rows.append({"method": "trees_words", "llm": None, "ndcg@10": 0.18, "vs_main": {"ndcg": trees}})
    assert words in answer({"task": "ranking", "rows": rows})
    assert "no row without one" in answer({"task": "ranking", "rows": [main]})


def test_a_quick_run_is_small_and_elsewhere(tiny_llm: Path, tmp_path: Path) -> None:
    config = check_config(tiny.run_values(tiny_llm, tmp_path), "tiny")
    small = quick_config(config)
    assert small.output == tmp_path / "run-quick"
    assert all(stage.evaluations == 1 and stage.rows == 160 for stage in small.stages.values())
    assert quick_rows(small) == ["item_user_mean", "mf", "gbm_words", "ccf_llm"]
