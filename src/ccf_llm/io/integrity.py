"""Telling a sound folder from a damaged one: its manifest holds the SHA-256 of every file."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ccf_llm.errors import CCFError
from ccf_llm.io.files import atomic_folder, read_json, write_json
from ccf_llm.io.hashing import file_sha256

MANIFEST = "manifest.json"
NOTHING: Mapping[str, str] = MappingProxyType({})


@contextmanager
def sealed_folder(path: Path, about: Mapping[str, str] = NOTHING) -> Iterator[Path]:
    """As `atomic_folder`; once it is complete, a manifest is put beside its files."""
    with atomic_folder(path) as temporary:
        yield temporary
        write_json(temporary / MANIFEST, manifest_of(temporary, about))


def check_folder(folder: Path) -> None:
    """Raise `CCFError` naming the first file that is not as `sealed_folder` wrote it; older folders tell nothing."""
    if (Path(folder) / MANIFEST).exists() and (damage := find_damage(Path(folder))) is not None:
        raise CCFError(f"{damage}; make the folder again (if the change was meant, delete its {MANIFEST})")


def manifest_of(folder: Path, about: Mapping[str, str] = NOTHING) -> dict[str, Any]:
    """`about`, and the size and SHA-256 of every file; of a folder inside that has a manifest, those of the latter."""
    files = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    return {
        **about,
        "files": {name: {"bytes": path.stat().st_size, "sha256": file_sha256(path)} for name, path in files.items()},
    }


def find_damage(folder: Path, about: Mapping[str, str] = NOTHING) -> str | None:
    """What is wrong with a folder that a manifest was written to, or None if it is as it was written."""
    if not folder.is_dir():
        return f"{folder}: no such folder"
    try:
        manifest = read_json(folder / MANIFEST)
        if any(manifest[key] != value for key, value in about.items()):
            return f"{folder}: made from something else"
        for name, recorded in manifest["files"].items():
            path = folder / name
            if not path.is_file():
                return f"{path}: no such file"
            if path.stat().st_size != recorded["bytes"] or file_sha256(path) != recorded["sha256"]:
                return f"{path}: cut or damaged, it is not what {MANIFEST} records"
    except (CCFError, OSError) as error:
        return str(error)
    except (KeyError, TypeError, AttributeError, ValueError):
        return f"{folder / MANIFEST}: not a manifest"
    return None


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if not path.is_dir():
            yield from [path] if path.name != MANIFEST else []
        elif (path / MANIFEST).is_file():
            yield path / MANIFEST
        else:
            yield from _files(path)
