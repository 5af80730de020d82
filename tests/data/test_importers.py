import gzip
import os
import zipfile
from pathlib import Path

import polars as pl
import pytest

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.importers import Columns, import_movielens, import_path, import_tables
from ccf_llm.data.named import open_dataset
from ccf_llm.errors import CCFError
from ccf_llm.experiments.config import check_config
from ccf_llm.experiments.folder import open_split


def write(folder: Path, files: dict[str, str], encoding: str = "utf-8") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding=encoding)
    return folder


def items_of(dataset: Dataset) -> list[tuple[str, ...]]:
    return dataset.items.rows()


RECBOLE = {
    "tiny.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n7\t01\t4\t100.0\n8\t2\t3\t90\n",
    "tiny.item": 'item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n01\tUne "Vie", L\'\t1995\t'
    "Sci-Fi Film-Noir\n2\tNothing\tunknown\tunknown\n",
    "tiny.user": "user_id:token\tage:token\n7\t24\n",
}


def test_recbole(tmp_path: Path) -> None:
    dataset = open_dataset(write(tmp_path / "r", RECBOLE))
    assert dataset.name == "tiny"
    assert items_of(dataset) == [("2", "Nothing", "", ""), ("01", 'Une "Vie", L\'', "1995", "Sci-Fi, Film-Noir")]
    assert dataset.interactions["label"].to_list() == [1, 0]
    assert dataset.interactions["timestamp"].to_list() == [100, 90]
    assert dataset.users is not None
    assert dataset.users.rows() == [("7", "24")]


def test_recbole_without_titles_or_items_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "r", RECBOLE | {"tiny.item": "item_id:token\tprice:float\n01\t3\n"})
    with pytest.raises(CCFError, match=r"tiny\.item: no column with the titles"):
        import_path(folder)
    (folder / "tiny.item").unlink()
    with pytest.raises(CCFError, match=r"tiny\.item: no such file"):
        import_path(folder)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (RECBOLE | {"tiny.user": "user_id:token\tage:token\tage:float\n7\t24\t24\n"}, "duplicate"),
        (
            {"ratings.csv": "userId,movieId,rating,timestamp\n7,1,5,9\n", "movies.csv": "movieId,title\n1,Ran\n"},
            "genres",
        ),
    ],
    ids=["twice", "not there"],
)
def test_columns_that_a_format_does_not_have_so_are_named(files: dict[str, str], reason: str, tmp_path: Path) -> None:
    """Found by fuzzing."""
    with pytest.raises(
        CCFError, match=rf"r: not as its format has it \(.*{reason}.*\); correct it, or name its tables"
    ):
        import_path(write(tmp_path / "r", files))


FLAGS = "|".join("1" if flag in (3, 5) else "0" for flag in range(19))
ML_100K = {
    "u.data": "7\t1\t5\t100\n8\t1\t2\t90\n",
    "u.item": f"1|Misérables, Les (1995)|01-Jan-1995||http://x|{FLAGS}\n",
}
ML_1M = {"ratings.dat": "7::1::5::100\r\n8::1::2::90\n", "movies.dat": "1::Misérables, Les (1995)::Animation|Comedy\n"}
ML_CSV = {
    "ratings.csv": "userId,movieId,rating,timestamp\n7,1,4.5,100\n8,1,0.5,90\n",
    "movies.csv": 'movieId,title,genres\n1,"Misérables, Les (1995)",Animation|Comedy\n',
}


@pytest.mark.parametrize(
    ("files", "encoding"), [(ML_100K, "latin-1"), (ML_1M, "latin-1"), (ML_CSV, "utf-8")], ids=["100k", "1m", "csv"]
)
@pytest.mark.parametrize("zipped", [False, True])
def test_movielens(tmp_path: Path, files: dict[str, str], encoding: str, zipped: bool) -> None:
    source = write(tmp_path / "ml-tiny", files, encoding)
    if zipped:
        with zipfile.ZipFile(tmp_path / "download.zip", "w") as archive:
            for name in files:
                archive.write(source / name, f"ml-tiny/{name}")
        source = tmp_path / "download.zip"
    dataset = import_path(source)
    assert dataset.name == "ml-tiny"
    assert dataset.interactions.select("user_id", "label", "timestamp").rows() == [("7", 1, 100), ("8", 0, 90)]
    assert items_of(dataset) == [("1", "Misérables, Les (1995)", "1995", "Animation, Comedy")]


