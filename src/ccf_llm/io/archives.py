"""Files out of a zip that anyone may have made: read into memory, never unpacked to where it says."""

import zipfile
from pathlib import Path

from ccf_llm.errors import CCFError, one_line
from ccf_llm.io.memory import free_memory

DENSEST = 100
"""Times that tables may shrink in a zip; those of the MovieLens releases do 4 to 6 times."""
SMALL = 100 << 20
"""Bytes that a file may unpack to however dense it is."""


def names_in(path: Path) -> list[str]:
    """The names of the files in a zip; of what is no zip none."""
    if not zipfile.is_zipfile(path):
        return []
    try:
        with zipfile.ZipFile(path) as archive:
            return [name for name in archive.namelist() if not name.endswith("/")]
    except Exception as error:  # a damaged one makes zipfile fail in any of many ways
        raise _damaged(path, error) from None


def read_member(path: Path, name: str) -> bytes:
    """The content of a file in a zip.

    Raises:
        CCFError: the zip is damaged, or the file would unpack to more than memory holds or any table comes to.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            told = archive.getinfo(name)
            free = free_memory()
            if (free is not None and told.file_size > free) or (
                told.file_size > SMALL and told.file_size > DENSEST * told.compress_size
            ):
                size = f"{told.file_size:,} bytes"
                raise CCFError(
                    f"{path}: {name} would unpack to {size}; if the zip is to be trusted, unpack it yourself"
                )
            with archive.open(told) as file:
                return file.read(told.file_size)
    except CCFError:
        raise
    except Exception as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> CCFError:
    return CCFError(f"{path}: a damaged zip ({one_line(error)}); download it again")
