import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ccf_llm.data import importers
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.importers import import_path
from ccf_llm.data.importers.lines import FirstLines
from ccf_llm.data.named import open_dataset
from ccf_llm.errors import CCFError

Records = list[dict[str, Any]]


def packed(path: Path, records: Records, write: Callable[[Any], str] = json.dumps) -> None:
    """A file of one record a line, gzipped if its name says so."""
    path.parent.mkdir(exist_ok=True)
    content = "".join(f"{write(record)}\n" for record in records).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def python_2(record: dict[str, Any]) -> str:
    """As Python 2 wrote dictionaries: texts have a u in front."""
    return "{" + ", ".join(f"u{key!r}: {'u' * isinstance(value, str)}{value!r}" for key, value in record.items()) + "}"


def rows(dataset: Dataset, third: str = "rating") -> list[tuple[Any, ...]]:
    return dataset.interactions.select("user_id", "item_id", third, "timestamp").rows()


REVIEW_2018 = {
    "overall": 5.0,
    "verified": False,
    "reviewTime": "03 30, 2005",
    "reviewerID": "A1REUF3A1YCPHM",
    "asin": "0001713353",
    "style": {"Format:": " Hardcover"},
    "reviewerName": "T\u00e9a",
    "reviewText": 'The King, the "Mice" and the Cheese',
    "summary": "A story",
    "unixReviewTime": 1112140800,
}
META_2018 = {
    "category": ["Books", "New, Used &amp; Rental Textbooks"],
    "description": ["It is a <i>book</i>.", "Read it."],
    "title": "The King, the Mice and the Cheese",
    "also_buy": ["0669009075"],
    "brand": "Nancy Gurney",
    "rank": "1,349,781 in Books (",
    "asin": "0001713353",
}


@pytest.fixture
def amazon_2018(tmp_path: Path) -> Path:
    folder = tmp_path / "Books [2018]"
    other = REVIEW_2018 | {"reviewerID": "B", "overall": 2.0, "unixReviewTime": 1112227200}
    page = {"asin": "2", "title": "var aPageStart = (new Date()).getTime();", "category": [], "description": ""}
    packed(folder / "Books_5.json.gz", [REVIEW_2018, REVIEW_2018 | {"overall": 4.0}, other, other | {"asin": "2"}])
    packed(folder / "meta_Books.json.gz", [META_2018, META_2018, page])
    return folder


def test_amazon_2018(amazon_2018: Path) -> None:
    with pytest.raises(CCFError, match=r"item '2' has an empty title .* --drop-unknown"):
        import_path(amazon_2018)
    dataset = import_path(amazon_2018, drop_unknown=True)
    assert dataset.name == "Books [2018]"
    assert rows(dataset) == [("B", "0001713353", 2.0, 1112227200), ("A1REUF3A1YCPHM", "0001713353", 4.0, 1112140800)]
    assert dataset.items.rows(named=True) == [
        {
            "item_id": "0001713353",
            "title": "The King, the Mice and the Cheese",
            "brand": "Nancy Gurney",
            "categories": "Books, New, Used & Rental Textbooks",
            "description": "It is a book. Read it.",
        }
    ]
    assert dataset.reading.rows == 4
    assert dataset.reading.left_out == {
        "interactions that come again with the same user_id, item_id, timestamp": 1,
        "items that come again with the same item_id": 1,
        "items without a title": 1,
        "interactions of unknown items": 1,
    }


def test_amazon_2023(tmp_path: Path) -> None:
    review = {"rating": 5.0, "title": "Loved it", "text": "Buy it", "images": [], "asin": "B00YQ6X8EO"}
    review |= {"parent_asin": "B0PARENT", "user_id": "AGKH", "timestamp": 1588687728923, "helpful_vote": 0}
    meta = {"main_category": "Books", "title": "Emma", "average_rating": 4.8, "features": [], "description": ["Old."]}
    meta |= {"store": "Jane Austen (Author)", "categories": ["Books", "Fiction"], "details": {"Pages": "1"}}
    meta |= {"parent_asin": "B0PARENT", "author": {"avatar": "x", "name": "Jane Austen", "about": ["b"]}}
    packed(
        tmp_path / "az" / "Books.jsonl", [review, review | {"user_id": "C", "rating": 1.0, "timestamp": 1588687999000}]
    )
    packed(tmp_path / "az" / "meta_Books.jsonl", [meta, meta | {"parent_asin": "B0OTHER", "author": None}])
    dataset = open_dataset(tmp_path / "az")
    assert rows(dataset) == [("C", "B0PARENT", 1.0, 1588687999), ("AGKH", "B0PARENT", 5.0, 1588687728)]
    items = dataset.items.select("item_id", "title", "store", "categories", "author", "description").rows()
    assert items == [
        ("B0OTHER", "Emma", "Jane Austen (Author)", "Books, Fiction", "", "Old."),
        ("B0PARENT", "Emma", "Jane Austen (Author)", "Books, Fiction", "Jane Austen", "Old."),
    ]


