import io
import json
import shlex
import sys
from pathlib import Path

import polars as pl
import pytest

from ccf_llm.cli import main
from ccf_llm.data.dataset import Dataset
from ccf_llm.experiments.config import load_config


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run the command as a shell would; the exit code."""
    monkeypatch.setattr(sys, "argv", ["ccf-llm", *map(str, arguments)])
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    n = 40
    clicks = {
        "user_id": [f"u{i % 4}" for i in range(n)],
        "book": [i % 5 for i in range(n)],
        "rating": [5, 1] * (n // 2),
    }
    pl.DataFrame(clicks | {"timestamp": range(n)}).write_csv(tmp_path / "clicks.csv")
    titles = ["[red]Dune[/red]", "Emma", "Ubik", "Kim", "She"]
    pl.DataFrame({"book": range(5), "title": titles}).write_csv(tmp_path / "books.csv")
    return tmp_path


def test_import_split_and_describe(
    tables: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    items = ("--items", tables / "books.csv", "--item-column", "book")
    assert run(monkeypatch, "data", "import", tables / "clicks.csv", *items, "-o", tables / "books") == 0
    assert "interactions" in capsys.readouterr().out
    split = ("data", "split", tables / "books", "-o", tables / "split", "--max-rows-per-user", 1)
    assert run(monkeypatch, *split) == 0
    capsys.readouterr()
    assert run(monkeypatch, "data", "describe", tables / "split", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["users"], summary["items"], summary["likes"]) == (4, 5, 20)
    assert summary["split"]["test"]["rows"] == 4
    assert Dataset.load(tables / "books").items["title"][0] == "[red]Dune[/red]"


def test_describe_writes_a_page(
    tables: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    items = ("--items", tables / "books.csv", "--item-column", "book")
    assert run(monkeypatch, "data", "import", tables / "clicks.csv", *items, "-o", tables / "books") == 0
    assert run(monkeypatch, "data", "describe", tables / "books", "--html", tables / "page.html") == 0
    printed = capsys.readouterr().out
    assert "\n  few: UAUC on valid rests on " in printed
    assert "histograms" not in printed
    assert "Take the rating task." in (tables / "page.html").read_text(encoding="utf-8")
    assert run(monkeypatch, "data", "describe", tables / "books", "--html", tables / "clicks.csv" / "page.html") == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_init_writes_a_file_once(
    tables: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    items = ("--items", tables / "books.csv", "--item-column", "book")
    assert run(monkeypatch, "data", "import", tables / "clicks.csv", *items, "-o", tables / "books") == 0
    capsys.readouterr()
    init = ("init", tables / "books", "-o", tables / "books.yaml", "--minutes", 5, "--json")
    assert run(monkeypatch, *init) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["next"]["train"] == f"ccf-llm train {tables / 'books.yaml'}"
    assert load_config(tables / "books.yaml").data.source == str(tables / "books")
    assert run(monkeypatch, *init) == 2
    assert "is there already; name another file with --output" in capsys.readouterr().err


def test_bad_input_is_one_line_and_exit_code_2(
    tables: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "data", "describe", tables / "no\nwhere") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1


def test_a_folder_that_is_no_data_set_is_not_replaced(
    tables: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    items = ("--items", tables / "books.csv", "--item-column", "book")
    assert run(monkeypatch, "data", "import", tables / "clicks.csv", *items, "-o", tables) == 2
    assert "exists and is not a data set" in capsys.readouterr().err
    assert (tables / "clicks.csv").exists()


def test_usage_errors_exit_with_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "data", "split") == 2
    assert run(monkeypatch, "no-such-command") == 2


def test_version_and_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.startswith("ccf-llm ")
    assert run(monkeypatch, "data", "import", "--help") == 0
    assert "ccf-llm data import ml-1m.zip" in capsys.readouterr().out


def test_split_by_each_users_time(
    tables: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    items = ("--items", tables / "books.csv", "--item-column", "book")
    assert run(monkeypatch, "data", "import", tables / "clicks.csv", *items, "-o", tables / "books") == 0
    capsys.readouterr()
    rows = {}
    for by in ("user", "last"):
        assert run(monkeypatch, "data", "split", tables / "books", "-o", tables / by, "--by", by, "--json") == 0
        summary = json.loads(capsys.readouterr().out)["split"]
        rows[summary["rule"]] = [summary[part]["rows"] for part in ("train", "valid", "test")]
    assert rows == {"user time": [34, 2, 4], "last like out": [36, 2, 2]}  # two like all, two nothing
    assert run(monkeypatch, "data", "split", tables / "books", "-o", tables / "x", "--by", "last", "--train", 0.5) == 2
    assert "train is a share" in capsys.readouterr().err
    assert not (tables / "x").exists()


def test_an_import_prints_the_command_that_repeats_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my clicks.csv").write_text("Customer;sku;stars;note\n007;a;5;\n7;b;1;\n7;a;4;\n8;c;2;\n9;z;5;\n")
    (tmp_path / "items.csv").write_bytes("sku;Product-Title\na;Caf\u00e9\nb;Caf\u00e9 (Tin)\nc;Tee\n".encode("cp1252"))
    options = ("--items", "items.csv", "--drop-unknown", "--dedupe-titles", "--min-interactions", 1)
    assert run(monkeypatch, "data", "import", "my clicks.csv", *options, "-o", "out") == 0
    said = capsys.readouterr().err
    assert "times      NONE: `data split` draws the rows of each user" in said
    assert "likes      ratings (1 to 5) of 4 and more: 33%" in said
    assert "items of one title became one: 2 of 3 are left" in said
    command = next(line for line in said.splitlines() if line.startswith("again")).removeprefix("again").strip()
    assert shlex.split(command)[1:] == [
        *("data", "import", "my clicks.csv", "--items", "items.csv", "--drop-unknown", "--dedupe-titles"),
        *("--min-interactions", "1", "--output", "out", "--like-threshold", "4"),
        *("--user-column", "Customer", "--item-column", "sku", "--timestamp-column", ""),
        *("--rating-column", "stars", "--title-column", "Product-Title", "--separator", ";", "--yes"),
    ]
    first = Dataset.load("out").identity
    assert run(monkeypatch, *shlex.split(command)[1:]) == 0
    assert Dataset.load("out").identity == first
    assert Dataset.load("out").items["item_id"].to_list() == ["a", "c"]


@pytest.mark.parametrize(("answer", "code"), [("n", 2), ("y", 0), ("", 0)])
def test_a_person_at_a_terminal_is_asked(
    tables: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str, code: int
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    options = ("--items", tables / "books.csv", "--item-column", "book", "-o", tables / "books")
    assert run(monkeypatch, "data", "import", tables / "clicks.csv", *options) == code
    assert (tables / "books").exists() == (code == 0)
    assert ("nothing was written; give the command above" in capsys.readouterr().err) == (code == 2)
    monkeypatch.setattr(sys, "stdin", Terminal(""))
    assert run(monkeypatch, "data", "import", tables / "clicks.csv", *options, "--yes") == 0


def test_a_missing_column_names_the_option_that_maps_it(
    tables: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tables / "other.csv").write_text("who,book\nu,1\n")
    items = ("--items", tables / "books.csv", "-o", tables / "out")
    assert run(monkeypatch, "data", "import", tables / "other.csv", *items) == 2
    message = "other.csv: no column `user_id`; it has who, book; name the right one with --user-column"
    assert message in capsys.readouterr().err
    assert run(monkeypatch, "data", "import", tables / "clicks.csv", *items, "--title-column", "name") == 2
    assert "books.csv: no column `name`; it has book, title; name the right one with --title-column" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("option", "file"), [("user_id", "clicks"), ("item_id", "clicks"), ("timestamp", "clicks"), ("title", "books")]
)
def test_a_column_that_is_named_as_it_would_be_called_is_not_guessed_over(
    option: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "clicks.csv").write_text("customer,sku,when\na,1,10\nb,1,20\n")
    (tmp_path / "books.csv").write_text("sku,product_name\n1,Emma\n")
    source = ("data", "import", tmp_path / "clicks.csv", "--items", tmp_path / "books.csv", "-o", tmp_path / "out")
    flag = f"--{option.removesuffix('_id')}-column"
    assert run(monkeypatch, *source, flag, option) == 2
    error = capsys.readouterr().err
    assert f"{file}.csv: no column `{option}`; it has " in error
    assert error.endswith(f"; name the right one with {flag}\n")
    assert error.count("\n") == 1
    assert run(monkeypatch, *source) == 0


def test_columns_of_a_release_cannot_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,1,5,1\n2,1,1,2\n")
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n1,Toy Story (1995),Animation\n")
    command = ("data", "import", tmp_path, "-o", tmp_path / "out", "--yes")
    assert run(monkeypatch, *command, "--rating-column", "stars") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: --rating-column: of {tmp_path} the columns are known (MovieLens)")
    assert error.count("\n") == 1
    assert run(monkeypatch, *command) == 0
