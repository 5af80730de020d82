"""Where downloaded data and converted models are kept."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from ccf_llm.errors import CCFError


def cache_folder() -> Path:
    """The folder named by the environment variable `CCF_LLM_CACHE`, else the user's cache folder of this system."""
    return Path(os.environ.get("CCF_LLM_CACHE") or platformdirs.user_cache_dir("ccf-llm")).expanduser()


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A temporary folder inside `parent`, on the same disk as what is made from its content; gone afterwards.

    Raises `CCFError` where `parent` cannot be written.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(prefix=".scratch-", suffix=".tmp", dir=parent)
    except OSError as error:
        reason = error.strerror or error
        raise CCFError(f"cannot write {parent}: {reason}; set CCF_LLM_CACHE to a folder that can be written") from None
    with temporary as name:
        yield Path(name)
