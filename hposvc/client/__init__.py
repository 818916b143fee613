"""A client of the service: the HTTP calls, typed, with retries that cannot submit a job twice.

>>> with Client("http://127.0.0.1:8080") as client:
...     job = client.submit({"kind": "data_reweighting", "dataset": {"id": "sklearn:digits"}})
...     print(client.wait(job.id).result["sentence"])
"""

from hposvc.client.client import Client
from hposvc.client.errors import ClientError, ProblemError, ServerUnreachableError
from hposvc.client.events import StreamedEvent
from hposvc.client.experiments import ExperimentCalls
from hposvc.client.notes import NoteCalls
from hposvc.client.reviews import ReviewCalls

__all__ = [
    "Client",
    "ClientError",
    "ExperimentCalls",
    "NoteCalls",
    "ProblemError",
    "ReviewCalls",
    "ServerUnreachableError",
    "StreamedEvent",
]
