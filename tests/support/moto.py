"""An S3 store: moto's server, in an environment of its own that ``make test`` makes, on a free loopback port."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BINARY = Path(__file__).parents[2] / ".peers" / "moto" / "bin" / "moto_server"


@dataclass(frozen=True)
class Moto:
    """A running server with one bucket."""

    url: str
    bucket: str  # a name of its own: this process keeps connections by the name of the bucket
    pid: int

    @property
    def variables(self) -> dict[str, str]:
        """What a process needs to reach it."""
        return {
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
        }


@contextlib.contextmanager
def moto(directory: Path) -> Iterator[Moto]:
    """A server while the block runs; its log goes to ``directory``."""
    assert BINARY.exists(), "run: make .peers/moto/.installed"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (directory / "moto.log").open("wb") as log:
        server = subprocess.Popen([BINARY, "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log)
    url, bucket = f"http://127.0.0.1:{port}", f"bucket-{port}"
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"{url}/moto-api/data.json", timeout=10).close()
                break
            except OSError:
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
        urllib.request.urlopen(urllib.request.Request(f"{url}/{bucket}", method="PUT"), timeout=60).close()
        yield Moto(url, bucket, server.pid)
    finally:
        server.terminate()
        server.wait()