def test_goodreads(tmp_path: Path) -> None:
    shelf = {"user_id": "8842281e", "book_id": "24375664", "review_id": "5cd4", "is_read": True, "rating": 5}
    shelf |= {"review_text_incomplete": "", "date_added": "Fri Aug 25 13:55:02 -0700 2017", "read_at": ""}
    book = {"isbn": "0312853122", "popular_shelves": [{"count": "3", "name": "to-read"}], "book_id": "24375664"}
    book |= {"title": "W.C. Fields: A Life on Film", "publication_year": "1984", "publisher": "St. Martin's Press"}
    book |= {"title_without_series": "W.C. Fields", "description": "", "authors": [{"author_id": "604031", "role": ""}]}
    late = {"user_id": "b", "rating": 1, "date_added": "Fri Aug 25 13:55:03 +0000 2017"}
    others = [shelf | late, shelf | {"user_id": "c", "rating": 0, "is_read": False}]
    packed(tmp_path / "gr" / "goodreads_interactions_poetry.json.gz", [shelf, *others])
    packed(tmp_path / "gr" / "goodreads_books_poetry.json.gz", [book])
    dataset = open_dataset(tmp_path / "gr")
    assert rows(dataset) == [("b", "24375664", 1.0, 1503669303), ("8842281e", "24375664", 5.0, 1503694502)]
    assert dataset.reading.left_out == {"interactions rated 0, which means not rated": 1}
    assert dataset.items.select("title", "year", "publisher").rows() == [
        ("W.C. Fields: A Life on Film", "1984", "St. Martin's Press")
    ]


BOOK_CROSSING = {
    "BX-Book-Ratings.csv": '"User-ID";"ISBN";"Book-Rating"\r\n"276725";"034545104X";"0"\r\n'
    '"276726";"0155061224";"5"\r\n"276727";"0155061224";"10"\r\n"276727";"034545104X";"8"\r\n"276727";"078946697X";"9"\r\n',
    "BX-Books.csv": '"ISBN";"Book-Title";"Book-Author";"Year-Of-Publication";"Publisher";"Image-URL-S"\r\n'
    '"034545104X";"Flesh Tones: A \\"Novel\\"";"M. J. Rose";"2002";"Ballantine &amp; Co";"http://x"\r\n'
    '"0155061224";"Rites of Passage; M\u00e9moires";"Judith Rae";"0";"Heinle";"http://x"\r\n'
    '"078946697X";"DK Readers: (Level 4)\\";Michael Teitelbaum";"2000";"DK Publishing Inc";"http://x"\r\n',
    "BX-Users.csv": '"User-ID";"Location";"Age"\r\n"276725";"nyc, new york, usa";NULL\r\n'
    '"276727";"m\u00fcnchen";"34"\r\n',
}


