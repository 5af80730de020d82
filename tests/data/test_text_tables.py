from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.importers.blocks import BLOCK
from ccf_llm.data.importers.columns import Columns, import_tables, read_table
from ccf_llm.data.importers.text import TextFormat
from ccf_llm.errors import CCFError

Row = tuple[str | None, ...]


@pytest.fixture(params=[BLOCK, 5], ids=["whole", "in blocks"], autouse=True)
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table is the same read at once and bit by bit, its faults too."""
    monkeypatch.setattr("ccf_llm.data.importers.blocks.BLOCK", request.param)
    monkeypatch.setattr("ccf_llm.data.importers.text.RECORDS", 2 if request.param == 5 else 100_000)


def read(folder: Path, name: str, content: str | bytes, encoding: str = "", separator: str = "") -> list[Row]:
    """The rows of a table of this content, its header first."""
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    frame = read_table(folder / name, TextFormat(encoding, separator))
    return [tuple(frame.columns), *frame.rows()]


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("a.csv", "i,t\n1,Dune\n", [("1", "Dune")]),
        ("a.csv", "i,t\r\n1,Dune\r\n\r\n007,Emma", [("1", "Dune"), ("007", "Emma")]),
        ("a.csv", "i,t\n1,\n", [("1", None)]),
        ("a.csv", 'i,t\n1,"Me, Myself"\n2,"Say ""hi"""\n', [("1", "Me, Myself"), ("2", 'Say "hi"')]),
        ("a.csv", 'i,t\n1,"two\nlines, here"\n2,6" pipe\n', [("1", "two\nlines, here"), ("2", '6" pipe')]),
        ("a.csv", 'i,t\n1,"Say \\"hi\\", she said"\n2,"C:\\\\"\n', [("1", 'Say "hi", she said'), ("2", "C:\\")]),
        ("a.csv", 'i,t,g\n1,"A \\"",x\n2,"B \\"",y\n', [("1", 'A "', "x"), ("2", 'B "', "y")]),
        ("a.csv", "i;t\n1;Me, Myself\n", [("1", "Me, Myself")]),
        ("a.csv", 'i;t\n1;"a;b"\n', [("1", "a;b")]),
        ("a.csv", "i\tt\n1\tMe, Myself\n", [("1", "Me, Myself")]),
        ("a.csv", "i|t\n1|Me, Myself\n", [("1", "Me, Myself")]),
        ("a.tsv", 'i\tt\n10\t"Rome\n11\tOslo\n13\tParis"\n', [("10", '"Rome'), ("11", "Oslo"), ("13", 'Paris"')]),
        ("a.tsv", 'i\tt\n1\t"Heroes"\n2\tLow\n', [("1", '"Heroes"'), ("2", "Low")]),
        ("a.tsv", 'i\tt\n1\t"Say ""hi"""\n2\tLow\n', [("1", 'Say "hi"'), ("2", "Low")]),
        ("a.tsv", '"i"\t"t"\n"1"\t"Heroes"\n', [("1", "Heroes")]),
        ("a.tsv", "i,t\n1,Low\n", [("1", "Low")]),
        ("a.csv", "sep=;\ni;t\n1;a,b,c\n", [("1", "a,b,c")]),
        ("a.csv", 'i, t\n1, "Me, Myself"\n', [("1", "Me, Myself")]),
        ("a.csv", "i,t,,\n1,Low,,\n,,,\n2,Emma,,\n", [("1", "Low"), ("2", "Emma")]),
        ("a.csv", f'i,t\n1,"{"x" * 200_000}"\n', [("1", "x" * 200_000)]),
    ],
)
def test_rows_are_those_of_the_file(tmp_path: Path, name: str, content: str, rows: list[Row]) -> None:
    assert read(tmp_path, name, content)[1:] == rows


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "i,t\n1,Dune\n\n2,Me, Myself\n", "line 4 has 3 fields where the header has 2"),
        ("a.csv", "i,t,g\n1,Dune\n", "line 2 has 2 fields where the header has 3"),
        ("a.csv", 'i,t,g\n1,"a",x\n2,b\n', "line 3 has 2 fields"),
        ("a.csv", 'i,t\n1,"Rome\n2,Oslo\n', "line 2: a quotation mark is never closed"),
        ("a.csv", 'i,t\n1,x\n2,"Say "hi", she said"\n', "line 3: .* expected after"),
        (
            "a.csv",
            'i,t,g\n10,"Rome,rock\n11,Oslo,jazz\n13,Paris",pop\n',
            "line 2: a quotation mark makes one row of lines 2 to 4, which look like rows of their own",
        ),
        ("a.tsv", "i\tt\n1\tDu\tne\n", "line 2 has 3 fields"),
        ("a.csv", "i,i\n1,2\n", "two columns are called 'i'"),
        ("a.csv", "\n \n", "is empty"),
        ("a.csv", b"i\0,\0t\0\n\0", "zero bytes.*--encoding utf-16-le"),
        ("a.txt", "i;t\n", "cannot tell the format.*--separator"),
        ("a.csv", '""', "a.csv: no column has a name; give a table with a header"),
        ("a.csv", '"",""\n1,2\n', "a.csv: no column has a name; give a table with a header"),
    ],
)
def test_no_line_is_lost_in_silence(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(CCFError, match=message) as fault:
        read(tmp_path, name, content)
    assert "\n" not in str(fault.value)


def test_a_named_separator(tmp_path: Path) -> None:
    assert read(tmp_path, "a.txt", "i^t,u,v\n1^x\n", separator="^") == [("i", "t,u,v"), ("1", "x")]
    assert read(tmp_path, "a.csv", 'i::t\n1::"x\n', separator="::")[1:] == [("1", '"x')]
    assert read(tmp_path, "a.dat", 'i\tt\n1\t"x\n', separator="\t")[1:] == [("1", '"x')]


TABLE = """user,item,stars,when
b,1,5,2020-01-01
b,2, 4,2020-01-02
a,1.0,"3,5",2020-01-03
a ,3,3,2020-01-04
b,3,5,2020-01-04
c,1,1,2020-01-06
c,2,4,2020-01-08
c,2,4,2020-01-08
b,1,4,2020-01-09
"""

TITLES = "Misérables", "Crème brûlée", "Größe", "Schindler’s", "«Été», ça", "São Paulo não"  # noqa: RUF001


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_encodings_that_are_found_out(tmp_path: Path, encoding: str) -> None:
    text = "".join(f"{line}\n" for line in ("t;u", *(f"{title};x" for title in TITLES)))
    assert [row[0] for row in read(tmp_path, "a.csv", text.encode(encoding))[1:]] == list(TITLES)


def test_windows_1252_is_said_with_an_example(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("i,t\n1,Dune\n2,Café\n".encode("cp1252"))
    how = TextFormat()
    read_table(tmp_path / "a.csv", how)
    assert how.reading.notes == [
        f"{tmp_path}/a.csv: not UTF-8, read as Windows-1252: '2,Café'; if that is wrong, give the --encoding"
    ]


OTHERS = {
    "gbk": "红楼梦",
    "shift_jis": "東京物語 ガール",
    "big5": "臥虎藏龍",
    "euc_kr": "서울의 봄",
    "cp1251": "Война и мир",
    "koi8_r": "Мастер и Маргарита",
    "iso8859_7": "Ζορμπάς",
}


@pytest.mark.parametrize("encoding", OTHERS)
def test_other_encodings_are_refused_or_named(tmp_path: Path, encoding: str) -> None:
    content = f"i,t\n1,Dune\n2,{OTHERS[encoding]}\n".encode(encoding)
    with pytest.raises(CCFError, match=r"a\.csv: line 3 .*--encoding gbk"):
        read(tmp_path, "a.csv", content)
    assert read(tmp_path, "a.csv", content, encoding)[2] == ("2", OTHERS[encoding])


def test_a_bad_byte_in_utf_8_is_named_by_its_line(tmp_path: Path) -> None:
    content = "i,t\n1,Été\n2,Crème\n".encode() + b"3,Caf\xe9\n"
    with pytest.raises(CCFError, match=r"a\.csv: line 4 is not UTF-8 \(1 such lines, 2 others are\)"):
        read(tmp_path, "a.csv", content)
    with pytest.raises(CCFError, match=r"a\.csv: line 4 is not utf-8"):
        read(tmp_path, "a.csv", content, "utf-8")
    with pytest.raises(CCFError, match="--encoding klingon: no such encoding"):
        read(tmp_path, "a.csv", content, "klingon")
    with pytest.raises(CCFError, match=r"a\.jsonl: line 1 is not UTF-8"):
        read(tmp_path, "a.jsonl", b'{"i": "\xe9\xc3\xa9"}\n"\xc3\xa9"')


def test_columns_that_repeat_are_categorical_in_a_large_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = read(tmp_path, "a.csv", TABLE)
    monkeypatch.setattr("ccf_llm.data.importers.text.SAMPLE", 3)
    assert read(tmp_path, "a.csv", TABLE) == plain
    frame = pl.DataFrame(plain[1:], schema=list(plain[0]), orient="row")
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_ndjson(tmp_path / "a.jsonl")
    for name in ("a.parquet", "a.jsonl"):
        table = read_table(tmp_path / name)
        assert isinstance(table.schema["user"], pl.Categorical)
        assert table.rows() == plain[1:]


def test_a_large_table_becomes_the_same_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_text(TABLE)
    (tmp_path / "i.csv").write_text("item,title\n1,Dune\n2,Emma\n3,Ida\n")
    columns = Columns("user", "item", "when", rating="stars")

    def imported() -> Dataset:
        return import_tables(tmp_path / "a.csv", tmp_path / "i.csv", columns, like_threshold=4)

    plain = imported()
    monkeypatch.setattr("ccf_llm.data.importers.text.SAMPLE", 3)
    monkeypatch.setattr("ccf_llm.data.slices.SLICE", 2)
    large = imported()
    assert_frame_equal(large.interactions, plain.interactions)
    assert large.identity == plain.identity
    assert (plain.duplicates_dropped, len(plain.interactions)) == (1, 8)
    (tmp_path / "a.csv").write_text(TABLE.replace("4,2020-01-08", "none,2020-01-08"))
    with pytest.raises(CCFError, match="rating 'none' in row 6 is not a number"):
        imported()
