"""A run of the ranking task: trained on lists, measured by lists that anyone can recompute, saved and loaded."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch.nn import functional as F

import tiny
from ccf_llm.cf.candidates import Candidates
from ccf_llm.cf.item_words import ItemWords
from ccf_llm.cf.settings import PriorConfig
from ccf_llm.cf.vectors import RetrieverVectors
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.likes import likes_matrix, targets
from ccf_llm.data.moments import moments
from ccf_llm.data.rows import Floats
from ccf_llm.data.split import global_time_split, user_time_split
from ccf_llm.errors import CCFError
from ccf_llm.evaluation.lists import read_lists
from ccf_llm.evaluation.ranking import evaluate_lists
from ccf_llm.experiments.cf import cf_key, fit_cf, load_vectors
from ccf_llm.experiments.compare import compare_run
from ccf_llm.experiments.config import RunConfig, check_config
from ccf_llm.experiments.evaluate import evaluate_run
from ccf_llm.experiments.folder import RunFolder, open_split
from ccf_llm.experiments.lists import make_lists
from ccf_llm.experiments.ranked import model_scores
from ccf_llm.experiments.results import comparison_rows, row_config
from ccf_llm.experiments.train import train_run
from ccf_llm.experiments.trees import TreeRows
from ccf_llm.experiments.words import item_texts
from ccf_llm.io.files import read_json
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.training.ranking import RankingObjective
from ccf_llm.training.stage import StageConfig

SILENT = lambda line: None  # noqa: E731


def ranking_values(llm: Path, folder: Path) -> dict[str, Any]:
    """Three methods over EASE: words alone, CF alone, and both."""
    stage = {"train": ["lora", "fusion"], "residual": True, "rows": 240, "batch_rows": 48, "evaluations": 1}
    return tiny.run_values(llm, folder) | {
        "task": "ranking",
        "cf": {
            "model": "ease",
            "compare": ["popularity", "knn"],
            "folds": 2,
            "ease": {"l2": 5.0, "dim": 8},
            "rank_trees": {"cuts": 2, "candidates": 12, "folds": 2, "min_rows": 5, "max_trees": 10},
        },
        "ranking": {"cuts": 4, "size": 6, "positives": 2, "depth": 12},
        "stages": {"lists": stage, "words": {**stage, "train": ["lora"]}},
        "methods": {
            "text": {"fusion": {"variant": "semantic"}, "prompt": {"template": {"slots": "none"}}, "stages": ["words"]},
            "cf_only": {"fusion": {"variant": "cf_only", "hidden": 16}, "stages": ["lists"]},
            "ccf_llm": {"stages": ["lists"]},
        },
    }


@pytest.fixture(scope="module")
def ranked_data() -> Dataset:
    return user_time_split(tiny.make_dataset(rows=1200))


@pytest.fixture(scope="module")
def config(tiny_llm: Path, ranked_data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    folder = tmp_path_factory.mktemp("ranking")
    ranked_data.save(folder / "data")
    return check_config(ranking_values(tiny_llm, folder), "test")


@pytest.fixture(scope="module")
def folder(config: RunConfig) -> RunFolder:
    return train_run(config, say=SILENT)


def test_every_row_has_lists_and_figures_that_anyone_can_recompute(folder: RunFolder, config: RunConfig) -> None:
    metrics = evaluate_run(folder)
    rows = {"ease", "popularity", "knn", "text", "cf_only", "ccf_llm"}
    assert set(metrics["models"]) == rows
    lists = read_lists(folder.lists)
    again = evaluate_lists(lists)["models"]
    for row in rows:
        assert again[row]["ndcg@10"] == pytest.approx(metrics["models"][row]["ndcg@10"], abs=1e-12)
    assert metrics["models"]["ease"]["ndcg@10"] > metrics["models"]["popularity"]["ndcg@10"]
    assert metrics["weights"].keys() == {"text", "cf_only", "ccf_llm"}
    assert read_json(folder.metrics)["task"] == "ranking"
    model, figures = folder.model("ccf_llm"), metrics["models"]["ccf_llm"]
    assert read_json(model / "metrics.json")["figures"] == figures
    low, high = figures["ndcg@10_ci"]
    told = (model / "figures.md").read_text()
    assert f"| all | {figures['ndcg@10']:.4f} ({low:.4f} to {high:.4f}) |" in told
    assert "| target tail | " in told
    card = (model / "README.md").read_text()
    train, seed = len(open_split(config).rows("train")), config.seed
    assert all(words in card for words in (f"interactions: {train:,} train, ", f"- Seed: {seed};", "figures.md"))
    assert CCFLLM.load(model).info.data is not None  # what lies beside it is no harm


def test_training_begins_at_the_retriever_s_own_order(folder: RunFolder, config: RunConfig) -> None:
    for curve in read_json(folder.training):
        first, *later = curve["valid"]
        assert (first["a"], first["llm_ndcg@10"]) == (0, None)  # what has learned nothing is not asked
        assert all(point["llm_ndcg@10"] > 0 for point in later)
        assert max(point["ndcg@10"] for point in later) >= first["ndcg@10"] or curve["best_step"] == 0


def test_lists_hold_only_the_best_of_the_retriever_in_the_order_of_the_sum(
    folder: RunFolder, config: RunConfig
) -> None:
    dataset = open_split(config)
    evaluate_run(folder)
    model = CCFLLM.load(folder.model("ccf_llm"))
    assert model.info.task == "ranking"
    assert isinstance(model.network.cf, RetrieverVectors)
    found = Candidates.of(targets(dataset, "test"), config.ranking.depth, model.network.cf.retriever)
    rows = found.rows()
    scores = model.network.blend(model.scorer.language_scores(rows), model.network.cf.score(rows))
    by_user = found.laid_out(scores)
    lists = read_lists(folder.lists).filter(pl.col("method") == "ccf_llm")
    for person, user in enumerate(dataset.user_vocabulary.decode(found.asked.users)):
        mine = lists.filter(pl.col("user_id") == user)
        known = ~np.isnan(by_user[person])
        best = np.sort(by_user[person][known])[::-1][: len(mine)]
        assert mine["score"].to_list() == pytest.approx(best.tolist(), abs=1e-4)


def test_several_epochs_begin_as_one_does(config: RunConfig, folder: RunFolder, tiny_llm: Path) -> None:
    """What the retriever's score counts is fitted on lists, each once, however often they are read."""
    dataset, found = open_split(config), []
    reference = load_vectors(folder, "ease")
    assert isinstance(reference, RetrieverVectors)
    data, _ = make_lists(config, folder, dataset, reference, 2, SILENT)
    network = CCFLLM.load(folder.model("ccf_llm")).network
    for epochs in (1, 3):
        objective = RankingObjective(network, data, StageConfig(residual=True), 0)
        objective.begin(objective.plan(config.batch) * epochs)
        assert objective.residual is not None
        found.append(objective.residual)
    assert torch.equal(*found)
    assert found[0].any()


