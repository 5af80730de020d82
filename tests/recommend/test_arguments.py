"""Recommendations asked for as people ask: with numbers for ids, one id for a list, and wrong arguments."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import tiny
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.vocabulary import Vocabulary
from ccf_llm.errors import CCFError
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.model.network import CCFNetwork
from ccf_llm.model.saved import ModelInfo
from ccf_llm.recommend.explain import explain
from ccf_llm.recommend.recommender import Filters, Recommender
from ccf_llm.recommend.to_file import recommend_all

Ask = Callable[[Recommender, Any], Any]


@pytest.fixture(scope="module")
def recommender(make_network: Callable[..., CCFNetwork], tiny_data: Dataset) -> Recommender:
    """Users 1 to 30 and items 1 to 24, without letters."""
    digits = pl.col("user_id", "item_id").str.slice(1)
    items = tiny_data.items.with_columns(pl.col("item_id").str.slice(1))
    early = tiny_data.interactions.sort("timestamp").drop("split").head(250)
    dataset = Dataset.from_frames(early.with_columns(digits), items)
    users = Vocabulary.of(tiny_data.user_vocabulary.ids.str.slice(1))
    model = CCFLLM(tiny.stir(make_network()), users, items, ModelInfo(details=("genres",)))
    return Recommender(model, dataset, retrieve=12)


WAYS: dict[str, tuple[Ask, list[str]]] = {
    "recommend": (lambda r, ids: r.recommend(ids, 3), ["12", "3"]),
    "candidates": (lambda r, ids: r.recommend("5", candidates=ids, filter_seen=False), ["12", "3"]),
    "deny": (lambda r, ids: r.recommend("5", 24, deny=ids, order="cf"), ["12", "3"]),
    "history": (lambda r, ids: r.recommend_for_history(ids, 3), ["12", "3"]),
    "history's candidates": (lambda r, ids: r.recommend_for_history("1", candidates=ids), ["12", "3"]),
    "explain": (lambda r, ids: explain(r, r.stranger(["1", "2"]), item_ids=ids), ["12", "3"]),
}
KINDS: dict[str, Callable[[list[str]], Any]] = {
    "numbers": lambda ids: [int(i) for i in ids],
    "floats": lambda ids: [float(i) for i in ids],
    "numpy": lambda ids: np.array([int(i) for i in ids]),
    "Series": lambda ids: pl.Series([float(i) for i in ids]),
    "generator": lambda ids: (int(i) for i in ids),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_ids_of_any_kind_ask_for_the_same(recommender: Recommender, way: str, kind: str) -> None:
    ask, ids = WAYS[way]
    found = ask(recommender, KINDS[kind](ids))
    assert len(found) > 0
    assert found.equals(ask(recommender, ids))


@pytest.mark.parametrize("one", ["12", 12, 12.0, np.int64(12)])
@pytest.mark.parametrize("way", WAYS)
def test_one_id_is_a_list_of_one(recommender: Recommender, way: str, one: Any) -> None:
    ask, _ = WAYS[way]
    assert ask(recommender, one).equals(ask(recommender, ["12"]))


@pytest.mark.parametrize("one", [12, 12.0, np.int64(12)])
def test_one_user_and_one_item(recommender: Recommender, one: Any) -> None:
    dataset = recommender.dataset
    assert len(dataset.likes_of(one)) > 0
    assert dataset.likes_of(one).tolist() == dataset.likes_of("12").tolist()
    assert dataset.seen_items(one).tolist() == dataset.seen_items("12").tolist()
    assert recommender.person(one).history.tolist() == dataset.likes_of("12").tolist()
    assert recommender.similar(one).equals(recommender.similar("12"))


def test_numbers_and_one_use_ids_go_to_a_file(recommender: Recommender, tmp_path: Path) -> None:
    options: dict[str, Any] = {"k": np.int64(2), "candidates": (i for i in range(1, 20)), "deny": 5}
    recommend_all(recommender, tmp_path / "some.parquet", users=[3, 12.0, "3"], **options)
    expected = recommender.recommend(["3", "12"], 2, candidates=range(1, 20), deny=["5"])
    assert pl.read_parquet(tmp_path / "some.parquet").equals(expected)


def test_a_user_asked_for_twice_is_answered_once(recommender: Recommender) -> None:
    assert recommender.recommend(["12", "3", 12], 2)["user_id"].to_list() == ["12", "12", "3", "3"]


@pytest.mark.parametrize("dtype", [pl.Int32, pl.Float64, pl.Categorical])
def test_pairs_of_numbers_are_scored_as_their_texts(recommender: Recommender, dtype: type[pl.DataType]) -> None:
    model, dataset = recommender.model, recommender.dataset
    pairs = pl.DataFrame({"user_id": ["12", "3"], "item_id": ["7", "20"]})
    found = model.score(pairs.cast(dtype), dataset)
    assert found.equals(model.score(pairs, dataset))
    assert found["user_id"].to_list() == ["12", "3"]
    assert model.score(pairs.cast(dtype).to_arrow(), dataset).equals(found)  # type: ignore[arg-type]


PAIRS: dict[str, Any] = {
    "no user_id in row 1": {"user_id": [12.0, None], "item_id": [1, 2]},
    "no user_id in row 0": {"user_id": [float("nan")], "item_id": [1]},
    "user_id 880.5 in row 0 is no id": {"user_id": [880.5], "item_id": [1]},
    "no item_id in row 0": {"user_id": ["1"], "item_id": [None]},
    "no item '10.0' in the model's catalogue; did you mean '10'?": {"user_id": ["1"], "item_id": ["10.0"]},
    "no item '99' in the model's catalogue; leave its rows out": {"user_id": ["1"], "item_id": [99]},
}


@pytest.mark.parametrize("message", PAIRS)
def test_pairs_without_ids_are_named(recommender: Recommender, message: str) -> None:
    with pytest.raises(CCFError) as fault:
        recommender.model.score(pl.DataFrame(PAIRS[message]))
    assert str(fault.value).startswith(f"pairs: {message}")


WRONG: dict[str, Callable[[Recommender], Any]] = {
    "users: None at position 1 is no id; give texts or whole numbers": lambda r: r.recommend(["12", None]),
    "users: nan at position 0 is no id; give texts or whole numbers": lambda r: r.check_users([float("nan")]),
    "candidates: True is no id; give texts or whole numbers": lambda r: r.recommend("12", candidates=True),
    "denied items: 1.5 at position 0 is no id; give texts or whole numbers": lambda r: r.recommend("12", deny=[1.5]),
    "history: None is no id; give texts or whole numbers": lambda r: r.recommend_for_history(None),
    "similar: list object is no id; give texts or whole numbers": lambda r: r.similar(["12"]),
    "user_id: 1.5 is no id; give texts or whole numbers": lambda r: r.dataset.likes_of(1.5),
    "user_id: None is no id; give texts or whole numbers": lambda r: r.dataset.seen_items(None),
    "user '12.0': not in data set data; did you mean '12'?": lambda r: r.recommend(["12.0"]),
    "history: no item ' 7' in the model's catalogue; did you mean '7'?": lambda r: r.stranger([" 7"]),
    "pairs: dict is no table; give a data frame of polars or pandas": lambda r: r.model.score({"user_id": []}),
    "items: dict is no table; give a data frame of polars or pandas": lambda r: r.model.with_items({"item_id": []}),
    "k is 2.5; give a whole number of items": lambda r: r.recommend("12", 2.5),
    "k is '10'; give a whole number of items": lambda r: r.similar("12", "10"),
    "k is True; give a whole number of items": lambda r: r.recommend([], True),
    "order is 'Fused'; choose one of fused, cf, text, next": lambda r: r.recommend("12", order="Fused"),
    "diversity is nan; choose from 0 to 1": lambda r: r.recommend("12", diversity=float("nan")),
    "diversity is '0.5'; choose from 0 to 1": lambda r: r.recommend_for_history("12", diversity="0.5"),
    "filter_seen is 'no'; give True or False": lambda r: r.recommend("12", filter_seen="no"),
    "text_share is nan; choose from 0 to 1": lambda r: Recommender(r.model, r.dataset, text_share=float("nan")),
    "retrieve is 0; ask for at least 1 item": lambda r: Recommender(r.model, r.dataset, retrieve=0),
    "exact_up_to is None; give a whole number of items": lambda r: Recommender(r.model, r.dataset, exact_up_to=None),  # type: ignore[arg-type]
    "newest is -1; ask for at least 0 items": lambda r: explain(r, r.stranger(["1"]), ["2"], -1),
    "category '['drama']': unknown; choose one of: drama": lambda r: r.recommend("12", category=["drama"]),
    "no words given in ''; write a title, or a part of one": lambda r: r.find_items(""),
    "no words given in ' ('; write a title, or a part of one": lambda r: r.catalogue.search(" ("),
}


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_argument_is_named(recommender: Recommender, message: str) -> None:
    with pytest.raises(CCFError) as fault:
        WRONG[message](recommender)
    assert str(fault.value) == message


def test_a_wrong_order_is_said_before_a_file_is_begun(recommender: Recommender, tmp_path: Path) -> None:
    with pytest.raises(CCFError, match="order is 'Fused'; choose one of fused, cf, text, next"):
        recommend_all(recommender, tmp_path / "all.parquet", order="Fused")
    assert list(tmp_path.iterdir()) == []


def test_numbers_of_numpy_are_numbers(recommender: Recommender) -> None:
    plain = recommender.recommend("12", 3, diversity=0.5)
    assert recommender.recommend("12", np.int32(3), diversity=np.float32(0.5)).equals(plain)  # type: ignore[arg-type]
    assert len(recommender.recommend("12", 10**30, filter_seen=np.True_)) > 3  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("filters", "why"),
    [
        (Filters(), None),
        (Filters(category="drama"), None),
        (Filters(allow=[]), "no candidates were given"),
        (Filters(allow=["1", "2"]), "none of the 2 candidates is left: 2 seen already"),
        (Filters(allow=["1", "3"], deny=["3", "4"]), "none of the 2 candidates is left: 1 seen already, 1 denied"),
        (
            Filters(allow=["2", "3", "4", "4"], deny=["3"], category="drama"),
            "none of the 3 candidates is left: 1 seen already, 1 denied, 1 not in the category 'drama'",
        ),
        (
            Filters(deny=[str(i) for i in range(1, 25)]),
            "none of the 24 items of the catalogue is left: 2 seen already, 22 denied",
        ),
    ],
)
def test_nothing_left_has_a_reason(recommender: Recommender, filters: Filters, why: str | None) -> None:
    assert recommender.why_empty(recommender.stranger(["1", "2"]), filters) == why
