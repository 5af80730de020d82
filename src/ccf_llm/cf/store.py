"""A collaborative model on disk: a folder with `cf.json`, which says what it is, and its weights beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ccf_llm.errors import CCFError
from ccf_llm.io.files import read_json, write_json
from ccf_llm.io.integrity import check_folder, sealed_folder

FORMAT = 2
"""Of the folder; raised when an older reader could not read a new one."""
SETTINGS_FILE = "cf.json"
WEIGHTS_FILE = "cf.safetensors"


@contextmanager
def stored(folder: Path, kind: str, settings: dict[str, Any]) -> Iterator[Path]:
    """A folder with the settings of a model of this kind, to put its weights into; it appears once it is complete."""
    with sealed_folder(Path(folder)) as temporary:
        write_json(temporary / SETTINGS_FILE, {"format": FORMAT, "kind": kind, **settings})
        yield temporary


def read_settings(folder: Path, kind: str | None = None) -> dict[str, Any]:
    """The settings of the collaborative model in `folder`.

    Where a `kind` is expected, a `CCFError` tells of another one, or of a file that is not as it was written.
    """
    path = Path(folder) / SETTINGS_FILE
    if kind is not None:
        check_folder(folder)
    settings = read_json(path)
    if not isinstance(settings, dict) or settings.get("format") != FORMAT:
        raise CCFError(f"{path}: not the settings of a collaborative model of format {FORMAT}; save the model again")
    if kind is not None and settings.get("kind") != kind:
        raise CCFError(f"{path}: holds a model of kind {settings.get('kind')!r}, not {kind!r}; use load_cf")
    return dict(settings)
