"""A delete's 404 counts only where the project itself answers: elsewhere it says nothing about the document."""

from __future__ import annotations

import pytest

from cloudindex_provider.api.client import CloudIndexClient
from cloudindex_provider.errors import NotFoundError
from cloudindex_provider.sync.run import synchronize
from tests.support.mirror import Mirror


def test_a_wrong_base_path_forgets_no_document(mirror: Mirror) -> None:
    mirror.put_many(3)
    mirror.run()
    mirror.remove("0001.txt")
    rows = mirror.rows()
    elsewhere = CloudIndexClient(f"{mirror.cloud.url}/v2", mirror.cloud.api_key, project_id=mirror.project_id)
    with elsewhere, pytest.raises(NotFoundError):
        synchronize(mirror.context(client=elsewhere))
    assert set(mirror.rows()) == set(rows)
    assert len(mirror.documents()) == 3
    mirror.time_passes(300)
    assert mirror.run().counts["deleted"] == 1
    mirror.assert_agreement()


def test_a_document_that_is_gone_already_counts_as_deleted(mirror: Mirror) -> None:
    key = mirror.put("a.txt")
    mirror.put("b.txt")
    mirror.run()
    mirror.client.delete_document(mirror.rows()[key].document_id)
    mirror.remove("a.txt")
    assert mirror.run().counts["deleted"] == 1
    mirror.assert_agreement()
