"""Text files in blocks of whole lines, so that a large table never stands in memory as text."""

import codecs
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

BLOCK = 1 << 22
"""Bytes that are text at a time; a longer line is a block of its own."""


@dataclass(frozen=True)
class Blocks:
    """A text in UTF-8, read anew each time that it is gone through; all kinds of line ends become one."""

    source: bytes | Path
    """Its content, or the file that holds it."""
    skip: int = 0
    """Characters at its start that are no part of it."""

    def __iter__(self) -> Iterator[str]:
        skip = self.skip
        for number, block in enumerate(_whole_lines(self.source)):
            text = block.decode("utf-8-sig" if not number else "utf-8").replace("\r\n", "\n").replace("\r", "\n")
            yield text[skip:]
            skip = 0

    @property
    def is_plain(self) -> bool:
        """Whether it is UTF-8 without zero bytes throughout, so that it can be read in this way."""
        try:
            return all(b"\0" not in block and block.decode() is not None for block in _whole_lines(self.source))
        except UnicodeDecodeError:
            return False

    @property
    def is_marked(self) -> bool:
        """Whether it begins with UTF-8's mark."""
        with _opened(self.source) as file:
            return file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8


def _whole_lines(source: bytes | Path) -> Iterator[bytes]:
    with _opened(source) as file:
        rest: list[bytes] = []  # of a line that has not ended
        while block := file.read(BLOCK):
            lines, end, begun = block.rpartition(b"\n")
            if end:
                yield b"".join([*rest, lines, end])
                rest = []
            rest.append(begun)
        if last := b"".join(rest):
            yield last


def _opened(source: bytes | Path) -> IO[bytes]:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
