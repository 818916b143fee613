"""What is wrong with a loss of one's own."""

from __future__ import annotations

from hposvc.copyable import Copyable


class LossError(Copyable, ValueError):
    """A loss cannot be used. ``loss`` names it; ``message`` says what is wrong and ``remedy`` how to mend it."""

    def __init__(self, loss: str, message: str, remedy: str) -> None:
        super().__init__(f"{loss}: it {message}; {remedy}")
        self.loss = loss
        self.message = message
        self.remedy = remedy