@pytest.mark.parametrize(
    ("files", "users"),
    [
        (
            ML_100K | {"u.user": "7|24|M|technician|85711\n8|53|F|other|94043\n"},
            [("7", "24", "M", "technician", "85711"), ("8", "53", "F", "other", "94043")],
        ),
        (
            ML_1M | {"users.dat": "7::F::1::10::48067\n8::M::56::16::70072\n"},
            [("7", "under 18", "F", "school student", "48067"), ("8", "56+", "M", "self-employed", "70072")],
        ),
    ],
    ids=["100k", "1m"],
)
def test_what_movielens_tells_of_users(tmp_path: Path, files: dict[str, str], users: list[tuple[str, ...]]) -> None:
    dataset = import_path(write(tmp_path / "ml-tiny", files, "latin-1"))
    assert dataset.users is not None
    assert dataset.users.select("user_id", "age", "gender", "occupation", "zip_code").rows() == users
    without = {name: text for name, text in files.items() if not name.startswith(("u.user", "users"))}
    assert import_path(write(tmp_path / "without", without, "latin-1")).users is None


def test_cut_movielens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CCFError, match=r"ratings\.dat: line 2 has too few fields"):
        import_movielens(write(tmp_path / "a", ML_1M | {"ratings.dat": "7::1::5::100\n8::1"}))
    with pytest.raises(CCFError, match=r"no movies\.dat"):
        import_movielens(write(tmp_path / "b", {"ratings.dat": ML_1M["ratings.dat"]}))
    with pytest.raises(CCFError, match="no MovieLens data"):
        import_movielens(write(tmp_path / "c", {}))


def benchmark(folder: Path) -> Path:
    folder.mkdir()
    for part, rows in {
        "train": [(2, 1, 1, 10, []), (1, 1, 1, 10, [])],
        "valid": [(2, 2, 0, 20, [1])],
        "test": [(2, 3, 1, 20, [1]), (1, 3, 0, 5, [])],
    }.items():
        columns = ["user_id", "item_id", "label", "timestamp", "history"]
        frame = pl.DataFrame(rows, schema=columns, orient="row").cast({"history": pl.List(pl.Int32)})
        frame.with_columns(warm=pl.lit(1)).write_parquet(folder / f"{part}.parquet")
    pl.DataFrame({"item_id": [1, 2, 3], "title": ["A (1999)", "B", "C"]}).write_parquet(folder / "items.parquet")
    return folder


def test_the_benchmark_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    dataset = open_dataset(benchmark(tmp_path / "ml"))
    assert dataset.interactions.select("user_id", "item_id", "split").rows() == [
        *(("1", "3", "test"), ("1", "1", "train"), ("2", "1", "train"), ("2", "2", "valid"), ("2", "3", "test"))
    ]
    test = dataset.rows("test")
    assert [dataset.item_vocabulary.decode(test.history(row)) for row in range(2)] == [[], ["1"]]
    dataset.save(tmp_path / "saved")
    assert Dataset.load(tmp_path / "saved").interactions.equals(dataset.interactions)


def test_a_benchmark_file_without_histories_is_named(tmp_path: Path) -> None:
    folder = benchmark(tmp_path / "ml")
    pl.read_parquet(folder / "valid.parquet").drop("history").write_parquet(folder / "valid.parquet")
    with pytest.raises(CCFError, match=r"valid\.parquet: no column `history`"):
        open_dataset(folder)


