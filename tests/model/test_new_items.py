"""Items that nobody has met, and items that came after training."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import tiny
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.rows import Rows
from ccf_llm.errors import CCFError
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.model.network import CCFNetwork
from ccf_llm.model.saved import ModelInfo
from ccf_llm.recommend.recommender import Recommender

INFO = ModelInfo(details=("genres",))
LIKED = ["i3", "i6"]


@pytest.fixture(scope="module")
def model(make_network: Callable[..., CCFNetwork], tiny_data: Dataset) -> CCFLLM:
    return CCFLLM(tiny.stir(make_network()).eval(), tiny_data.user_vocabulary, tiny_data.items, INFO)


@pytest.fixture(scope="module")
def new(tiny_data: Dataset) -> pl.DataFrame:
    """A film that is called as one that is liked, and another one."""
    titles = [tiny_data.items["title"][2], "Ömer's iron night"]
    return pl.DataFrame({"item_id": ["new1", "new2"], "title": titles, "genres": ["drama", ""]})


@pytest.fixture(scope="module")
def grown(model: CCFLLM, new: pl.DataFrame) -> CCFLLM:
    return model.with_items(new)


def test_what_was_known_is_scored_as_before(model: CCFLLM, grown: CCFLLM, tiny_data: Dataset) -> None:
    pairs = tiny_data.interactions.tail(40).select("user_id", "item_id")
    before = model.score(pairs, tiny_data)["score"].to_numpy()
    np.testing.assert_allclose(grown.score(pairs, tiny_data)["score"], before, atol=1e-5)
    np.testing.assert_allclose(model.score(pairs, tiny_data)["score"], before, atol=1e-5)  # nothing of it has changed
    assert len(model.items) == tiny.N_ITEMS


def test_new_items_have_words_and_nothing_of_cf(grown: CCFLLM, model: CCFLLM) -> None:
    network = grown.network
    codes = torch.tensor([tiny.N_ITEMS + 1, tiny.N_ITEMS + 2])
    unknown = model.network.cf.item_embedding(torch.tensor([0]))
    torch.testing.assert_close(network.cf.item_embedding(codes), unknown.expand(2, -1))
    assert network.cf.item_counts[codes].tolist() == [0, 0]
    torch.testing.assert_close(network.semantic[codes[0]], network.semantic[3])  # the same title
    assert not torch.equal(network.semantic[codes[1]], network.semantic[codes[0]])
    assert network.llm is model.network.llm  # not copied
    assert network.encoder.details[-2:] == ["drama", ""]


def test_a_new_item_is_scored_as_if_it_had_been_there_untouched(
    grown: CCFLLM, make_network: Callable[..., CCFNetwork], tiny_data: Dataset
) -> None:
    """An item that training never met, with the same title and genre, is the same thing."""
    cold = CCFLLM(tiny.stir(make_network()).eval(), grown.users, tiny_data.items, INFO)
    cf = cold.network.cf
    with torch.no_grad():
        cf.items[3] = cf.items[0]
        cf.item_counts[3] = 0
    expected, found = (
        model.score_rows(Rows.for_candidates(np.array([6]), np.array([code]), user=1))
        for model, code in ((cold, 3), (grown, grown.item_vocabulary.code("new1")))
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_new_item_is_reached_by_its_title_and_scored(grown: CCFLLM, tiny_data: Dataset) -> None:
    by_both = Recommender(grown, tiny_data, retrieve=10)
    by_cf = Recommender(grown, tiny_data, retrieve=10, text_share=0)
    history = by_both.stranger(LIKED)
    code = grown.item_vocabulary.code("new1")
    assert code not in by_cf.shortlist(history, 5, order="fused").items
    shortlist = by_both.shortlist(history, 5, order="fused")
    assert code in shortlist.items
    found = by_both.recommend_for_history(LIKED, 10, order="fused")
    mine = found.row(by_predicate=pl.col("item_id") == "new1", named=True)
    assert np.isfinite(mine["score"])
    assert (mine["text_rank"], mine["title"]) == (1, tiny_data.items["title"][2])
    assert by_both.recommend_for_history(LIKED, candidates=["new2"])["item_id"].to_list() == ["new2"]
    assert by_both.find_items("omer's iron night")["item_id"].to_list() == ["new2"]


def test_the_shortlist_is_cfs_best_and_then_texts_each_once(model: CCFLLM, tiny_data: Dataset) -> None:
    recommender = Recommender(model, tiny_data, retrieve=10, text_share=0.3)
    person = recommender.stranger(LIKED)
    by_cf, by_text = (recommender.shortlist(person, 24, order=order).items for order in ("cf", "text"))  # type: ignore[arg-type]
    shortlist = recommender.shortlist(person, 5, order="fused")
    assert shortlist.items[:7].tolist() == by_cf[:7].tolist()
    others = [item for item in by_text if item not in by_cf[:7]]
    assert shortlist.items[7:].tolist() == others[:3]
    best = shortlist.items[np.argsort(-shortlist.scores, kind="stable")]
    assert best[:7].tolist() == by_cf[:7].tolist()
    wide = recommender.shortlist(person, 10, order="fused")  # the answer by CF alone is always whole
    assert wide.items[:10].tolist() == by_cf[:10].tolist()
    assert len(wide.items) == 13
    everything = recommender.shortlist(person, 100, order="fused").items
    assert sorted(everything.tolist()) == sorted(by_cf.tolist())
    nobody = recommender.shortlist(recommender.stranger([]), 5, order="fused")  # no title is liked: CF alone
    assert nobody.cf_rank == list(range(1, 11))


def test_a_data_set_that_has_grown_brings_its_new_items(model: CCFLLM, tiny_data: Dataset, new: pl.DataFrame) -> None:
    later = replace(tiny_data, items=pl.concat([tiny_data.items, new]))
    recommender = Recommender(model, later, retrieve=10)
    assert recommender.model.items["item_id"].to_list() == later.items["item_id"].to_list()
    assert recommender.recommend(["u1"], candidates=["new1", "new2"], k=2)["item_id"].n_unique() == 2


def test_data_that_knows_fewer_items_than_the_model_is_no_fault(grown: CCFLLM, tiny_data: Dataset) -> None:
    assert Recommender(grown, tiny_data).model is grown


def test_items_in_another_order_get_the_same_scores_by_id(model: CCFLLM, tiny_data: Dataset) -> None:
    backwards = replace(tiny_data, items=tiny_data.items.reverse())
    pairs = pl.DataFrame({"user_id": ["u1"] * 24, "item_id": tiny_data.items["item_id"]})
    expected = model.score(pairs, tiny_data)["score"]
    np.testing.assert_array_equal(model.score(pairs, backwards)["score"], expected)
    plain, turned = (Recommender(model, data).recommend(["u1", "u2"], 5) for data in (tiny_data, backwards))
    assert turned.equals(plain)


def test_a_grown_model_is_saved_and_read(
    make_network: Callable[..., CCFNetwork], tiny_llm: Path, tiny_data: Dataset, new: pl.DataFrame, tmp_path: Path
) -> None:
    info = ModelInfo(details=("genres",), dtype="float32")
    grown = CCFLLM(tiny.stir(make_network()), tiny_data.user_vocabulary, tiny_data.items, info).with_items(new)
    grown.save(tmp_path / "model")
    pairs = pl.DataFrame({"user_id": ["u1", "u1"], "item_id": ["new1", "i5"]})
    read = CCFLLM.load(tmp_path / "model", device="cpu")
    expected = grown.score(pairs, tiny_data)["score"]
    np.testing.assert_allclose(read.score(pairs, tiny_data)["score"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"item_id": ["i3"], "title": ["A"], "genres": [""]}, "item 'i3' is in the model's catalogue already"),
        ({"item_id": ["n"], "title": ["A"]}, "items: no column 'genres', whose words the model reads"),
        ({"item_id": ["n"], "title": [" "], "genres": [""]}, "item 'n' has an empty title"),
        ({"item_id": ["n", "n"], "title": ["A", "B"], "genres": ["", ""]}, "'n'"),
        ({"title": ["A"]}, "item_id"),
    ],
)
def test_items_that_cannot_be_added(model: CCFLLM, frame: dict[str, list[str]], message: str) -> None:
    with pytest.raises(CCFError, match=message) as fault:
        model.with_items(pl.DataFrame(frame))
    assert "\n" not in str(fault.value)
