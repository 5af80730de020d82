"""`Scorer`: anything that scores rows, and how it says on disk what it is."""

from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ccf_llm.data.rows import Rows
from ccf_llm.errors import CCFError
from ccf_llm.io.files import read_json

FORMAT = 2
"""Of the folder; raised when an older reader could not read a new one."""
SETTINGS_FILE = "cf.json"
WEIGHTS_FILE = "cf.safetensors"


class Scorer(Protocol):
    """Anything that scores interactions: a collaborative model, a mean, a language model."""

    name: ClassVar[str]

    def score(self, rows: Rows) -> NDArray[np.float32]:
        """(N,) log-odds that the user likes the item."""

    def save(self, folder: Path) -> None:
        """Write the fitted model to `folder`, atomically."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""


def read_settings(folder: Path, kind: str | None = None) -> dict[str, Any]:
    """The settings of the collaborative model in `folder`; a `CCFError` if it is not of the expected `kind`."""
    path = Path(folder) / SETTINGS_FILE
    settings = read_json(path)
    if not isinstance(settings, dict) or settings.get("format") != FORMAT:
        raise CCFError(f"{path}: not the settings of a collaborative model of format {FORMAT}; save the model again")
    if kind is not None and settings.get("kind") != kind:
        raise CCFError(f"{path}: holds a model of kind {settings.get('kind')!r}, not {kind!r}; use load_cf")
    return dict(settings)