def test_genres_of_the_benchmark_are_read_where_they_are_named(tmp_path: Path) -> None:
    folder = benchmark(tmp_path / "ml")
    plain = {"data": {"source": str(folder)}}
    assert open_split(check_config(plain, "plain")).items.columns == ["item_id", "title"]
    named = check_config({"data": {"source": str(folder), "categories": "genres"}}, "named")
    with pytest.raises(CCFError, match=r"genres\.parquet: no such file"):
        open_split(named)
    genres = pl.DataFrame({"item_id": [3, 1], "genres": ["War|Drama", "Comedy"]})
    genres.write_parquet(folder / "genres.parquet")
    found = open_split(named)
    assert found.items["genres"].to_list() == ["Comedy", "", "War, Drama"]
    assert found.identity == open_split(check_config(plain, "plain")).identity
    told = {"details": [{"column": "genres", "before": "a "}]}
    assert "genres" in open_split(check_config({"data": plain["data"] | told}, "told")).items.columns


def test_the_published_split() -> None:
    folder = os.environ.get("CCF_LLM_ML1M")
    if folder is None:
        pytest.skip("set CCF_LLM_ML1M to the folder of the published ML-1M split")
    dataset = open_dataset(folder)
    assert [len(dataset.rows(part)) for part in ("train", "valid", "test")] == [33_891, 10_401, 7_331]
    rows = dataset.rows()
    given = dataset.interactions["history"].to_list()
    for row in range(0, len(rows), 97):
        assert dataset.item_vocabulary.decode(rows.history(row)) == given[row]


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_own_tables(tmp_path: Path, ending: str) -> None:
    clicks = pl.DataFrame({"who": ["007", "b"], "book": ["x", "y"], "when": [5, 6], "stars": [5, 1], "item_id": [0, 0]})
    books = pl.DataFrame({"book": ["x", "y"], "name": ['Say "hi", she said', "naïve 🎬"], "pages": [10, 20]})
    for name, frame in (("clicks", clicks), ("books", books)):
        path = tmp_path / f"{name}.{ending}"
        if ending == "parquet":
            frame.write_parquet(path)
        elif ending == "jsonl":
            frame.write_ndjson(path)
        else:
            frame.write_csv(path, separator="," if ending == "csv" else "\t")
    columns = Columns(user="who", item="book", timestamp="when", rating="stars", title="name")
    dataset = import_tables(tmp_path / f"clicks.{ending}", tmp_path / f"books.{ending}", columns)
    assert dataset.interactions.select("user_id", "item_id", "label", "timestamp").rows() == [
        ("b", "y", 0, 6),
        ("007", "x", 1, 5),
    ]
    assert items_of(dataset) == [("x", 'Say "hi", she said', "10"), ("y", "naïve 🎬", "20")]


def test_faults_in_own_tables_are_named(tmp_path: Path) -> None:
    write(
        tmp_path, {"a.csv": "user_id,item_id,label,timestamp\nu,x,1,5\n", "i.csv": "item_id,title\nx,X\n", "i.xls": ""}
    )
    with pytest.raises(CCFError, match=r"a\.csv: no column `nobody`; it has user_id"):
        import_tables(tmp_path / "a.csv", tmp_path / "i.csv", Columns(user="nobody"))
    with pytest.raises(CCFError, match=r"i\.xls: cannot tell the format"):
        import_tables(tmp_path / "a.csv", tmp_path / "i.xls")
    with pytest.raises(CCFError, match=r"z\.csv: no such file"):
        import_tables(tmp_path / "z.csv", tmp_path / "i.csv")
    assert len(import_tables(tmp_path / "a.csv", tmp_path / "i.csv").rows()) == 1


CLICKS = "user_id,item_id,stars,label,rating,timestamp\nu,x,5,0,2,5\nv,x,1,1,2,6\n"


