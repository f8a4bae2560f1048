"""What a run costs Airflow: at most 64 mapped tasks, and XComs that stay small however much there is to upload."""

from __future__ import annotations

import json

from airflow.sdk import DAG

from cloudindex_provider.transfers.s3_to_cloudindex import s3_to_cloudindex
from programs.benchmarks.airflow_share import MOST_TASKS, MOST_XCOM, stored_xcom_bytes

DOCUMENTS = 300


def test_a_run_has_no_more_mapped_tasks_than_requests_and_its_xcoms_are_numbers(run, world):
    """Of 300 changed documents, 15 tasks; with 64 of them the XComs would still be within their bound."""
    keys = [f"documents/a-folder-with-a-long-name/{number:03d} +é.txt" for number in range(DOCUMENTS)]
    world.put(*keys)
    world.sync()
    for key in keys:
        world.put(key, body=f"other words of {key}".encode())
    with DAG("airflow_share", schedule=None) as dag:
        s3_to_cloudindex(bucket=world.bucket, prefix="documents/", upload_tasks=64)
    ran = run(dag)
    report = ran.value("report")
    assert (ran.state, report["changed"], report["indexed"]) == ("success", DOCUMENTS, DOCUMENTS)
    assert ran.states("upload_documents") == ["success"] * 15
    stored = stored_xcom_bytes(dag.dag_id)
    assert 0 < stored / 15 * MOST_TASKS < MOST_XCOM
    steps = [values for (task, _), values in ran.xcoms.items() if task != "report"]
    assert "a-folder" not in json.dumps(steps)  # only the report names keys, and few of them
    assert json.dumps(ran.value("report")).count("a-folder") == 10
