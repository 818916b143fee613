import io
import math
import os

import pytest

from workers import protocol


def test_a_frame_arrives_as_it_was_sent_with_its_non_finite_numbers() -> None:
    read_end, write_end = os.pipe()
    protocol.write(write_end, {"type": "iterations", "columns": {"upper_loss": [1.5, math.inf, None]}, "ä": "≠"})
    os.close(write_end)
    with os.fdopen(read_end, "rb") as stream:
        assert protocol.read(stream) == {
            "type": "iterations",
            "columns": {"upper_loss": [1.5, math.inf, None]},
            "ä": "≠",
        }
        assert protocol.read(stream) is None


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x00\x00", "within the length"),
        (b"\x00\x00\x00\x05{}", "within a frame"),
        (b"\x00\x00\x00\x02{]", "not JSON"),
        (b"\x00\x00\x00\x02[]", "not a JSON object"),
        (b"\x00\x00\x00\x02\xff\xfe", "not JSON"),
        (b"\xff\xff\xff\xff", "at most 16,777,216"),
    ],
)
def test_what_is_not_a_frame_is_refused(data: bytes, what: str) -> None:
    with pytest.raises(protocol.ProtocolError, match=what):
        protocol.read(io.BytesIO(data))


def test_a_frame_that_nobody_would_take_is_not_sent() -> None:
    with pytest.raises(protocol.ProtocolError, match="larger than"):
        protocol.encode({"message": "x" * protocol.MAX_FRAME})
