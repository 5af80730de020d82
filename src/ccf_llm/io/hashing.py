"""SHA-256 of texts, values and files, in hexadecimal."""

import hashlib
import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any


def sha256_of(content: str | bytes) -> str:
    """SHA-256 of bytes, or of a text in UTF-8."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def pieces_sha256(pieces: Iterable[bytes]) -> str:
    """SHA-256 of a sequence of pieces. Each goes in with its length, so no other sequence gives the same bytes."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(len(piece).to_bytes(8, "little"))
        digest.update(piece)
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_sha256(folder: Path, pattern: str, but: Collection[str] = ()) -> str:
    """SHA-256 over the names and SHA-256s of the folder's files that match `pattern`, but for those of these names."""
    files = sorted(path for path in folder.glob(pattern) if path.is_file() and path.name not in but)
    return sha256_of("".join(f"{path.relative_to(folder).as_posix()} {file_sha256(path)}\n" for path in files))


def fingerprint(value: Any) -> str:
    """A short hash of plain values, by which a changed setting is noticed."""
    return sha256_of(json.dumps(value, sort_keys=True, default=str))[:16]
