import pytest

from tests.support.harness import Service
from tests.support.storm import storm


@pytest.mark.long
@pytest.mark.durability
@pytest.mark.slow
def test_a_storm_of_forty_kills(service: Service) -> None:
    """``make durability`` runs one of five hundred."""
    storm(service, kills=40, n_jobs=30, n_workers=3, seed=40)
