"""Deletes by id: what a 404 proves, and what a later try knows of an earlier one."""

from __future__ import annotations

import pytest

from cloudindex_provider import errors
from cloudindex_provider.operators.cloudindex import CloudIndexDeleteDocumentOperator

pytestmark = pytest.mark.usefixtures("airflow_home", "connect")


def test_a_document_is_deleted_and_a_missing_one_is_fine(service):
    service.add("a")
    outcome = CloudIndexDeleteDocumentOperator(task_id="t", document_ids=["a", "b"]).execute({})
    assert outcome == {"deleted": ["a"], "missing": ["b"]}
    assert service.documents == {}


def test_a_missing_document_can_be_an_error_after_all_were_tried(service):
    service.add("b")
    with pytest.raises(errors.NotFoundError, match=r"'cloudindex_default'.* has no document a"):
        CloudIndexDeleteDocumentOperator(task_id="t", document_ids=["a", "b"], ignore_missing=False).execute({})
    assert service.documents == {}
