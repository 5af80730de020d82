"""Nobody ever sees half a file, also when the disk is full."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.torch import save_file

from ccf_llm.errors import CCFError
from ccf_llm.io import files
from ccf_llm.io.files import atomic_file, atomic_folder, only_one, own_folder, read_json, write_json
from faults import small_disk

LARGE = 200_000


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


SWAPS = pytest.mark.parametrize("swaps", [True, False], ids=["in one step", "in two steps"])
"""As Linux does it, and as other systems and some file systems have to."""


def without_swap(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(files, "_exchange", lambda one, other: False)


def content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@SWAPS
def test_a_new_folder_takes_the_place_of_the_old_one(
    swaps: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not swaps:
        without_swap(monkeypatch)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").write_text("kept")
    (tmp_path / "link").symlink_to("elsewhere")
    for name in ("folder", "folder", "link"):
        write_folder(tmp_path / name, lambda: None)
    assert content(tmp_path) == {"folder/new": "half", "link/new": "half", "elsewhere/kept": "kept"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "folder", "link"]


def test_linux_swaps_names(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_json(tmp_path / name / "name.json", name)
    assert files._exchange(tmp_path / "one", tmp_path / "other")
    assert read_json(tmp_path / "one" / "name.json") == "other"
    assert read_json(tmp_path / "other" / "name.json") == "one"
    with pytest.raises(FileNotFoundError):
        files._exchange(tmp_path / "one", tmp_path / "none")


def test_a_file_in_the_way_is_kept(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("kept")
    with pytest.raises(CCFError, match=r"cannot write .*folder: Not a directory"):
        write_folder(tmp_path / "folder", lambda: None)
    assert content(tmp_path) == {"folder": "kept"}


@pytest.mark.parametrize("failing", [1, 2])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyError("x"), KeyboardInterrupt()], ids=repr)
def test_a_step_that_fails_leaves_the_old_folder(
    error: BaseException, failing: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json(tmp_path / "folder" / "kept.json", 1)
    without_swap(monkeypatch)
    rename, calls = os.replace, []

    def replace(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == failing:
            raise error
        rename(source, target)

    with pytest.raises(CCFError if isinstance(error, OSError) else type(error)):
        write_folder(tmp_path / "folder", lambda: monkeypatch.setattr(os, "replace", replace))
    assert content(tmp_path) == {"folder/kept.json": "1\n"}
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


KILLED = """
import os, sys
from pathlib import Path
from ccf_llm.io import files

steps, swaps, target = int(sys.argv[1]), sys.argv[2] == "True", Path(sys.argv[3])

def ending(step):
    def then_end(*names):
        global steps
        done = step(*names)
        steps -= 1
        if steps == 0:
            os._exit(9)
        return done
    return then_end

with files.atomic_folder(target) as temporary:
    (temporary / "new").write_text("whole")
    files.os.replace = ending(os.replace)
    files._exchange = ending(files._exchange) if swaps else lambda one, other: False
    files._remove = ending(files._remove)
    if steps == 0:
        os._exit(9)
"""


@pytest.mark.parametrize(
    ("steps", "swaps", "there"),
    [
        (0, True, "old"),  # before the new one is complete
        (1, True, "new"),  # right after the swap
        (0, False, "old"),
        (1, False, None),  # the old one has been moved away
        (2, False, "new"),  # the new one has its name
    ],
)
def test_a_kill_leaves_one_of_the_two_or_the_next_write_brings_it_back(
    steps: int, swaps: bool, there: str | None, tmp_path: Path
) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").write_text("whole")
    command = [sys.executable, "-c", KILLED, str(steps), str(swaps), str(target)]
    assert subprocess.run(command, timeout=60).returncode == 9
    assert (content(target) if target.exists() else None) == (there and {there: "whole"})
    assert len(list(tmp_path.iterdir())) > 1  # the killed process could not tidy up

    def fail() -> None:
        assert content(target) == {there or "old": "whole"}
        raise KeyError

    with pytest.raises(KeyError):
        write_folder(target, fail)
    assert content(tmp_path) == {f"folder/{there or 'old'}": "whole"}
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_what_a_running_process_writes_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    with atomic_folder(target) as first:
        (first / "first").write_text("whole")
        write_folder(target, lambda: None)
        assert content(target) == {"new": "half"}
    assert content(tmp_path) == {"folder/first": "whole"}


@pytest.mark.parametrize("error", [KeyError("x"), CCFError("mine"), KeyboardInterrupt()])
def test_an_error_of_the_writer_itself_passes_and_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as fault:
        write_folder(tmp_path / "folder", fail)
    assert fault.value is error
    assert list(tmp_path.iterdir()) == []


def test_a_scratch_folder_is_of_one_process_and_what_killed_ones_left_goes(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    mine = own_folder(tmp_path / "scratch")
    assert list(tmp_path.iterdir()) == []
    left, running = (mine.with_name(mine.name.replace(str(os.getpid()), str(p))) for p in (gone.pid, os.getppid()))
    for folder in (left, running, tmp_path / "scratch", tmp_path / "other"):
        folder.mkdir()
    assert own_folder(tmp_path / "scratch") == mine
    assert {path.name for path in tmp_path.iterdir()} == {running.name, "scratch", "other"}
    assert own_folder(tmp_path / "nowhere" / "scratch").name == mine.name


HOLDS = """
import sys, time
from pathlib import Path
from ccf_llm.io.files import only_one
with only_one(Path(sys.argv[1]), "writing"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_one_process_at_a_time_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    other = subprocess.Popen([sys.executable, "-c", HOLDS, str(folder)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with (
        pytest.raises(CCFError, match=r"new: another process is writing there; wait for it"),
        only_one(folder, "writing"),
    ):
        pass
    other.kill()
    other.communicate()
    with only_one(folder, "writing"):
        assert list(folder.iterdir()) == []


def test_json_that_is_cut_or_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"title": "Ömer"})
    assert read_json(path) == {"title": "Ömer"}
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(CCFError, match=r"a\.json: not valid JSON .* write it again"):
        read_json(path)
    with pytest.raises(CCFError, match=r"b\.json: no such file"):
        read_json(tmp_path / "b.json")
