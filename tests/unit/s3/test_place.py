"""Where a bucket is: spellings of one store are equal, two stores differ, and nothing secret is kept."""

from __future__ import annotations

from types import SimpleNamespace

import boto3
import pytest

from cloudindex_provider.s3.place import bucket_place, store_of


@pytest.mark.parametrize(
    "host",
    [
        "s3.amazonaws.com",
        "s3.eu-west-1.amazonaws.com",
        "s3-eu-west-1.amazonaws.com",
        "s3-external-1.amazonaws.com",
        "S3.Eu-West-1.AmazonAWS.com.",
        "s3.dualstack.eu-west-1.amazonaws.com",
        "s3-fips.us-east-2.amazonaws.com",
        "s3-fips.dualstack.us-east-2.amazonaws.com",
        "s3-accelerate.amazonaws.com",
        "s3-accelerate.dualstack.amazonaws.com",
        "docs.s3.eu-west-1.amazonaws.com",
        "bucket.vpce-1a2b3c4d-5e6f.s3.us-east-1.vpce.amazonaws.com",
        "accesspoint.s3-global.amazonaws.com",
        "s3-accesspoint.eu-west-1.amazonaws.com",
        "s3express-usw2-az1.us-west-2.amazonaws.com",
    ],
)
def test_every_way_to_aws_is_one_place(host: str) -> None:
    """A bucket's name is unique there, whichever endpoint leads to it."""
    assert store_of(f"https://{host}") == store_of(f"http://{host}:80/") == "aws"


@pytest.mark.parametrize(
    ("host", "partition"),
    [
        ("s3.cn-north-1.amazonaws.com.cn", "aws-cn"),
        ("s3.us-gov-west-1.amazonaws.com", "aws-us-gov"),
        ("s3-us-gov-west-1.amazonaws.com", "aws-us-gov"),
        ("s3.eusc-de-east-1.amazonaws.eu", "aws-eusc"),
    ],
)
def test_another_partition_is_another_place(host: str, partition: str) -> None:
    """China and GovCloud have buckets of the same names."""
    assert store_of(f"https://{host}") == partition


@pytest.mark.parametrize(
    "host",
    [
        "my-minio-1234.eu-west-1.elb.amazonaws.com",
        "s3-balancer-1234.eu-west-1.elb.amazonaws.com",
        "ec2-1-2-3-4.compute-1.amazonaws.com",
        "s3.amazonaws.com.example.com",
        "s3.eu-central-1.wasabisys.com",
    ],
)
def test_what_only_looks_like_aws_is_a_store_of_its_own(host: str) -> None:
    """A machine in AWS's domain may serve anybody's buckets."""
    assert store_of(f"https://{host}") == host


@pytest.mark.parametrize(
    "spelling",
    [
        "http://minio:9000",
        "https://minio:9000/",
        "http://MinIO.:9000",
        "http://somebody:a-secret@minio:9000?token=a-secret",
        "http://docs.minio:9000",
        "minio:9000",
    ],
)
def test_spellings_of_one_store_are_one_place(spelling: str) -> None:
    """TLS or not, the bucket in the host or in the path, with a login or without: which isn't kept."""
    assert store_of(spelling, "docs") == "minio:9000"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://minio:9000", "http://minio:9001"),
        ("http://minio:9000", "http://minio"),
        ("http://one.example.com", "http://two.example.com"),
        ("https://gateway/one", "https://gateway/two"),
        ("http://[::1]:9000", "http://[::2]:9000"),
        ("https://s3.amazonaws.com", "https://minio"),
    ],
)
def test_two_stores_are_two_places(one: str, other: str) -> None:
    """Another host, port or path may have another bucket of that name."""
    assert store_of(one) != store_of(other)


def test_a_default_port_is_no_difference() -> None:
    """80 for http and 443 for https, and a store that has moved to TLS."""
    assert store_of("http://minio:80") == store_of("https://minio:443") == store_of("https://minio") == "minio"
    assert store_of("http://minio:443") == "minio:443"


def test_the_account_of_an_arn_belongs_to_the_place() -> None:
    """An access point of another account is another one."""
    client = boto3.client("s3", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="y")
    assert bucket_place(client, "docs") == "aws"
    assert bucket_place(client, "arn:aws:s3:eu-west-1:123456789012:accesspoint/docs") == "aws, account 123456789012"
    assert bucket_place(client, "arn:aws:s3::123456789012:accesspoint/x.mrap") == "aws, account 123456789012"


@pytest.mark.parametrize("url", [None, "", "http://", "http://minio:port"])
def test_what_is_not_known_is_no_place(url: str | None) -> None:
    """Nothing is held for what nobody can tell."""
    assert bucket_place(SimpleNamespace(meta=SimpleNamespace(endpoint_url=url)), "docs") is None
    assert bucket_place(object(), "docs") is None
