"""The header of a safetensors file: eight bytes of length, then JSON; the bytes of the tensors follow."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any, BinaryIO

LONGEST_HEADER = 100_000_000  # bytes; the format's own limit


def metadata(content: bytes) -> dict[str, str]:
    """The texts that were saved beside the tensors. Raises ValueError or KeyError: there are none."""
    header, _ = _header(BytesIO(content))
    found: dict[str, str] = header["__metadata__"]
    return found


def tensor_bytes(stream: BinaryIO, name: str) -> bytes:
    """The bytes of one tensor, without reading the others. Raises KeyError: it is not there; ValueError."""
    header, start = _header(stream)
    begin, end = header[name]["data_offsets"]
    stream.seek(start + begin)
    return stream.read(end - begin)


def _header(stream: BinaryIO) -> tuple[dict[str, Any], int]:
    """The header, and where the tensors begin."""
    length = int.from_bytes(stream.read(8), "little")
    if length > LONGEST_HEADER:
        raise ValueError("not a safetensors file")
    return json.loads(stream.read(length)), 8 + length
