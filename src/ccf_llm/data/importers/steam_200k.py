"""Steam as Kaggle has it: `steam-200k.csv`, without a header a line for each purchase and each game played.

Its fields: user, title of the game, `purchase` or `play`, hours (1 of a purchase), 0.
See https://www.kaggle.com/datasets/tamber/steam-video-games
"""

import re
from pathlib import Path

import polars as pl

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.importers.text import TextFormat
from ccf_llm.errors import CCFError

FILE = "steam-200k.csv"
FIELDS = ("user_id", "item_id", "behaviour", "hours", "nothing")
_LINE = re.compile(rb'\d+,(?:"[^"\n]+"|[^,\n]+),(?:purchase|play),[\d.]+,0\s*\Z')
NOTES = (
    "Steam: every game that somebody played is a like; what was bought and not played is left out",
    "Steam: hours are not kept, as a data set has no weights; the ids of games are their titles",
)


def is_steam_200k(path: Path) -> bool:
    """Whether the path is such a file, whatever its name, or a folder with `steam-200k.csv`."""
    file = path / FILE if path.is_dir() else path
    if not (file.is_file() and file.suffix == ".csv"):
        return False
    with file.open("rb") as opened:
        return _LINE.match(opened.readline(1000)) is not None


def import_steam_200k(path: str | Path, *, how: TextFormat | None = None) -> Dataset:
    """Read the file, or the folder that holds it."""
    path, how = Path(path), how or TextFormat()
    file = path / FILE if path.is_dir() else path
    text = how.decode(file.read_bytes(), file)
    rows = pl.read_csv(text.encode(), has_header=False, schema=dict.fromkeys(FIELDS, pl.String))
    if (strange := ~rows["behaviour"].is_in(["purchase", "play"]).fill_null(False)).any():
        line = rows.row(int(strange.arg_true()[0]))
        raise CCFError(f"{file}: {','.join(str(field) for field in line)[:100]!r} is neither purchase nor play")
    for note in NOTES:
        how.reading.note(note)
    played = rows.filter(pl.col("behaviour") == "play").select("user_id", "item_id")
    how.reading.leave_out("purchases", len(rows) - len(played))
    items = rows.select("item_id", pl.col("item_id").alias("title")).unique("item_id", maintain_order=True)
    dataset = Dataset.from_frames(played, items, name=file.stem, reading=how.reading)
    how.reading.rows = len(rows)
    return dataset
