"""A runner process, as its supervisor sees it."""

from __future__ import annotations

import sys

from workers.child import Child


def test_the_last_words_are_read_to_the_end() -> None:
    """A runner may print much and end at once: what is in the pipe by then was printed before it ended."""
    code = "import os; os.write(1, b'word\\n' * 10_000 + b'the end\\n'); os._exit(3)"
    loss = Child([sys.executable, "-c", code]).exit_reason()
    assert loss.message == "the runner ended with status 3 and no result; its last words: the end"
