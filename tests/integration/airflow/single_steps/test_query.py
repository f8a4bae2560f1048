"""Questions, and where the hits come from."""

from __future__ import annotations

import json

import pytest

from cloudindex_provider import errors
from cloudindex_provider.operators.cloudindex import CloudIndexQueryOperator

pytestmark = pytest.mark.usefixtures("airflow_home", "connect")


def test_a_question_gives_hits_that_xcom_can_hold(service):
    hits = CloudIndexQueryOperator(task_id="t", query="why?", filters={"types": ["pdf"]}).execute({})
    assert hits[0]["document_id"] == "d-1"
    assert hits[0]["score"] == 0.9
    json.dumps(hits)
    assert json.loads(service.requests[0][2])["filters"] == {"types": ["pdf"]}


def test_an_empty_question_is_not_asked(service):
    with pytest.raises(errors.ConfigurationError, match="query is empty"):
        CloudIndexQueryOperator(task_id="t", query=" ").execute({})
    assert service.requests == []
