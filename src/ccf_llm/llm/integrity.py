"""Telling a sound folder of model files from a damaged one."""

from pathlib import Path
from typing import Any

from ccf_llm.errors import CCFError
from ccf_llm.io.files import read_json
from ccf_llm.io.hashing import file_sha256

MANIFEST = "manifest.json"


def manifest_of(folder: Path, about: dict[str, str]) -> dict[str, Any]:
    """`about`, and the size and SHA-256 of every file in the folder."""
    files = {path.name: path for path in sorted(folder.iterdir()) if path.is_file() and path.name != MANIFEST}
    return about | {
        "files": {name: {"bytes": path.stat().st_size, "sha256": file_sha256(path)} for name, path in files.items()}
    }


def find_damage(folder: Path, about: dict[str, str]) -> str | None:
    """What is wrong with a folder that a manifest was written to, or None if it is as it was written."""
    if not folder.is_dir():
        return f"{folder}: no such folder"
    try:
        manifest = read_json(folder / MANIFEST)
        if any(manifest[key] != value for key, value in about.items()):
            return f"{folder}: made from something else"
        files = manifest["files"]
        for name, recorded in files.items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != recorded["bytes"]:
                return f"{path}: missing or cut"
            if file_sha256(path) != recorded["sha256"]:
                return f"{path}: changed since it was written"
    except CCFError as error:
        return str(error)
    except (KeyError, TypeError, AttributeError):
        return f"{folder / MANIFEST}: not a manifest"
    return None
