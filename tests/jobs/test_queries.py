import pytest
import sqlalchemy as sa

from hposvc.jobs import queries
from hposvc.jobs.service import Jobs
from hposvc.schema.paging import InvalidPageToken
from hposvc.schema.states import State
from tests.support.harness import tiny_spec


def test_lists_are_paged_newest_first_while_jobs_keep_coming(engine: sa.Engine, jobs: Jobs) -> None:
    ids = [jobs.submit(tiny_spec()).id for _ in range(7)]
    page = queries.list_(engine, limit=3)
    found = [job.id for job in page.items]
    jobs.submit(tiny_spec())
    while page.next_page:
        page = queries.list_(engine, limit=3, page_token=page.next_page)
        found += [job.id for job in page.items]
    assert found == ids[::-1]


@pytest.mark.parametrize("token", ["nonsense", "e30=", "WzFd", "ä"])
def test_a_page_token_that_was_made_up_is_refused(engine: sa.Engine, token: str) -> None:
    with pytest.raises(InvalidPageToken, match="ask for the first page again"):
        queries.list_(engine, page_token=token)


def test_lists_are_filtered(engine: sa.Engine, jobs: Jobs) -> None:
    red = jobs.submit(tiny_spec("red 100%", tags=["colour", "ünïcode"]))
    blue = jobs.submit(tiny_spec("Blue_1", tags=["colour"]))
    other = jobs.submit(tiny_spec("green", kind="regularization_tuning"))
    jobs.cancel(blue.id)

    def ids(**filters: object) -> list[str]:
        return [job.id for job in queries.list_(engine, **filters).items]  # type: ignore[arg-type]

    assert ids(tag="colour") == [blue.id, red.id]
    assert ids(tag="ünïcode") == [red.id]
    assert ids(tag="col") == []
    assert ids(state=State.CANCELLED) == [blue.id]
    assert ids(kind="regularization_tuning") == [other.id]
    assert ids(text="bLUE") == [blue.id]
    assert ids(text="0%") == [red.id]
    assert ids(text="_") == [blue.id]
    assert ids(text=other.id[:12]) == [other.id]
    assert ids(tag="colour", state=State.QUEUED, text="red") == [red.id]