def test_the_rating_loss_reads_explicit_dislikes(config: RunConfig, folder: RunFolder) -> None:
    ranking = config.ranking.model_copy(update={"dislikes": 2})
    told = config.model_copy(update={"ranking": ranking})
    reference = load_vectors(folder, "ease")
    assert isinstance(reference, RetrieverVectors)
    data, _ = make_lists(told, folder, open_split(told), reference, 0, SILENT)
    assert data.disliked is not None
    assert data.disliked.any()
    assert not data.train.labels[data.disliked].any()
    network = CCFLLM.load(folder.model("ccf_llm")).network
    losses = []
    for weight in (0.0, 1.0):
        objective = RankingObjective(network, data, StageConfig(rating_weight=weight), 0)
        packs = [pack for pack in objective.plan(told.batch) if data.disliked[pack.rows].any()]
        losses.append(float(objective.loss(packs[:4]).detach()))
    assert losses[1] > losses[0]


def test_a_pointwise_loss_asks_of_each_item_by_itself(config: RunConfig, folder: RunFolder) -> None:
    reference = load_vectors(folder, "ease")
    assert isinstance(reference, RetrieverVectors)
    data, _ = make_lists(config, folder, open_split(config), reference, 0, SILENT)
    network = CCFLLM.load(folder.model("ccf_llm")).network
    objective = RankingObjective(network, data, StageConfig(pointwise=True), 0)
    packs = objective.plan(config.batch)[:3]
    rows = [row for pack in packs for row in pack.rows]
    log_odds = network.llm.answer(network.read(packs, data.train, data.cf_of(packs))).detach()
    labels = torch.from_numpy(data.train.labels[rows]).to(log_odds)
    right = F.binary_cross_entropy_with_logits(log_odds, labels, reduction="sum") / data.size
    assert float(objective.loss(packs).detach()) == pytest.approx(float(right), rel=1e-5)