def test_book_crossing(tmp_path: Path) -> None:
    for name, text in BOOK_CROSSING.items():
        (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(CCFError, match=r"item '078946697X' is not among the items .* --drop-unknown"):
        import_path(tmp_path)
    dataset = import_path(tmp_path, drop_unknown=True)
    assert dataset.interactions.select("user_id", "item_id", "rating", "label").rows() == [
        ("276726", "0155061224", 5.0, 0),
        ("276727", "0155061224", 10.0, 1),
        ("276727", "034545104X", 8.0, 1),
    ]
    assert dataset.items.rows() == [
        ("0155061224", "Rites of Passage; M\u00e9moires", "Judith Rae", "", "Heinle"),
        ("034545104X", 'Flesh Tones: A "Novel"', "M. J. Rose", "2002", "Ballantine & Co"),
    ]
    assert dataset.users is not None
    assert dataset.users.rows() == [("276725", "nyc, new york, usa", ""), ("276727", "m\u00fcnchen", "34")]
    assert dataset.reading.left_out["lines of BX-Books.csv with too few or too many fields"] == 1
    assert not dataset.reading.timed


def test_book_crossing_from_kaggle(tmp_path: Path) -> None:
    (tmp_path / "Ratings.csv").write_text("User-ID,ISBN,Book-Rating\n1,a,9\n1,b,3\n")
    header = "ISBN,Book-Title,Book-Author,Year-Of-Publication,Publisher,Image-URL-S\n"
    (tmp_path / "Books.csv").write_text(f'{header}a,"Say, ""hi""",X,2001,P,u\nb,B,X,0,P,u\n')
    dataset = import_path(tmp_path)
    assert dataset.interactions["label"].to_list() == [1, 0]
    assert dataset.items["title"].to_list() == ['Say, "hi"', "B"]
    assert dataset.users is None


def test_kaggles_steam(tmp_path: Path) -> None:
    lines = [
        '7,"The Elder Scrolls V Skyrim",purchase,1.0,0',
        '7,"The Elder Scrolls V Skyrim",play,273.0,0',
        '7,"Fallout 4",purchase,1.0,0',
        '11373749,"Sid Meier\'s Civilization, IV",play,0.1,0',
        '11373749,"Sid Meier\'s Civilization, IV",play,0.2,0',
    ]
    file = tmp_path / "steam-200k.csv"
    file.write_text("\n".join(lines) + "\n")
    dataset = import_path(tmp_path)
    assert dataset.interactions.select("user_id", "item_id", "label").rows() == [
        ("7", "The Elder Scrolls V Skyrim", 1),
        ("11373749", "Sid Meier's Civilization, IV", 1),
    ]
    assert dataset.items["title"].sort().to_list()[0] == "Fallout 4"
    assert (dataset.name, dataset.reading.rows, dataset.reading.timed) == ("steam-200k", 5, False)
    assert dataset.reading.left_out["purchases"] == 2
    assert any("hours are not kept" in note for note in dataset.reading.notes)
    assert import_path(file.rename(tmp_path / "games.csv")).identity == dataset.identity
    (tmp_path / "games.csv").write_text("\n".join([*lines, "8,Ran,sold,1,0"]))
    with pytest.raises(CCFError, match=r"games\.csv: '8,Ran,sold,1,0' is neither purchase nor play"):
        import_path(tmp_path / "games.csv")
    (tmp_path / "games.csv").write_text("user,game,play,1,0\n")
    with pytest.raises(CCFError, match="no known data set"):
        import_path(tmp_path / "games.csv")


def test_steam(tmp_path: Path) -> None:
    review = {"username": "Chaos Syren", "hours": 0.1, "product_id": "725280", "date": "2017-12-17", "text": "It's bad"}
    game: dict[str, Any] = {
        "publisher": "Kotoshiro",
        "genres": ["Action", "RPG"],
        "app_name": "Lost Kitty",
        "tags": ["Cute"],
    }
    game |= {"title": "Lost Summoner Kitty", "release_date": "Jan 4, 2018", "early_access": False, "id": "725280"}
    nameless = {"app_name": "Rip", "release_date": "2016-07-27", "price": 4.99, "id": "2"}
    packed(
        tmp_path / "st" / "steam_reviews.json.gz", [review, review | {"username": "b", "date": "2017-12-18"}], python_2
    )
    packed(tmp_path / "st" / "steam_games.json.gz", [game, nameless, {"app_name": "?"}], python_2)
    dataset = open_dataset(tmp_path / "st")
    assert rows(dataset, "label") == [("b", "725280", 1, 1513555200), ("Chaos Syren", "725280", 1, 1513468800)]
    assert dataset.items.select("item_id", "title", "year", "genres", "tags").rows() == [
        ("2", "Rip", "2016", "", ""),
        ("725280", "Lost Summoner Kitty", "2018", "Action, RPG", "Cute"),
    ]
    assert dataset.reading.left_out == {"items without item_id": 1}


def test_lines_of_python_are_never_run(tmp_path: Path) -> None:
    review = {"username": "a", "product_id": "1", "date": "2017-12-17"}
    packed(tmp_path / "steam_games.json", [{"app_name": "A", "id": "1"}], repr)
    packed(tmp_path / "steam_reviews.json", [review], repr)
    with (tmp_path / "steam_reviews.json").open("a") as file:
        file.write(f"{{'username': __import__('pathlib').Path({str(tmp_path / 'ran')!r}).touch()}}\n")
    with pytest.raises(CCFError, match=r"steam_reviews\.json: line 2 is no record"):
        import_path(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_mind(tmp_path: Path) -> None:
    behaviors = (
        "1\tU13740\t11/11/2019 9:05:58 AM\tN55189 N42782\tN55689-1 N35729-0\n2\tU9\t11/12/2019 6:11:30 PM\t\tN35729-1\n"
    )
    (tmp_path / "behaviors.tsv").write_text(behaviors)
    news = 'N55689\tsports\tfootball_nfl\tCharles "Mean" Rogers\tHe said "so.\thttps://x\t[]\t[]\n'
    (tmp_path / "news.tsv").write_text(news + "N35729\tnews\tnewsus\tPorsche\t\thttps://x\t[]\t[]\n")
    dataset = open_dataset(tmp_path)
    assert rows(dataset, "label") == [
        ("U9", "N35729", 1, 1573582290),
        ("U13740", "N35729", 0, 1573463158),
        ("U13740", "N55689", 1, 1573463158),
    ]
    assert dataset.items["title"].to_list() == ["Porsche", 'Charles "Mean" Rogers']


def test_each_file_is_looked_into_once(amazon_2018: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    class Counted(FirstLines):
        def __missing__(self, path: Path) -> str:
            looked.append(path.name)
            return super().__missing__(path)

    monkeypatch.setattr(importers, "FirstLines", Counted)
    assert import_path(amazon_2018, drop_unknown=True).items.height == 1
    assert sorted(looked) == ["Books_5.json.gz", "meta_Books.json.gz"]


def test_packed_bytes_that_zlib_refuses_are_one_line(tmp_path: Path) -> None:
    packed(tmp_path / "steam_games.json.gz", [{"app_name": "A", "id": "1"}], repr)
    reviews = tmp_path / "steam_reviews.json.gz"
    packed(reviews, [{"username": "u", "product_id": "1", "date": "2017-12-17"}], repr)
    sound = reviews.read_bytes()
    torn = sound[:10] + bytes([255] * 200)  # a header, and no packed bytes behind it
    reviews.write_bytes(sound + torn)
    with pytest.raises(CCFError, match=r"steam_reviews\.json\.gz: cannot be read to the end .* download it again$"):
        import_path(tmp_path)
    reviews.write_bytes(torn)
    with pytest.raises(CCFError, match="no known data set"):
        import_path(tmp_path)


def test_files_that_are_cut_are_refused(amazon_2018: Path) -> None:
    reviews = amazon_2018 / "Books_5.json.gz"
    packed(reviews, [REVIEW_2018 | {"reviewText": hashlib.sha256(bytes(n)).hexdigest()} for n in range(2000)])
    reviews.write_bytes(reviews.read_bytes()[:-30])
    with pytest.raises(CCFError, match=r"Books_5\.json\.gz: cannot be read to the end") as fault:
        import_path(amazon_2018, drop_unknown=True)
    assert "\n" not in str(fault.value)
    reviews.write_bytes(gzip.compress(f"{json.dumps(REVIEW_2018)}\n\n{json.dumps(REVIEW_2018)[:80]}\n".encode()))
    with pytest.raises(CCFError, match=r"Books_5\.json\.gz: line 3 cannot be read"):
        import_path(amazon_2018, drop_unknown=True)


def test_two_files_of_one_table_are_named(amazon_2018: Path) -> None:
    packed(amazon_2018 / "Books.json", [REVIEW_2018])
    with pytest.raises(CCFError, match=r"Books\.json and Books_5\.json\.gz are the same table"):
        import_path(amazon_2018, drop_unknown=True)
