import polars as pl

from ccf_llm.data.dataset import Dataset
from ccf_llm.text.works import one_item_a_work, works_of

TITLES = ["Dune (Paperback)", "Dune: The Novel", "DUNE", "Emma", "Emma"]
AUTHORS = ["Frank Herbert", "frank herbert", "Frank Herbert", "Jane Austen", "A. McCall Smith"]


def test_editions_share_title_and_author() -> None:
    assert works_of(TITLES, AUTHORS).tolist() == [0, 0, 0, 1, 2]
    assert works_of(TITLES, [""] * 5).tolist() == [0, 1, 0, 2, 2]


def test_editions_become_the_one_that_was_met_most() -> None:
    rows = {"user_id": ["u", "u", "v", "v", "w"], "item_id": ["1", "3", "3", "4", "2"], "label": [1, 0, 1, 1, 1]}
    rows |= {"timestamp": [9, 9, 10, 11, 12], "history": [[], [], [], ["1", "5"], ["2"]]}
    items = pl.DataFrame({"item_id": list("12345"), "title": TITLES, "author": AUTHORS})
    merged = one_item_a_work(Dataset.from_frames(pl.DataFrame(rows), items))
    assert merged.interactions.rows() == [
        ("u", "3", 0, 9, []),
        ("v", "3", 1, 10, []),
        ("v", "4", 1, 11, ["3", "5"]),
        ("w", "3", 1, 12, ["3"]),
    ]
    assert merged.items["item_id"].to_list() == ["3", "4", "5"]
    assert merged.reading.left_out == {"interactions with another edition in the same second": 1}
    assert "items of one title became one: 3 of 5 are left" in merged.reading.notes[-2]
