"""Documents made to be costly: to read, check and refuse them takes time and memory in proportion to their size."""

from __future__ import annotations

import gc
import json
import random
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from api.http import limits
from api.http.body import Body, read
from api.http.problem_details import MOST_ERRORS, HTTPProblem
from api.http.validation import parse_spec
from tests.support.problems import problem
from tests.support.serving import SPEC, Server

SMALL, FACTOR = 16_000, 8  # bytes; and so many times as many


def widened(**fields: Any) -> bytes:
    return json.dumps(SPEC | fields).encode()


def unknown_fields(size: int) -> bytes:
    return widened(**{f"f{number}": 1 for number in range(size // 12)})


def repeated_key(size: int) -> bytes:
    members = ", ".join(f'"k{number}": 1' for number in range(size // 12))
    return f'{{{members}, "k{size // 12 - 1}": 2}}'.encode()


def long_key(size: int) -> bytes:
    return json.dumps({"x" * (size // 2): [None] * (size // 12)}).encode()


def long_keys_in_depth(size: int) -> bytes:
    document: Any = [float("nan")] * (size // 8)
    for number in range(limits.MAX_DEPTH - 2):
        document = {f"{number}" + "y" * (size // 100): document}
    return json.dumps(document).encode()


def keys_below_the_limit(size: int) -> bytes:
    document: Any = [float("nan")] * (size // 8)
    for number in range(10):
        document = {f"{number:03}" + "z" * (limits.MAX_KEY - 3): document}
    return json.dumps(document).encode()


def wrong_classes(size: int) -> bytes:
    weights = {f"{number:0200}": -1 for number in range(size // 210)}
    return widened(loss={"type": "cross_entropy", "class_weights": weights})


def misspelt_column(size: int) -> bytes:
    return widened(dataset={"id": "sklearn:iris", "features": [1] * (size // 3)})


def long_text(size: int) -> bytes:
    return widened(name="n" * size, kind="k" * 1000, **{"m" * 400: 1})


def depth(size: int) -> bytes:
    return b"[" * size


def empty_lists(size: int) -> bytes:
    return b"[" + b"[]," * (size // 3) + b"[]]"


def yaml_fields(size: int) -> bytes:
    return b"".join(b"f%d: 1\n" % number for number in range(size // 10))


def yaml_list(size: int) -> bytes:
    return b"kind: [" + b"1," * (size // 2) + b"1]"


def yaml_repeated(size: int) -> bytes:
    return yaml_fields(size) + b"f0: 1\n"


def yaml_long_key(size: int) -> bytes:
    return b"? " + b"x" * size + b"\n: 1\n"


def yaml_one_line(size: int) -> bytes:
    return b"{" + b"a: {" * 20 + b"k, " * (size // 3) + b"}" * 21


def yaml_unclosed(size: int) -> bytes:
    return b"name: '" + b"x " * (size // 2)


def yaml_digits(size: int) -> bytes:
    return b"kind: 0x" + b"f" * size + b"\npriority: " + b"1:" * (size // 2) + b"1"


JSON: list[Callable[[int], bytes]] = [
    unknown_fields,
    repeated_key,
    long_key,
    long_keys_in_depth,
    keys_below_the_limit,
    wrong_classes,
    misspelt_column,
    long_text,
    depth,
    empty_lists,
]
YAML: list[Callable[[int], bytes]] = [
    yaml_fields,
    yaml_list,
    yaml_repeated,
    yaml_long_key,
    yaml_one_line,
    yaml_unclosed,
    yaml_digits,
]


def refused(body: Body) -> bytes:
    """The answer to a document."""
    with pytest.raises(HTTPProblem) as raised:
        parse_spec(read(body))
    return bytes(raised.value.response("/v1/jobs").body)


def processor_time(body: Body) -> float:
    begun = time.thread_time()
    refused(body)
    return time.thread_time() - begun


@pytest.fixture
def frozen() -> Iterator[None]:
    """As in the API, looking for garbage leaves out what was there from the start."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("make", [*JSON, *YAML], ids=lambda make: make.__name__)
def test_time_and_memory_grow_no_faster_than_a_document(make: Callable[[int], bytes]) -> None:
    small, large = (Body(make(SMALL * times), make in YAML) for times in (1, FACTOR))
    assert len(large.content) > 4 * len(small.content)
    base = min(processor_time(small) for _ in range(3))
    grown = min(processor_time(large) for _ in range(2))
    assert grown < 3 * FACTOR * max(base, 0.001), (base, grown)
    tracemalloc.start()
    answer = refused(large)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300 * len(large.content), peak
    assert len(answer) < 60_000


def made_up(draw: random.Random, depth: int) -> Any:
    """Some value, often of a width or a depth that nobody would send."""
    kind = draw.randrange(8 if depth else 5)
    if kind >= 5:
        width = draw.choice((0, 1, 2, 5, 30))
        names = [
            draw.choice(("kind", "dataset", "id", "split", "model", "type", "x" * draw.randrange(600)))
            for _ in range(width)
        ]
        values = [made_up(draw, depth - 1) for _ in range(width)]
        return values if kind == 7 else dict(zip(names, values, strict=True))
    texts = ("", "data_reweighting", "sklearn:iris", "1:30", "2024-02-30", "\ud800", "a\x00", "=1", "é" * 300)
    numbers = (0, -1, 2**63, 10**400, 1.5, float("nan"), float("inf"), -0.0)
    return draw.choice((None, True, draw.choice(texts), draw.choice(texts), draw.choice(numbers)))


def test_whatever_is_sent_gets_a_short_answer_that_is_a_problem() -> None:
    draw = random.Random(7)
    for _ in range(300):
        document = made_up(draw, 5)
        text = json.dumps(document)
        for body in (
            Body(text.encode(), False),
            Body(text.encode(), True),
            Body(text[: len(text) // 2].encode(), True),
        ):
            assert len(refused(body)) < 60_000


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("priority: 1:30", "quotes"),
        ("priority: " + "1:" * 400 + "1", "quotes"),
        ("priority: 1:30.5", "quotes"),
        ("name: 2024-01-15", "quotes"),
        ("name: !!binary aGVsbG8=", "tag"),
        ("name: !!int x", "tag"),
        ("name: !!bool maybe", "tag"),
        ("name: !!timestamp 2024", "tag"),
        ("tags: !!set {a}", "tag"),
    ],
)
def test_yaml_that_means_something_else_is_refused_with_its_place(client: httpx.Client, text: str, word: str) -> None:
    answer = client.post("/v1/jobs", content=text, headers={"Content-Type": "application/yaml"})
    detail = problem(answer, 400, "malformed-body")["detail"]
    assert word in detail
    assert "line 1" in detail


def test_yaml_says_what_json_says() -> None:
    text = (
        "a: [1, -2, 0x1F, 017, 0b11, 1_000, 1.5, 1e3, .5, 3.0]\n"
        "b: {yes: ~, 'no': no, d: '1:30', e: \"2024-01-15\", f: !!str 12, g: 08}\nc: |\n  x\n  y\n"
    )
    with pytest.raises(HTTPProblem):
        read(Body(text.encode(), True))  # a key must be text, and yes is none
    assert read(Body(text.replace("yes:", "'yes':").encode(), True)) == {
        "a": [1, -2, 31, 15, 3, 1000, 1.5, 1000, 0.5, 3],
        "b": {"yes": None, "no": False, "d": "1:30", "e": "2024-01-15", "f": "12", "g": "08"},
        "c": "x\ny\n",
    }
    assert read(Body(b"", True)) is None


def test_the_first_twenty_errors_are_listed_and_the_rest_is_said(client: httpx.Client) -> None:
    content = unknown_fields(20_000)
    answer = client.post("/v1/jobs", content=content, headers={"Content-Type": "application/json"})
    document = problem(answer, 422, "invalid-spec")
    assert [error["field"] for error in document["errors"]] == [f"f{number}" for number in range(MOST_ERRORS)]
    assert "the first 20" in document["detail"]


def test_a_long_list_of_columns_is_still_read(client: httpx.Client) -> None:
    spec = SPEC | {"dataset": {"id": "sklearn:iris", "features": ["sepal length (cm)"] * 2 + ["c"] * 50_000}}
    document = problem(client.post("/v1/jobs", json=spec), 422, "invalid-spec")
    assert document["errors"][0]["field"].startswith("dataset.features")


def test_others_are_served_while_costly_documents_are_read(client: httpx.Client, server: Server) -> None:
    content = yaml_list(150_000)
    done = threading.Event()

    def send() -> None:
        with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as sender:
            answer = sender.post("/v1/jobs", content=content, headers={"Content-Type": "application/yaml"})
            assert answer.status_code == 422
        done.set()

    thread = threading.Thread(target=send)
    thread.start()
    served = 0
    while not done.is_set() and thread.is_alive():
        assert client.get("/healthz").status_code == 200
        served += 1
    thread.join()
    assert done.is_set()
    assert served >= 5
