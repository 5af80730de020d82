"""How an import read its source: shown, confirmed on a terminal, and as the command that repeats it."""

import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import typer

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.describe import describe
from ccf_llm.data.importers import Columns, TextFormat
from ccf_llm.data.times import NO_TIMES
from ccf_llm.errors import CCFError
from ccf_llm.io.fetch import announce

Options = Mapping[str, object]
"""Option -> its value; True for one without a value, None, False or 0 for one that is not given."""


@dataclass(frozen=True)
class Understood:
    """What was found out about a source."""

    format: str
    """What it is."""
    dataset: Dataset
    how: TextFormat
    """With the encodings and separators of the text files."""
    columns: Columns | None
    """Of the user's own tables."""

    def confirm(self, source: Path, options: Options, *, yes: bool) -> None:
        """Show it with the command that repeats it; where a person sits at a terminal, ask unless `yes`.

        Raises `CCFError` if they say no.
        """
        announce("\n".join(f"{what:<10} {found}" for what, found in self._facts()))
        if not self.dataset.reading.timed:
            typer.secho(f"times      NONE: {NO_TIMES}", err=True, fg="yellow", bold=True)
        announce(f"again      {self.command(source, options)}")
        if (
            not yes
            and sys.stdin.isatty()
            and sys.stderr.isatty()
            and not typer.confirm("right?", default=True, err=True)
        ):
            raise CCFError("nothing was written; give the command above with what is otherwise")

    def command(self, source: Path, options: Options) -> str:
        """The command that reads the source in the same way, with everything named and nothing asked."""
        how = {"--encoding": _agreed(self.how.encodings), "--separator": _agreed(self.how.separators)}
        if how["--separator"] == "\t":
            how["--separator"] = "tab"
        words = ["ccf-llm", "data", "import", str(source)]
        for option, value in {**options, **self._named(), **how}.items():
            if value is True:
                words.append(option)
            elif value or (value == "" and option == "--timestamp-column"):
                words += [option, str(value)]
        return shlex.join([*words, "--yes"])

    def _named(self) -> dict[str, object]:
        threshold = self.dataset.like_threshold
        named: dict[str, object] = {} if threshold is None else {"--like-threshold": f"{threshold:g}"}
        if (columns := self.columns) is None:
            return named
        return named | {
            "--user-column": columns.user,
            "--item-column": columns.item,
            "--timestamp-column": columns.timestamp if self.dataset.reading.timed else "",
            "--label-column": columns.label,
            "--rating-column": columns.rating,
            "--title-column": columns.title,
        }

    def _facts(self) -> Iterator[tuple[str, str]]:
        yield "read as", self.format
        for file, encoding in self.how.encodings.items():
            between = self.how.separators.get(file)
            yield "file", f"{file}: {encoding}" + (f", {between!r} between fields" if between else "")
        for option, column in self._named().items():
            if column and option.endswith("-column"):
                yield option.strip("-").removesuffix("-column"), f"column {column}"
        summary = describe(self.dataset)
        yield "rows", f"{summary['interactions']:,} of {summary['rows_read']:,}"
        if (threshold := self.dataset.like_threshold) is not None:
            ratings = " to ".join(f"{bound:g}" for bound in _bounds(self.dataset))
            yield "likes", f"ratings ({ratings}) of {threshold:g} and more: {summary['share_of_likes']:.0%}"
        else:
            yield "likes", f"{summary['share_of_likes']:.0%} of the rows"
        if self.dataset.reading.timed:
            yield "times", f"{summary['first']} to {summary['last']}"


def _bounds(dataset: Dataset) -> tuple[float, float]:
    ratings = dataset.interactions["rating"]
    return float(ratings.min()), float(ratings.max())  # type: ignore[arg-type]  # numbers


def _agreed(found: Mapping[str, str]) -> str:
    """What holds for all files; empty where they differ, which is then found out again."""
    values = {value.removesuffix("-sig") for value in found.values()}
    return values.pop() if len(values) == 1 else ""
