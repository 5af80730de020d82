from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.likes import like_times, likes_matrix, mapped_likes, seen_matrix, targets
from ccf_llm.errors import CCFError
from ccf_llm.io.mapped import folder_of

# user, item, label, second, part
ROWS = [
    ("a", "3", 1, 10, "train"),
    ("a", "1", 1, 20, "train"),
    ("a", "3", 1, 30, "train"),  # played again
    ("a", "2", 0, 40, "train"),
    ("a", "4", 1, 50, "valid"),
    ("a", "3", 1, 60, "test"),  # met before: not to be found
    ("a", "5", 1, 70, "test"),
    ("a", "6", 0, 80, "test"),
    ("b", "1", 1, 10, "train"),
    ("b", "2", 1, 11, "train"),
    ("b", "1", 0, 12, "train"),  # taken back
    ("b", "6", 1, 90, "test"),
    ("b", "3", 1, 95, "test"),
    ("c", "1", 0, 99, "test"),  # likes nothing
    ("d", "2", 1, 99, "test"),  # a stranger
]


@pytest.fixture
def dataset() -> Dataset:
    columns = ["user_id", "item_id", "label", "timestamp", "split"]
    items = pl.DataFrame({"item_id": [str(item) for item in range(1, 8)], "title": ["T"] * 7})
    return Dataset.from_frames(pl.DataFrame(ROWS, schema=columns, orient="row"), items)


def test_likes_stand_once_by_their_codes(dataset: Dataset) -> None:
    likes = likes_matrix(dataset, "train")
    assert (likes.shape, likes.dtype) == ((5, 8), np.float32)
    assert np.argwhere(likes.toarray()).tolist() == [[1, 1], [1, 3], [2, 2]]
    assert likes.max() == 1
    assert likes_matrix(dataset, "train", counts=True)[1, 3] == 2
    assert likes_matrix(dataset, "train", "valid").nnz == 4
    assert likes_matrix(dataset).nnz == 8
    assert likes_matrix(dataset, counts=True)[1, 3] == 3


def test_times_are_those_of_the_latest_likes(dataset: Dataset) -> None:
    times = like_times(dataset, "train")
    assert times.dtype == np.int64
    assert times.toarray()[1, [1, 3]].tolist() == [20, 30]
    assert (times.indices == likes_matrix(dataset, "train").indices).all()


def test_likes_of_pieces_in_files_are_those_of_the_whole(dataset: Dataset, tmp_path: Path) -> None:
    dataset.save(tmp_path / "data")
    for parts in ((), ("train",), ("train", "valid")):
        found = mapped_likes(Dataset.pieces(tmp_path / "data", rows=2), *parts, scratch=tmp_path)
        for one, other in zip(found, (likes_matrix(dataset, *parts), like_times(dataset, *parts)), strict=True):
            assert folder_of(one) == tmp_path
            assert (one.shape, one.dtype) == (other.shape, other.dtype)
            np.testing.assert_array_equal(one.toarray(), other.toarray())
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_seen_is_everything_met(dataset: Dataset) -> None:
    assert np.argwhere(seen_matrix(dataset, "train").toarray()).tolist() == [[1, 1], [1, 2], [1, 3], [2, 1], [2, 2]]


def test_targets_are_new_likes_of_the_part(dataset: Dataset) -> None:
    found = targets(dataset, "test")
    assert (len(found), found.users.tolist()) == (3, [1, 2, 4])
    assert [items.tolist() for items in found.items] == [[5], [3, 6], [2]]
    assert [history.tolist() for history in found.histories] == [[3, 1, 4], [2], []]  # oldest first
    assert [seen.tolist() for seen in found.seen] == [[1, 2, 3, 4], [1, 2], []]
    assert targets(dataset, "valid").histories[0].tolist() == [3, 1]
    assert targets(dataset, "train").items[0].tolist() == [1, 3]


def test_clicks_without_rating_or_label_are_likes() -> None:
    clicks = pl.DataFrame({"user_id": ["a", "a", "b"], "item_id": ["1", "2", "1"], "timestamp": [1, 2, 3]})
    items = pl.DataFrame({"item_id": ["1", "2"], "title": ["T", "T"]})
    assert likes_matrix(Dataset.from_frames(clicks, items)).toarray().tolist() == [[0, 0, 0], [0, 1, 1], [0, 1, 0]]


def test_a_part_without_anything_to_be_found_is_refused(dataset: Dataset) -> None:
    only_met = dataset.interactions.filter((pl.col("split") != "valid") | (pl.col("label") == 0))
    with pytest.raises(CCFError, match=r"^valid: nobody likes anything new in it; choose another split"):
        targets(Dataset.from_frames(only_met, dataset.items), "valid")


def test_parts_need_a_split(dataset: Dataset) -> None:
    whole = Dataset.from_frames(dataset.interactions.drop("split"), dataset.items)
    with pytest.raises(CCFError, match=r"has no split; make one with `ccf-llm data split --by user`$"):
        likes_matrix(whole, "train")