def test_a_run_goes_on_where_it_was_and_a_change_of_lists_trains_anew(
    config: RunConfig, folder: RunFolder, tmp_path: Path
) -> None:
    def steps(**ranking: int | bool) -> int:
        taken: list[int] = []
        changed = config.ranking.model_copy(update=ranking)
        values = config.model_copy(update={"ranking": changed, "output": tmp_path / "run"})
        train_run(values, say=SILENT, report=lambda name, word, progress, steps: taken.append(progress.step))
        return len(taken)

    shutil.copytree(folder.path, tmp_path / "run")
    assert steps() == 0
    assert steps(people=5, trees=not config.ranking.trees) == 0  # of what is measured later
    assert steps(size=5) > 0


def test_lists_to_learn_from_hold_one_to_be_found_and_nothing_else_that_is_liked(
    config: RunConfig, folder: RunFolder
) -> None:
    dataset = open_split(config)
    reference = load_vectors(folder, "ease")
    assert isinstance(reference, RetrieverVectors)
    data, crossed = make_lists(config, folder, dataset, reference, 2, SILENT)
    assert crossed is not None
    likes = likes_matrix(dataset, "train")
    labels, items = data.train.labels.reshape(-1, data.size), data.train.items.reshape(-1, data.size)
    users = data.train.users.reshape(-1, data.size)
    assert ((labels.sum(1) >= 1) & (labels.sum(1) <= 2)).all()
    for user, own, label in zip(users[:, 0], items, labels, strict=True):
        assert likes[user, own[label == 1]].toarray().all()
        assert not likes[user, own[label == 0]].toarray().any()
        assert len(set(own)) == len(own)
    assert data.cf_of_row is not None
    for row in range(0, len(data.train), data.size):
        model = data.cf_of_row(row)
        fold = crossed.models.index(model)
        assert (crossed.folds[dataset.rows("train").users == data.train.users[row]] == fold).all()


def test_moments_decide_the_trees_too_and_need_a_time_for_all(config: RunConfig) -> None:
    ranking = config.ranking.model_copy(update={"trees": True, "moments": 3})
    told = config.model_copy(update={"ranking": ranking})
    for row in ("trees", "ccf_llm"):
        assert row_config(told, row)["ranking"]["moments"] == 3
    assert (told.resolved["text"].fusion.unmet, config.resolved["text"].fusion.unmet) == ("scored", "placed")
    assert "ranking" not in row_config(config, "trees")
    values = told.model_dump(mode="json")
    values["data"]["split"]["by"] = "user"
    with pytest.raises(CCFError, match=r"ranking\.moments: .* data\.split\.by: global"):
        check_config(values, "test")


