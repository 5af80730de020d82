"""Bytes -> text, never garbled in silence."""

import codecs
import re

from ccf_llm.data.reading import Reading
from ccf_llm.errors import CCFError

BOMS = (  # that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# What stands between ASCII characters in Windows-1252 text: one letter with an accent, or two small ones ("größer"),
# quotation marks around them, a single sign. Other alphabets, and the pairs of bytes of GBK and Shift-JIS, do not look
# like that.
_LETTER = "[À-ÖØ-Þß-öø-ÿŒœŠšŽžŸªº]"
_SMALL = "[ß-öø-ÿœšž]"
_OPEN, _CLOSE = "[“„‘‚«¡¿\xa0–—]", "[”’“»…\xa0–—]"  # noqa: RUF001
_PLAIN = re.compile(rf"{_OPEN}{{0,2}}(?:{_LETTER}|{_SMALL}{{2}})?{_CLOSE}{{0,2}}|[·•®™©°£€§²½¼¾´`]")  # noqa: RUF001
_HIGH = re.compile(r"[^\x00-\x7f]+")
PLAIN_SHARE = 0.9


def decode(content: bytes, path: object, encoding: str = "", reading: Reading | None = None) -> tuple[str, str]:
    """The text of a file and its encoding: `encoding` if given, else UTF-8, UTF-16 and UTF-32 by mark, else
    Windows-1252.

    Windows-1252 (of which Latin-1 is a part) is taken only where the text looks like it, and is noted in `reading`.
    Raises `CCFError` naming the line that cannot be read.
    """
    if encoding:
        return _in(content, encoding, path), encoding
    for mark, named in BOMS:
        if content.startswith(mark):
            return _in(content, named, path), named
    try:
        text, encoding = content.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        text, encoding = _windows(content, path, reading), "cp1252"
    if "\0" in text:
        raise CCFError(f"{path}: holds zero bytes; if it is UTF-16, say so with --encoding utf-16-le")
    return text, encoding


def _in(content: bytes, encoding: str, path: object) -> str:
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except (LookupError, UnicodeError) as error:
        if not isinstance(error, UnicodeDecodeError):
            raise CCFError(f"--encoding {encoding}: no such encoding; try utf-8, cp1252, gbk or utf-16") from None
        line = content[: error.start].decode(encoding, errors="replace").count("\n") + 1
        raise CCFError(f"{path}: line {line} is not {encoding}; correct the line or give another --encoding") from None


def _windows(content: bytes, path: object, reading: Reading | None) -> str:
    lines = content.splitlines()
    bad = [number for number, line in enumerate(lines, start=1) if not line.isascii() and not _is_utf8(line)]
    good = sum(not line.isascii() for line in lines) - len(bad)
    if good:
        raise CCFError(
            f"{path}: line {bad[0]} is not UTF-8 ({len(bad)} such lines, {good} others are); correct the lines or "
            "give the --encoding"
        )
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        text = ""
    groups = _HIGH.findall(text)
    if sum(_PLAIN.fullmatch(group) is not None for group in groups) < PLAIN_SHARE * max(len(groups), 1):
        raise CCFError(
            f"{path}: line {bad[0]} is neither UTF-8 nor Windows-1252; give the encoding, such as --encoding gbk, "
            "cp1251 or shift_jis"
        )
    if reading is not None:
        example = lines[bad[0] - 1].decode("cp1252").strip()
        shown = example if len(example) <= 60 else _around(example)
        reading.note(f"{path}: not UTF-8, read as Windows-1252: {shown!r}; if that is wrong, give the --encoding")
    return text


def _around(line: str) -> str:
    """60 characters of a long line, with the first that is not ASCII among them."""
    found = _HIGH.search(line)
    start = max(0, (found.start() if found else 0) - 30)
    return line[start : start + 60]


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
