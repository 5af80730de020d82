"""What is packed in a zip or by gzip that anyone may have made: read into memory, never unpacked to where it says."""

import gzip
import zipfile
import zlib
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
            if told.file_size > _most(told.compress_size):
                raise _too_large(f"{path}: {name}", f"{told.file_size:,}")
            with archive.open(told) as file:
                return file.read(told.file_size)
    except CCFError:
        raise
    except Exception as error:
        raise _damaged(path, error) from None


def read_gzip(path: Path) -> bytes:
    """The content of a gzip file; raises as `read_member` does."""
    most = _most(path.stat().st_size)
    try:
        with gzip.open(path) as file:
            content = file.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise CCFError(f"{path}: not a readable gzip file ({error}); it is cut or damaged, get it again") from None
    if len(content) > most:
        raise _too_large(str(path), f"more than {most:,}")
    return content


def _most(packed: int) -> int:
    """Bytes that so many packed ones may come to."""
    most, free = max(SMALL, DENSEST * packed), free_memory()
    return most if free is None else min(most, free)


def _too_large(what: str, size: str) -> CCFError:
    return CCFError(f"{what} would unpack to {size} bytes; if it is to be trusted, unpack it yourself")


def _damaged(path: Path, error: Exception) -> CCFError:
    return CCFError(f"{path}: a damaged zip ({one_line(error)}); download it again")