def test_lists_of_moments_are_read_by_retrievers_that_know_nothing_later(
    config: RunConfig, ranked_data: Dataset, tmp_path: Path
) -> None:
    dataset = global_time_split(ranked_data)
    dataset.save(tmp_path / "data")
    ranking = config.ranking.model_copy(update={"moments": 3})
    data = config.data.model_copy(update={"source": str(tmp_path / "data")})
    told = config.model_copy(update={"ranking": ranking, "data": data, "output": tmp_path / "run"})
    folder = RunFolder(tmp_path / "run")
    fit_cf(folder, dataset, ["ease"], told, SILENT)
    reference = load_vectors(folder, "ease")
    assert isinstance(reference, RetrieverVectors)
    made, crossed = make_lists(told, folder, dataset, reference, 2, SILENT)
    assert crossed is not None
    assert len(crossed.models) == 3
    assert made.cf_of_row is not None
    parts = moments(dataset, 3, ranking.earliest)
    then = [likes_matrix(moment, "train") for moment in parts]
    for row in range(0, len(made.train), made.size):
        known = then[crossed.models.index(made.cf_of_row(row))]
        user, some = made.train.users[row], slice(row, row + made.size)
        assert sorted(made.train.history(row)) == sorted(known[user].indices)
        assert not known[user, made.train.items[some]].toarray().any()
    assert [model.item_counts.sum() for model in crossed.models] == [len(moment.rows("train")) for moment in parts]

    def kept(line: str) -> None:
        assert "fit" not in line

    again, _ = make_lists(told, folder, dataset, reference, 2, kept)
    assert again.train.sha256 == made.train.sha256
    trees, _ = TreeRows(told, folder, dataset, reference, kept).fitted(words=False)  # over the same retrievers
    assert "days since the first like" in trees.names


