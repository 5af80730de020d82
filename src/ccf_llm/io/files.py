"""Writing files so that a reader never sees half of one."""

import ctypes
import errno
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from polars.exceptions import PolarsError
from safetensors import SafetensorError

from ccf_llm.errors import CCFError, one_line

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# Safetensors and Polars report a full disk by errors of their own.
WRITE_ERRORS = (OSError, SafetensorError, PolarsError)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is renamed to `path`, on failure it is removed.

    Raises `CCFError` where the disk refuses the write (full, read-only, no permission).
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except WRITE_ERRORS as error:
        raise refused(path, error) from error
    finally:
        with suppress(OSError):  # also where its folder is a file
            temporary.unlink()


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it takes the place of `path`, on failure it is removed.

    An existing folder at `path` is replaced only once the new one is complete, and whatever happens, one of the two is
    there. Linux swaps their names in one step. Where a file system or another system cannot, the old folder has another
    name for a moment; a process that is killed just then leaves it under that name, `.NAME.*.old`, and the next write
    of `path` puts it back. That write also removes what killed processes of this machine have left.

    Raises `CCFError` where the disk refuses the write, or a file is in the way.
    """
    path = Path(path)
    mark = f".{path.name}.{platform.node()}."
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):  # another process may be at it too
            _tidy(path, mark)
        temporary = Path(tempfile.mkdtemp(prefix=f"{mark}{os.getpid()}.", suffix=".tmp", dir=path.parent))
    except OSError as error:
        raise refused(path, error) from error
    try:
        yield temporary
        temporary.chmod(0o755)
        _take_place(temporary, path)
    except WRITE_ERRORS as error:
        raise refused(path, error) from error
    finally:
        _remove(temporary)


def own_folder(path: Path) -> Path:
    """`path` with the name of this process, for a scratch folder that no other process touches.

    What killed processes of this machine have left under such names is removed; nothing is made.
    """
    mark = f"{path.name}.{platform.node()}."
    for left in path.parent.iterdir() if path.parent.is_dir() else ():
        process = left.name.removeprefix(mark)
        if left.name.startswith(mark) and process.isdecimal() and not _runs(int(process)):
            _remove(left)
    return path.with_name(f"{mark}{os.getpid()}")


@contextmanager
def only_one(folder: Path, doing: str) -> Iterator[None]:
    """Keep other processes from `doing` the same in `folder`; the system lets go of it however this process ends.

    Nobody is kept where a file system or Windows has no such locks. Raises `CCFError` where another process is at it,
    or the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refused(folder, error) from error
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            _lock(handle, f"{folder}: another process is {doing} there; wait for it, or choose another folder")
        yield
    finally:
        os.close(handle)


def _lock(handle: int, refusal: str) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CCFError(refusal) from None


def _take_place(new: Path, path: Path) -> None:
    """Give `new` the name `path`. A folder that has it goes, or on any error stays."""
    if not os.path.lexists(path):
        os.replace(new, path)
        return
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if _exchange(new, path):
        return  # the old one has the temporary name now
    old = new.with_suffix(".old")
    try:
        os.replace(path, old)
        os.replace(new, path)
    finally:
        if os.path.lexists(old) and not os.path.lexists(path):
            os.replace(old, path)
    _remove(old)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step, by Linux's renameat2; False where the system or the file system cannot."""
    swap = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if swap is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if swap(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0:
        return True
    error = ctypes.get_errno()
    if error in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(error, os.strerror(error))


def _tidy(path: Path, mark: str) -> None:
    """Put the target back where a killed process had moved it away, and remove what such processes have left."""
    for left in sorted(path.parent.iterdir()):
        process, _, kind = left.name.removeprefix(mark).partition(".")
        if not left.name.startswith(mark) or not process.isdecimal() or _runs(int(process)):
            continue
        if kind.endswith(".old") and not os.path.lexists(path):
            os.replace(left, path)
        elif kind.endswith((".old", ".tmp")):
            _remove(left)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # of another user
    return True


def _remove(path: Path) -> None:
    """A folder with all in it; of a link only the link."""
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def refused(path: Path, error: Exception) -> CCFError:
    """What to raise where the disk refuses a write."""
    reason = getattr(error, "strerror", None) or one_line(error)
    return CCFError(f"cannot write {path}: {reason}; free space or choose another folder")


def write_text(path: Path, text: str) -> None:
    """Write a text, atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; a missing, cut or malformed one is a `CCFError` that names it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CCFError(f"{path}: no such file") from None
    except OSError as error:
        raise CCFError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise CCFError(f"{path}: not valid JSON ({error}); the file is cut or damaged, write it again") from None
