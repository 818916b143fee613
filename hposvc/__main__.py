"""``python -m hposvc`` is the ``hposvc`` command."""

from hposvc.cli import main

main()