def test_a_comparison_keeps_lists_and_runs_nothing_twice(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccf_llm.experiments.trees.item_words", lambda dataset: ItemWords.of(dataset.items))
    ranking = config.ranking.model_copy(update={"trees": True})
    config = config.model_copy(update={"output": config.output.with_name("comparison"), "ranking": ranking})
    options: dict[str, Any] = {"seeds": [0], "results": tmp_path, "say": SILENT}
    store = compare_run(config, **options)
    table = read_json(store.table(".json"))
    rows = {"ease", "popularity", "knn", "trees", "trees_words", "text", "cf_only", "ccf_llm", "ccf_llm_with_trees"}
    assert {line["method"] for line in table["rows"]} == rows == set(comparison_rows(config))
    ours = next(line for line in table["rows"] if line["method"] == "ccf_llm")
    gap, low, high = ours["vs_retriever"]["ndcg"]
    assert low <= gap <= high
    assert ours["vs_all"].keys() == rows - {"ccf_llm"}
    measured = evaluate_run(RunFolder(config.output / "seed-0"), say=SILENT)["models"]
    assert measured.keys() == rows - {"ccf_llm_with_trees"}
    for row in ("trees", "trees_words", "ccf_llm"):
        assert measured[row]["ndcg@10"] == store.load(row, 0)["ndcg@10"]
    assert ours["vs_all"]["ease"] == [gap, low, high]
    assert "| **ccf_llm** |" in store.table(".md").read_text()
    weights = store.load("ccf_llm_with_trees", 0)["weights"]
    assert len(weights) == 3
    assert weights[2] != 0
    monkeypatch.setattr("ccf_llm.experiments.fill.Filler.fill", lambda *a: pytest.fail("a row was run again"))
    assert read_json(compare_run(config, **options).table(".json")) == table


def test_held_out_scores_of_trees_do_not_know_what_their_lists_ask_for(
    folder: RunFolder, config: RunConfig, ranked_data: Dataset
) -> None:
    reference = load_vectors(folder, "ease")
    assert isinstance(reference, RetrieverVectors)
    patient = config.cf.rank_trees.model_copy(update={"patience": 2, "max_trees": 60})
    config = config.model_copy(update={"cf": config.cf.model_copy(update={"rank_trees": patient})})
    rows = TreeRows(config, folder, ranked_data, reference, SILENT)
    before, lists = rows.held_out(words=False), rows.valid
    trees, _ = rows.fitted(words=False)
    assert trees.scores(lists).shape == before.shape
    for person in np.flatnonzero(lists.relevant.any(1))[:6]:
        other = lists.relevant.copy()
        other[person] = np.roll(other[person], 1)
        rows.valid = replace(lists, relevant=other)
        np.testing.assert_array_equal(rows.held_out(words=False)[person], before[person])
    one = lists.take(np.flatnonzero(lists.relevant.any(1))[:1])
    rows.valid = one
    np.testing.assert_array_equal(rows.held_out(words=False), trees.scores(one))  # nobody else could stop them


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cf": {"model": "mf"}}, "cf.model: mf learns from labels"),
        ({"cf": {"model": "ease", "compare": ["gbm"]}}, "cf.compare.gbm: gbm learns from labels"),
        ({"cf": {"model": "ease", "ease": {"dim": 0}}}, "cf.ease.dim: 0 leaves cf_only no vectors"),
        (
            {"fusion": {"odds": True}},
            "fusion.odds: ease, which ccf_llm reads, knows an order and no odds; leave it out",
        ),
    ],
)
def test_what_cannot_rank_is_refused(tiny_llm: Path, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(CCFError, match=message):
        check_config(ranking_values(tiny_llm, tmp_path) | change, "test")


def test_lists_without_enough_others_are_refused(config: RunConfig, folder: RunFolder) -> None:
    many = config.ranking.model_copy(update={"size": 40})
    with pytest.raises(CCFError, match=r"lower ranking\.size or raise ranking\.depth"):
        train_run(config.model_copy(update={"ranking": many, "output": config.output.with_name("many")}), say=SILENT)


def test_a_changed_data_set_is_refused(config: RunConfig, folder: RunFolder, ranked_data: Dataset) -> None:
    source = Path(config.data.source)
    fewer = Dataset.from_frames(ranked_data.interactions.head(1000).drop("split"), ranked_data.items, name="tiny")
    try:
        user_time_split(fewer).save(source)
        with pytest.raises(CCFError, match="has changed since this run was trained"):
            evaluate_run(folder)
    finally:
        ranked_data.save(source)


def test_a_language_model_of_no_weight_is_not_asked(
    config: RunConfig, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = CCFLLM.load(folder.model("ccf_llm"))
    model.network.blend.weights[0] = 0.0
    found = Candidates.of(targets(open_split(config), "test"), 12, model.network.cf.retriever)
    never: Callable[..., Any] = lambda *a, **k: pytest.fail("the language model was asked")  # noqa: E731
    monkeypatch.setattr(model.scorer, "language_scores", never)
    scores, llm, _ = model_scores(model.scorer, found)
    assert not np.nansum(llm)
    there = found.items > 0
    b, c = model.network.blend.weights[1:].tolist()
    np.testing.assert_allclose(scores[there], b * model.network.cf.score(found.rows()) + c, rtol=1e-5)


def told(config: RunConfig, folder: Path, **prior: Any) -> RunConfig:
    """The run with a prior from text, in a folder of its own."""
    cf = config.cf.model_copy(update={"prior": PriorConfig(words="sentences", **prior)})
    return config.model_copy(update={"cf": cf, "output": folder})


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A made-up sentence encoder; the list notes what it read."""
    read: list[str] = []

    def vectors_of(texts: list[str], words: str, **options: bool) -> Floats:
        read.extend(texts)
        return np.stack([np.random.default_rng(sum(map(ord, text))).normal(size=12) for text in texts]).astype("f")

    monkeypatch.setattr("ccf_llm.experiments.words.text_vectors", vectors_of)
    monkeypatch.setattr("ccf_llm.model.network.text_vectors", vectors_of)
    return read


def test_a_prior_from_text_is_of_every_retriever_of_the_run_and_of_further_items(
    config: RunConfig, folder: RunFolder, ranked_data: Dataset, texts: list[str], tmp_path: Path
) -> None:
    with_prior = told(config, tmp_path / "run")
    other = train_run(with_prior, only="ccf_llm", say=SILENT)
    assert texts[: len(ranked_data.items)] == item_texts(with_prior, ranked_data)
    plain, drawn = load_vectors(folder, "ease"), load_vectors(other, "ease")
    assert not plain.reads_words
    assert drawn.reads_words
    assert not torch.allclose(drawn.items, plain.items)
    torch.testing.assert_close(load_vectors(other, "knn").items, load_vectors(folder, "knn").items, rtol=0, atol=0)
    folds = [path for path in (tmp_path / "run" / "cf").iterdir() if "fold" in path.name]
    assert len(folds) == 2
    assert all((path / "retriever" / "prior.safetensors").is_file() for path in folds)
    model = CCFLLM.load(other.model("ccf_llm"))
    new = {"item_id": ["new"], "title": ["New One, The (1999)"], "genres": ["drama"]}
    grown = model.with_items(pl.DataFrame(new))
    assert texts[-1] == "The New One (1999), drama"
    assert isinstance(grown.network.cf, RetrieverVectors)
    prior = grown.network.cf.retriever.prior
    assert prior is not None
    assert len(prior.predicted) == len(ranked_data.items) + 1
    rows = Candidates.of(targets(ranked_data, "test"), 25, grown.network.cf.retriever).rows()
    llm, cf = np.random.default_rng(0).normal(size=len(rows)).astype("f"), grown.network.cf.score(rows)
    grown.network.blend.weights[:] = torch.tensor([1.0, 1.0, 0.0])
    free = grown.network.blend(llm, cf)
    assert (grown.network.blended(llm, cf, rows) != free).any()  # the new one keeps the retriever's place
    grown.network.fusion_config = grown.network.fusion_config.model_copy(update={"unmet": "scored"})
    np.testing.assert_array_equal(grown.network.blended(llm, cf, rows), free)


def test_without_a_prior_nothing_changes_and_with_one_its_settings_and_words_decide(
    config: RunConfig, ranked_data: Dataset, tmp_path: Path
) -> None:
    off = config.model_copy(update={"cf": config.cf.model_copy(update={"prior": PriorConfig(k=9)})})
    on, more = told(config, tmp_path), told(config, tmp_path, k=9)
    title = on.model_copy(update={"data": config.data.model_copy(update={"details": ()})})
    keys = {name: [cf_key(name, ranked_data, c) for c in (config, off, on, more, title)] for name in ("ease", "knn")}
    assert keys["ease"][0] == keys["ease"][1]
    assert len(set(keys["ease"])) == 4
    assert len(set(keys["knn"])) == 1
    assert row_config(off, "ease") == row_config(config, "ease")
    assert row_config(on, "ease")["cf"]["prior"]["words"] == "sentences"
    assert "prior" not in row_config(on, "knn")["cf"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model": "knn", "compare": ()},
            r"cf\.prior\.words: knn takes no words; with cf\.model take one of ease, l3ae, als$",
        ),
        ({"ease": {"dim": 0}}, r"cf\.ease\.dim: 0 leaves "),
        ({"compare": ["l3ae"], "prior": {"words": "none"}}, r"cf\.prior\.words: none leaves l3ae no words to read; "),
        ({"prior": {"words": "sentences", "k": 0}}, r"cf\.prior\.k: Input should be greater than 0$"),
    ],
)
def test_a_prior_that_nothing_can_take_is_refused(
    tiny_llm: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    values = ranking_values(tiny_llm, tmp_path)
    values["cf"] |= {"prior": {"words": "sentences"}} | change
    with pytest.raises(CCFError, match=message):
        check_config(values, "test")
