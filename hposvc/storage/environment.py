"""What of a process's environment reaching a store takes: its address, its keys, the way through a proxy."""

from __future__ import annotations

import re
from collections.abc import Mapping

PREFIXES = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}
NETWORK = re.compile(r"HOME|SSL_CERT_(FILE|DIR)|\w+_proxy", re.IGNORECASE)  # below HOME lie files of keys


def of_store(url: str, variables: Mapping[str, str]) -> dict[str, str]:
    """Those of ``variables`` that a process needs to read the store at ``url``; for a folder, none."""
    prefix = PREFIXES.get(url.partition("://")[0])
    if prefix is None:
        return {}
    return {name: value for name, value in variables.items() if name.startswith(prefix) or NETWORK.fullmatch(name)}