@pytest.mark.parametrize(
    ("columns", "labels", "rating", "notes"),
    [
        (Columns(rating="stars"), [1, 0], [5, 1], ["`stars` was named and decides; the column `label` is ignored"]),
        (Columns(label="label"), [0, 1], None, ["`label` was named and decides; the column `rating` is ignored"]),
        (Columns(rating="rating"), [0, 0], [2, 2], ["`rating` was named and decides; the column `label` is ignored"]),
        (Columns(), [0, 1], [2, 2], ["`label` decides what is a like; `rating` is kept"]),
        (Columns(label="label", rating="stars"), [0, 1], [5, 1], ["`label` decides what is a like; `rating` is kept"]),
    ],
)
def test_the_named_column_decides(
    tmp_path: Path, columns: Columns, labels: list[int], rating: list[float] | None, notes: list[str]
) -> None:
    write(tmp_path, {"a.csv": CLICKS, "i.csv": "item_id,title\nx,X\n"})
    dataset = import_tables(tmp_path / "a.csv", tmp_path / "i.csv", columns)
    assert dataset.interactions["label"].to_list() == labels
    assert dataset.interactions.to_dict(as_series=False).get("rating") == rating
    assert len([note for note in dataset.reading.notes if any(part in note for part in notes)]) == 1


def test_a_column_of_times_by_another_name_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path, {"a.csv": "user_id,item_id,label,Date\nu,x,1,2024-03-01\n", "i.csv": "item_id,title\nx,X\n"})
    with pytest.raises(
        CCFError, match=r"a\.csv: no column `timestamp`; if `Date` says when, give --timestamp-column Date"
    ):
        import_tables(tmp_path / "a.csv", tmp_path / "i.csv")
    with pytest.raises(CCFError, match=r"a\.csv: no column `when`"):
        import_tables(tmp_path / "a.csv", tmp_path / "i.csv", Columns(timestamp="when"))
    timed = import_tables(tmp_path / "a.csv", tmp_path / "i.csv", Columns(timestamp="Date"))
    assert timed.interactions["timestamp"].to_list() == [1_709_251_200]
    untimed = import_tables(tmp_path / "a.csv", tmp_path / "i.csv", Columns(timestamp=""))
    assert untimed.interactions["timestamp"].to_list() == [0]
    assert not untimed.reading.timed


def test_a_column_that_is_named_for_two_things_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"a.csv": CLICKS, "i.csv": "item_id,title\nx,X\n"})
    with pytest.raises(CCFError, match="`item_id` is named for two things"):
        import_tables(tmp_path / "a.csv", tmp_path / "i.csv", Columns(rating="item_id"))


def test_ratings_with_a_decimal_comma(tmp_path: Path) -> None:
    write(tmp_path, {"a.csv": "user_id;item_id;rating;timestamp\nu;x;4,5;5\nu;y;3,5;6\n"})
    write(tmp_path, {"i.csv": "item_id;title\nx;X\ny;Y\n"})
    dataset = import_tables(tmp_path / "a.csv", tmp_path / "i.csv")
    assert dataset.interactions["rating"].to_list() == [4.5, 3.5]


def test_json_lines_that_are_cut_are_refused(tmp_path: Path) -> None:
    row = '{"user_id": "u", "item_id": "x", "label": 1, "timestamp": 5}\n'
    write(tmp_path, {"a.jsonl": f"{row}\n{row[:30]}", "i.csv": "item_id,title\nx,X\n"})
    with pytest.raises(CCFError, match=r"a\.jsonl: not JSON lines"):
        import_tables(tmp_path / "a.jsonl", tmp_path / "i.csv")


def test_a_split_of_the_users_own_and_gzipped_tables(tmp_path: Path) -> None:
    rows = "user_id,item_id,label,split\nu,x,1,train\nu,y,0,test\nv,x,1,\n"
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(rows.encode()))
    (tmp_path / "i.jsonl.gz").write_bytes(
        gzip.compress(b'{"item_id": "x", "title": "X"}\n{"item_id": "y", "title": "Y"}\n')
    )
    dataset = import_tables(tmp_path / "a.csv.gz", tmp_path / "i.jsonl.gz")
    assert dataset.interactions["split"].to_list() == ["train", "test", None]
    assert dataset.split is not None
    assert dataset.split.rule == "given by the source"
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(rows.encode())[:-9])
    with pytest.raises(CCFError, match=r"a\.csv\.gz: not a readable gzip file"):
        import_tables(tmp_path / "a.csv.gz", tmp_path / "i.jsonl.gz")
