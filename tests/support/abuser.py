"""One tenant that does its worst with a valid key.

    python -m tests.support.abuser URL KEY SCALE

``SCALE`` 1 is the whole form, with 1,100 idle connections, 600 streams and a data set of millions of rows. It begins at
the line ``go`` and stops at the line ``rest``; it says ``begun`` when each of its works is under way, and ``resting``
when none is. When its standard input ends, it says what it got, by status.
"""

from __future__ import annotations

import io
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import httpx
import pyarrow as pa
import pyarrow.parquet as pq

SPEC = {"kind": "data_reweighting", "dataset": {"id": "sklearn:iris"}, "stop": {"iterations": 5}}
ROWS = 5_000_000
CSV = b"a,b,target\n" + b"".join(b"%d,%d,%d\n" % (number, number * 7 % 1000, number % 2) for number in range(8_000))


class Abuser:
    """Threads, each of which sends one kind of request as fast as it gets responses."""

    def __init__(self, url: str, key: str, scale: float) -> None:
        self.scale = scale
        self.counts: Counter[str] = Counter()
        self._going = threading.Event()
        self._under_way = 0
        self._change = threading.Condition()
        self._address = (urlsplit(url).hostname or "", urlsplit(url).port or 80)
        self._key = key
        self._client = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            trust_env=False,
            timeout=60,
            limits=httpx.Limits(max_connections=None),
        )

    def many(self, number: int) -> int:
        return max(2, round(number * self.scale))

    def prepare(self) -> None:
        """Jobs with long specs, and a small file that holds much."""
        features = [f"{'x' * 150} {column}" for column in range(2_000)]
        self.long = SPEC | {"dataset": {"id": "sklearn:iris", "features": features}}
        sink = io.BytesIO()
        rows = max(10_000, round(ROWS * self.scale))
        pq.write_table(pa.table({"a": pa.array([1, 2] * (rows // 2)), "target": ["x", "y"] * (rows // 2)}), sink)
        answer = self._client.post("/v1/datasets", content=sink.getvalue(), timeout=600)
        answer.raise_for_status()
        self.large = SPEC | {"dataset": {"id": answer.json()["id"]}}

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Waits until it may go; then something is under way."""
        self._going.wait()
        with self._change:
            self._under_way += 1
        try:
            yield
        finally:
            with self._change:
                self._under_way -= 1
                self._change.notify_all()

    def send(self, kind: str, method: str, path: str, **options: object) -> Callable[[], None]:
        def again() -> None:
            while True:
                with self.turn():
                    answer = self.request(kind, method, path, **options)
                if answer is not None and answer.status_code == 429:
                    time.sleep(0.1)

        return again

    def request(self, kind: str, method: str, path: str, **options: object) -> httpx.Response | None:
        """The response to a request, which is counted; None if the connection broke."""
        with suppress(httpx.HTTPError):
            answer = self._client.request(method, path, **options)  # type: ignore[arg-type]
            self.counts[f"{kind} {answer.status_code}"] += 1
            return answer
        return None

    def end_jobs(self) -> None:
        """Jobs that end at once: each is a message to all webhooks."""
        while True:
            with self.turn():
                answer = self.request("submit", "POST", "/v1/jobs", json=SPEC)
                if answer is not None and answer.status_code == 202:
                    self.request("cancel", "POST", f"{answer.headers['Location']}/cancel")
                    continue
            time.sleep(0.1)

    def hold(self, kind: str, number: int, said: bytes) -> Callable[[], None]:
        """Keep ``number`` connections open on which ``said`` was sent; those that end are opened anew."""

        def again() -> None:
            held: list[socket.socket] = []
            while True:
                with self.turn():
                    while self._going.is_set():
                        self.fill(held, kind, number, said)
                        time.sleep(0.2)
                    while held:
                        held.pop().close()

        return again

    def fill(self, held: list[socket.socket], kind: str, number: int, said: bytes) -> None:
        """Open connections until there are ``number``, and forget those that ended."""
        while len(held) < number and self._going.is_set():
            with suppress(OSError):
                connection = socket.create_connection(self._address, timeout=5)
                connection.sendall(said)
                held.append(connection)
                self.counts[f"{kind} opened"] += 1
        for connection in list(held):
            connection.setblocking(False)
            with suppress(BlockingIOError):
                try:
                    over = not connection.recv(65536)
                except ConnectionError:
                    over = True
                if over:
                    connection.close()
                    held.remove(connection)

    def run(self) -> None:
        self.prepare()
        wide = json.dumps(SPEC | {"dataset": {"id": "sklearn:iris", "features": [1] * 110_000}}).encode()
        unknown = json.dumps(SPEC | {"solver": {f"field {number}": number for number in range(1_900)}}).encode()
        listed = "kind: data_reweighting\ndataset: {id: x, features: [" + "a, " * 50_000 + "b]}\n"
        as_json, as_yaml = {"Content-Type": "application/json"}, {"Content-Type": "application/yaml"}
        shown = f"Host: 127.0.0.1\r\nAuthorization: Bearer {self._key}\r\nAccept: text/event-stream\r\n\r\n"
        job = self._client.post("/v1/jobs", json=SPEC).json()["id"]
        works = [
            (self.send("wide", "POST", "/v1/jobs", content=wide, headers=as_json), 10),
            (self.send("unknown", "POST", "/v1/jobs", content=unknown, headers=as_json), 5),
            (self.send("yaml", "POST", "/v1/jobs", content=listed.encode(), headers=as_yaml), 10),
            (self.send("upload", "POST", "/v1/datasets?label=b&name=x", content=CSV), 60),
            (self.send("check", "POST", "/v1/jobs?dry_run=true", json=self.large), 10),
            (self.send("long spec", "POST", "/v1/jobs", json=self.long), 5),
            (self.end_jobs, 5),
            (self.send("list", "GET", "/v1/jobs?limit=1000"), 10),
            (self.send("search", "GET", "/v1/jobs?text=nothing&order=dataset&limit=1000"), 20),
            (self.send("data sets", "GET", "/v1/datasets?limit=1000"), 5),
            (self.hold("stream", self.many(600), f"GET /v1/jobs/{job}/events HTTP/1.1\r\n{shown}".encode()), 0),
            (self.hold("idle", self.many(1_100), b"GET / HTTP/1.1\r\n"), 0),
        ]
        threads = [
            threading.Thread(target=work, daemon=True)
            for work, number in works
            for _ in range(self.many(number) if number else 1)
        ]
        for thread in threads:
            thread.start()
        kinds = {"wide", "unknown", "yaml", "upload", "long spec", "submit", "list", "search", "data sets"}
        for line in sys.stdin:
            if line == "go\n":
                self._going.set()
                while not {name.rpartition(" ")[0] for name in self.counts} >= kinds:
                    time.sleep(0.05)
                print("begun", flush=True)
            else:
                self.rest()
                print("resting", flush=True)
        self.rest()
        print(json.dumps(self.counts), flush=True)

    def rest(self) -> None:
        """Stop, and wait until nothing is under way."""
        self._going.clear()
        with self._change:
            self._change.wait_for(lambda: not self._under_way)


if __name__ == "__main__":
    Abuser(sys.argv[1], sys.argv[2], float(sys.argv[3])).run()
