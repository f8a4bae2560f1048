"""Follow S3 events: a change is searchable seconds later. Beside a full sync, which finds what events miss."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG

from cloudindex_provider.operators.cloudindex_s3_events import CloudIndexSyncS3EventsOperator

# The queue that S3 sends its events to, and the syncs that they are for: the arguments of your full syncs, word for
# word. Without a queue the DAG is there and never runs.
QUEUE_URL = ""
SYNCS: list[dict[str, Any]] = [{"bucket": "your-bucket", "prefix": "documents/"}]

DOC = """
### S3 events to CloudIndex

One task consumes the queue, looks at each key in S3, and uploads and deletes with the state, limits and guard of the
full syncs. It ends after an hour and begins anew; while the queue is empty it waits in the triggerer.

**Prerequisites**
* an SQS queue that the bucket sends `s3:ObjectCreated:*` and `s3:ObjectRemoved:*` to, directly, through SNS or through
  EventBridge, with a redrive policy for what nobody can read,
* the connection `aws_default`, which may also `sqs:ReceiveMessage`, `sqs:DeleteMessage`, `sqs:ChangeMessageVisibility`
  and `sqs:GetQueueAttributes` on it,
* a full sync of the same prefix, daily say: nothing depends on an event arriving.
"""

with DAG(
    dag_id="cloudindex_s3_events",
    schedule="@continuous" if QUEUE_URL else None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["cloudindex", "s3"],
    doc_md=DOC,
) as dag:
    CloudIndexSyncS3EventsOperator(task_id="follow_events", queue_url=QUEUE_URL, syncs=SYNCS, deferrable=True)
