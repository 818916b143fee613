"""Files are whole or as they were, and the headers of safetensors files are read without the tensors."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from hposvc.files.durable import replacing, sha256_of
from hposvc.files.tensors import metadata, tensor_bytes


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with pytest.raises(TypeError), replacing(path) as stream:
        print("half", file=stream)  # a stream of bytes takes no text
    assert path.read_bytes() == b"before"
    with replacing(path) as stream:
        stream.write(b"after")
        assert path.read_bytes() == b"before"
    assert path.read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [path]
    assert sha256_of(path) == hashlib.sha256(b"after").hexdigest()


def test_the_header_of_safetensors() -> None:
    tensors = {"a": np.arange(3.0), "b": np.frombuffer(b"bytes", np.uint8)}
    content = save(tensors, metadata={"numbers": "{}"})
    assert metadata(content) == {"numbers": "{}"}
    assert tensor_bytes(io.BytesIO(content), "b") == b"bytes"
    with pytest.raises(KeyError):
        tensor_bytes(io.BytesIO(content), "c")
    with pytest.raises(ValueError, match="not a safetensors file"):
        tensor_bytes(io.BytesIO(b"\xff" * 100), "a")
