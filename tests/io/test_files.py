"""Nobody ever sees half a file, also when the disk is full."""

import errno
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.torch import save_file

from ccf_llm.errors import CCFError
from ccf_llm.io.files import atomic_file, atomic_folder, read_json, write_json

LARGE = 200_000


@contextmanager
def small_disk(most: int = 50_000) -> Iterator[None]:
    """No file may grow beyond `most` bytes: the nearest thing to a full disk that a test can make."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


WRITERS: dict[str, Callable[[Path], object]] = {
    "plain": lambda path: path.write_bytes(b"x" * LARGE),
    "safetensors": lambda path: save_file({"x": torch.zeros(LARGE)}, path),
    "parquet": lambda path: pl.DataFrame({"x": torch.randn(LARGE).numpy()}).write_parquet(path),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path: Path, write: Callable[[Path], object]) -> None:
    write_json(tmp_path / "folder" / "kept.json", 1)
    (tmp_path / "file").write_text("kept")
    with small_disk():
        with (
            pytest.raises(CCFError, match=r"cannot write .*file: .*; free space") as fault,
            atomic_file(tmp_path / "file") as temporary,
        ):
            write(temporary)
        with (
            pytest.raises(CCFError, match=r"cannot write .*folder: .*; free space"),
            atomic_folder(tmp_path / "folder") as temporary,
        ):
            write(temporary / "large")
    assert "\n" not in str(fault.value)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder", "kept.json"]
    assert (tmp_path / "file").read_text() == "kept"


def write_folder(folder: Path, then: Callable[[], object]) -> None:
    with atomic_folder(folder) as temporary:
        (temporary / "new").write_text("half")
        then()


def test_a_rename_that_fails_puts_the_old_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_json(tmp_path / "folder" / "kept.json", 1)
    rename, calls = os.replace, []

    def replace(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rename(source, target)

    with pytest.raises(CCFError, match="No space left"):
        write_folder(tmp_path / "folder", lambda: monkeypatch.setattr(os, "replace", replace))
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "kept.json"]


@pytest.mark.parametrize("error", [KeyError("x"), CCFError("mine"), KeyboardInterrupt()])
def test_an_error_of_the_writer_itself_passes_and_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as fault:
        write_folder(tmp_path / "folder", fail)
    assert fault.value is error
    assert list(tmp_path.iterdir()) == []


def test_json_that_is_cut_or_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"title": "Ömer"})
    assert read_json(path) == {"title": "Ömer"}
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(CCFError, match=r"a\.json: not valid JSON .* write it again"):
        read_json(path)
    with pytest.raises(CCFError, match=r"b\.json: no such file"):
        read_json(tmp_path / "b.json")
