import hashlib
from pathlib import Path

from ccf_llm.io.hashing import file_sha256, files_sha256, fingerprint, sha256_of


def test_texts_bytes_and_files_have_one_hash(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes("Ömer".encode())
    expected = hashlib.sha256("Ömer".encode()).hexdigest()
    assert [sha256_of("Ömer"), sha256_of("Ömer".encode()), file_sha256(path)] == [expected] * 3


def test_a_folders_hash_follows_names_and_content_of_what_matches(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.txt").write_text("b")
    (tmp_path / "a.txt").write_text("a")
    lines = "".join(f"{name} {sha256_of(text)}\n" for name, text in (("a.txt", "a"), ("in/b.txt", "b")))
    assert files_sha256(tmp_path, "**/*") == sha256_of(lines)
    assert files_sha256(tmp_path, "**/*", but=["b.txt"]) == files_sha256(tmp_path, "*.txt")
    assert files_sha256(tmp_path, "*.txt") == sha256_of(lines.splitlines(keepends=True)[0])


def test_a_fingerprint_follows_the_values_alone() -> None:
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
