"""A sync's documents have one URI, however its parts are written."""

from __future__ import annotations

from contextlib import nullcontext
from urllib.parse import urlsplit, urlunsplit

import pytest
from airflow.sdk import Asset

from cloudindex_provider.assets.cloudindex import (
    asset_uri,
    convert_asset_to_openlineage,
    create_asset,
    sanitize_uri,
    sync_alias,
)

pytestmark = pytest.mark.usefixtures("airflow_home")
BASE = "https://api.cloudindex.ai/public/v1"

WRITTEN = [
    (BASE, "p1", "docs", "handbook/", "cloudindex://api.cloudindex.ai/p1/docs/handbook"),
    (BASE, "p1", "docs", "handbook", "cloudindex://api.cloudindex.ai/p1/docs/handbook"),
    (BASE, "p1", "docs", "", "cloudindex://api.cloudindex.ai/p1/docs"),
    (BASE, "p1", "docs", "a/year=2026/", "cloudindex://api.cloudindex.ai/p1/docs/a/year=2026"),
    (BASE, "p1", "docs", "ä #1?/100%", "cloudindex://api.cloudindex.ai/p1/docs/%C3%A4%20%231%3F/100%25"),
    (BASE, "p1", "docs", "/a//b/", "cloudindex://api.cloudindex.ai/p1/docs//a//b"),
    ("https://API.CloudIndex.ai:443/v1", "p1", "docs", "", "cloudindex://api.cloudindex.ai/p1/docs"),
    ("http://127.0.0.1:8080/public/v1", "p1", "docs", "", "cloudindex://127.0.0.1:8080/p1/docs"),
    ("http://[::1]:8080/public/v1", "p1", "docs", "", "cloudindex://[::1]:8080/p1/docs"),
    (
        BASE, "p1", "arn:aws:s3:eu-central-1:1:accesspoint/ap", "x/",
        "cloudindex://api.cloudindex.ai/p1/arn:aws:s3:eu-central-1:1:accesspoint%2Fap/x",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("base_url", "project", "bucket", "prefix", "uri"), WRITTEN)
def test_the_uri_names_host_project_bucket_and_prefix(
    base_url: str, project: str, bucket: str, prefix: str, uri: str
) -> None:
    assert asset_uri(base_url, project, bucket, prefix) == uri


@pytest.mark.parametrize("uri", [row[-1] for row in WRITTEN])
def test_airflow_keeps_a_uri_that_is_in_its_form(uri: str) -> None:
    """What a task emits and what a DAG's author copies from there is the same asset."""
    assert Asset(uri=uri).uri == uri
    assert urlunsplit(sanitize_uri(urlsplit(uri))) == uri


@pytest.mark.parametrize(
    "written",
    [
        "cloudindex://api.cloudindex.ai/p1/docs/ä/b c/",
        "CloudIndex://API.cloudindex.AI/p1/docs/%c3%a4/b%20c",
        "cloudindex://somebody:secret@api.cloudindex.ai/p1/docs/ä/b c?x=1#y",
    ],
)
def test_other_ways_to_write_a_uri_come_to_the_same(written: str) -> None:
    """No secret stays in it."""
    with pytest.warns(UserWarning, match="password") if "secret" in written else nullcontext():
        assert Asset(name="n", uri=written).uri == "cloudindex://api.cloudindex.ai/p1/docs/%C3%A4/b%20c"


@pytest.mark.parametrize("written", ["cloudindex:///p1/docs", "cloudindex://host", "cloudindex://host/p1"])
def test_a_uri_without_project_or_bucket_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="cloudindex://HOST/PROJECT/BUCKET/PREFIX"):
        Asset(uri=written)


def test_a_dag_s_author_makes_the_asset_from_the_sync_s_arguments() -> None:
    made = create_asset(project_id="p1", bucket="docs", prefix="handbook/")
    assert (made.name, made.uri) == ("cloudindex://api.cloudindex.ai/p1/docs/handbook",) * 2


def test_openlineage_gets_the_service_as_the_namespace() -> None:
    made = create_asset(project_id="p1", bucket="docs", prefix="ä/", base_url="http://127.0.0.1:8080/v1")
    found = convert_asset_to_openlineage(made, lineage_context=None)
    assert (found.namespace, found.name) == ("cloudindex://127.0.0.1:8080", "p1/docs/ä")


def test_an_alias_names_the_sync_in_its_dag() -> None:
    assert sync_alias("handbook", "outer.s3_to_cloudindex").name == "cloudindex:handbook.outer.s3_to_cloudindex"
