"""Text in other encodings than UTF-8: told by its first bytes or by its words, or by a person; never by chance."""

from __future__ import annotations

import codecs
import re
import shlex
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

from hposvc.tables.rows import refused

CHUNK = 1024 * 1024  # bytes
MOST_WORDS = 20_000  # that are looked at
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_WORD = re.compile(rb"[^\s,;|\"]*[\x80-\xff][^\s,;|\"]*")
_WESTERN = "àáâãäåæçèéêëìíîïñòóôõöøœšžßùúûüýÿ"
_SIGNS = "€£¥§©®°±²³µ¹ºª½¼¾×÷«»¡¿‘’“”„‚–—…™•\u00a0"  # noqa: RUF001 - those of Windows-1252
_BETWEEN_LETTERS = "’-·"
_MOSTLY = 0.7  # of the letters of words with accents, those with accents: more are no western words


def as_utf8(path: Path, folder: Path, encoding: str | None) -> tuple[Path, str | None]:
    """The text of a file in UTF-8, and what to say of its encoding: ``path`` itself, or a copy in ``folder``.

    Raises DataError: it is no text, or nobody can tell its encoding.
    """
    if encoding is not None:
        try:
            known = codecs.lookup(encoding)
        except LookupError:
            raise refused("encoding", f"there is no encoding {encoding!r}", "name one such as cp1252") from None
        if not known._is_text_encoding:  # noqa: SLF001 - Python has no other way to ask
            raise refused("encoding", f"{encoding!r} is no encoding of text", "name one such as cp1252")
        return _written(path, folder, known.name), None
    with path.open("rb") as file:
        start = file.read(4096)
    marked = next((name for mark, name in _MARKS.items() if start.startswith(mark)), None) or _without_mark(start)
    if marked is not None:
        return _written(path, folder, marked), f"The file is read as {marked.upper()}."
    wrong = _not_utf8(path)
    if wrong is None:
        return path, None
    words = list(islice(_words(path), MOST_WORDS))
    if not wrong.at_end and (shown := _western(words)) is not None:
        said = (
            f"The file is not UTF-8. It is read as Windows-1252, with words such as {shown!r}: if they are wrong, name "
            "its encoding, such as --encoding cp1250."
        )
        return _written(path, folder, "cp1252"), said
    end = "the file ends within a character" if wrong.at_end else f"line {wrong.line} is not UTF-8"
    raise refused("body", end, f"save it as CSV UTF-8, or name its encoding{_hint(path)}")


class _Wrong:
    def __init__(self, line: int, *, at_end: bool) -> None:
        self.line, self.at_end = line, at_end


def _not_utf8(path: Path) -> _Wrong | None:
    """Where the file stops being UTF-8. Raises DataError: a null character."""
    decoder, line = codecs.getincrementaldecoder("utf-8")(), 1
    for chunk in _chunks(path):
        if b"\x00" in chunk:
            line += chunk[: chunk.index(b"\x00")].count(b"\n")
            raise refused("body", f"line {line} has a null character", "send text, or a Parquet or NPZ file")
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError as error:
            return _Wrong(line + chunk[: max(0, error.start)].count(b"\n"), at_end=False)
        line += chunk.count(b"\n")
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return _Wrong(line, at_end=True)
    return None


def _without_mark(start: bytes) -> str | None:
    """UTF-16 of mostly ASCII, by the nulls in every second place."""
    even, odd = start[::2].count(0), start[1::2].count(0)
    half = len(start) // 2
    if odd > 0.6 * half and not even:
        return "utf-16-le"
    return "utf-16-be" if even > 0.6 * half and not odd else None


def _western(words: list[bytes]) -> str | None:
    """A word of a western language with its accents, if all words are such in Windows-1252."""
    try:
        decoded = [word.decode("cp1252") for word in words]
    except UnicodeDecodeError:
        return None
    if _odd(" ".join(decoded)):
        return None
    return next((word for word in decoded if any(letter in _WESTERN for letter in word.lower())), decoded[0])


def _odd(text: str) -> bool:
    """Whether words have what those of western languages have not: the text is in another encoding, then."""
    letters = [letter for letter in text if letter.isalpha()]
    accents = sum(not letter.isascii() for letter in letters)
    inner = re.findall(r"(?<=[^\W\d_])[^\w\s](?=[^\W\d_])|(?<=[^\W\d_])[²³¹½¼¾ªº](?=[^\W\d_])", text)
    return (
        text.count("“") != text.count("”")
        or accents > _MOSTLY * len(letters)
        or not all(letter in _WESTERN + _SIGNS for letter in text.lower() if not letter.isascii())
        or any(not sign.isascii() and sign not in _BETWEEN_LETTERS for sign in inner)
        or re.search(r"[£¥][^\W\d_]", text) is not None
        or any(a.islower() and b.isupper() and not b.isascii() for a, b in pairwise(text))
    )


def _words(path: Path) -> Iterator[bytes]:
    for chunk in _chunks(path):
        yield from (found[0] for found in _WORD.finditer(chunk))


def _hint(path: Path) -> str:
    """The encoding that a library takes it for: a proposal, which is often wrong for few words."""
    from charset_normalizer import from_bytes  # here: few files need it

    words = list(islice(_words(path), 2000))
    best = from_bytes(b"\n".join(words)).best() if words else None
    return f", which might be --encoding {shlex.quote(best.encoding)}" if best else ", such as --encoding cp1252"


def _written(path: Path, folder: Path, encoding: str) -> Path:
    """A copy of the file in UTF-8. Raises DataError: it is not in ``encoding``."""
    decoder, target, line = codecs.getincrementaldecoder(encoding)(), folder / "text.csv", 1
    with target.open("w", encoding="utf-8", newline="") as out:
        try:
            for chunk in _chunks(path):
                text = decoder.decode(chunk)
                if "\x00" in text:
                    raise refused("body", f"line {line} has a null character", "name its encoding by --encoding")
                out.write(text)
                line += text.count("\n")
            out.write(decoder.decode(b"", final=True))
        except UnicodeError:
            raise refused(
                "body", f"at line {line} or below it is not {encoding}", "save it as CSV UTF-8, or name its encoding"
            ) from None
    return target


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk
