"""The printed policies: each names what it is for, in the partition that is meant, and nothing wider."""

from __future__ import annotations

from typing import Any

import pytest

from cloudindex_provider.s3.aws_policies import PARTS, iam_policy
from cloudindex_provider.s3.place import partition_of

QUEUE = "arn:aws:sqs:eu-central-1:123456789012:documents"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/k"
POINT = "arn:aws:s3:eu-central-1:123456789012:accesspoint/handbook"


def statements(part: str, **given: str) -> list[dict[str, Any]]:
    return list(iam_policy(part, **{"bucket": "bucket", "prefix": "documents/", **given})["Statement"])


@pytest.mark.parametrize("part", PARTS)
def test_a_policy_names_what_it_is_for_and_nothing_wider(part: str) -> None:
    found = statements(part, queue_arn=QUEUE)
    assert "*" not in str([one["Action"] for one in found])
    wide = {one["Resource"]: one["Action"] for one in found if "*" in one["Resource"].removesuffix("documents/*")}
    looked_at = {
        "arn:aws:sns:eu-central-1:*:*": ["sns:ListSubscriptionsByTopic", "sns:GetTopicAttributes"],
        "arn:aws:events:eu-central-1:*:rule/*": ["events:DescribeRule", "events:ListTargetsByRule"],
        "*": ["sns:GetSubscriptionAttributes", "events:ListRuleNamesByTarget"],
    }
    assert wide == (looked_at if part == "notifications" else {})
    narrow = {one["Resource"] for one in found} - set(wide)
    assert narrow <= {"arn:aws:s3:::bucket", "arn:aws:s3:::bucket/documents/*", QUEUE}


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
@pytest.mark.parametrize("part", PARTS)
def test_every_resource_is_in_one_partition(part: str, partition: str) -> None:
    """A policy that names the bucket in another one lets nobody in. Of a sync no ARN may tell it."""
    queue = "" if part == "sync" else QUEUE.replace("arn:aws:", f"arn:{partition}:")
    arns = {one["Resource"] for one in statements(part, queue_arn=queue, partition=partition)} - {"*"}
    assert {arn.split(":")[1] for arn in arns} == {partition}


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("eu-central-1", "aws"),
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("garage", "aws"),
        (None, "aws"),
    ],
)
def test_a_region_tells_its_partition(region: str | None, partition: str) -> None:
    assert partition_of(region) == partition


def test_a_prefix_means_the_characters_that_it_has() -> None:
    """In a policy * and ? stand for others, and $ begins a variable."""
    listing, reading = statements("sync", prefix="what?/*/$5/")
    assert reading["Resource"] == "arn:aws:s3:::bucket/what${?}/${*}/${$}5/*"
    assert listing["Condition"] == {"StringLike": {"s3:prefix": ["what${?}/${*}/${$}5/*"]}}


def test_an_access_points_objects_are_named_under_it() -> None:
    listing, reading = statements("sync", bucket=POINT)
    assert (listing["Resource"], reading["Resource"]) == (POINT, f"{POINT}/object/documents/*")


def test_a_directory_bucket_wants_a_session_that_reads() -> None:
    """Which boto3 asks for by itself; s3:ListBucket and s3:GetObject mean nothing there."""
    [session] = statements("sync", bucket="b--euc1-az1--x-s3", partition="aws")
    assert session == {
        "Effect": "Allow",
        "Action": "s3express:CreateSession",
        "Resource": "arn:aws:s3express:*:*:bucket/b--euc1-az1--x-s3",
        "Condition": {"StringEquals": {"s3express:SessionMode": "ReadOnly"}},
    }


@pytest.mark.parametrize("part", PARTS)
def test_a_key_of_ones_own_is_named(part: str) -> None:
    """Without it S3 and SQS refuse whoever may read everything else."""
    added = [
        one for one in statements(part, queue_arn=QUEUE, key_arn=KEY) if one not in statements(part, queue_arn=QUEUE)
    ]
    looked_at = ["kms:DescribeKey", "kms:GetKeyPolicy"] if part == "notifications" else []
    assert added == [{"Effect": "Allow", "Action": ["kms:Decrypt", *looked_at], "Resource": KEY}]
