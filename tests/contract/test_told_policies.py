"""The rights that guides and shipped DAGs ask for are those that ``airflow cloudindex iam-policy`` prints."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cloudindex_provider.s3.aws_policies import iam_policy, state_policy

ROOT = Path(__file__).parents[2]
POLICY = re.compile(r"```json\n(\{\n  \"Version\".*?)```", re.DOTALL)


def policies(text: str) -> list[object]:
    """Those about S3."""
    found = [json.loads(block) for block in POLICY.findall(text)]
    return [one for one in found if "s3:ListBucket" in str(one)]


@pytest.mark.parametrize("place", ["docs/connections.md", "dags/cloudindex_s3_sync.py"])
def test_the_policy_of_a_sync_is_that_of_the_command(place: str) -> None:
    """Two rights, on the bucket and on its objects, and nothing more."""
    wanted = iam_policy("sync", bucket="YOUR-BUCKET", prefix="documents/")
    assert policies((ROOT / place).read_text(encoding="utf-8")) == [wanted]


def test_the_policy_of_the_lambda_is_that_of_a_sync_and_of_the_state() -> None:
    """The one that syncs the keys itself, with a state that it logs in to by its role."""
    [told] = policies((ROOT / "docs" / "lambda.md").read_text(encoding="utf-8"))
    sync = iam_policy("sync", bucket="company-docs", prefix="handbook/")
    state = state_policy(
        partition="aws",
        region="eu-central-1",
        account="123456789012",
        resource_id="db-ABCDEFGHIJKL01234",
        user="cloudindex_state",
    )
    assert told == sync | {"Statement": [*sync["Statement"], *state["Statement"]]}


def test_the_rights_on_a_queue_are_those_of_the_command() -> None:
    """As the page of S3 events names them."""
    text = (ROOT / "docs" / "events.md").read_text(encoding="utf-8").partition("\n## Rights\n")[2]
    [statement] = iam_policy("events", bucket="b", queue_arn="arn:aws:sqs:eu-central-1:123456789012:q")["Statement"]
    assert re.findall(r"`(sqs:\w+)`", text) == statement["Action"]
