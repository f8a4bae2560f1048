"""The DAGs of README, docs/cookbook.md and docs/operating.md, run as they stand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.airflow.conftest import API_KEY, SECRET, Ran, World
from tests.support.guide_blocks import Block, blocks

ROOT = Path(__file__).parents[3]
RECIPES = [
    block
    for page in ("README.md", "docs/cookbook.md", "docs/operating.md")
    for block in blocks(ROOT / page)
    if block.language == "python" and "CloudIndexSyncS3EventsOperator" not in block.text  # which has an SQS queue
]
OBJECTS = {
    "company-docs": (
        "handbook/welcome.md", "handbook/public/faq.md", "handbook/exports/prices.csv", "handbook/exports/stock.csv",
        "policies/travel.md", "minutes/2026-03.txt", "reports/2026.md", "reports/2026.txt",
    ),
    "tenants": ("acme/a.txt", "globex/b.txt", "initech/c.txt"),
    "partner-docs": ("shared/x.txt",),
    "archive": ("documents/old.txt", "documents/new.txt"),
    "documents": ("team/notes.txt",),
}  # fmt: skip
# DAG -> how many documents CloudIndex has after it, by project where it is about those.
DOCUMENTS: dict[str, Any] = {
    "handbook": 4, "company_docs": 6, "tenants": 2, "partner_docs": 1, "handbook_twice": (4, 1), "reports": 0,
    "reports_text": 2, "archive": 2, "minio_docs": 1, "nightly_export": 2, "vacation_question": 0,
    "count_documents": 0, "handbook_news": 0, "handbook_checked": 4,
}  # fmt: skip
PROJECTS = ("00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002")


@pytest.fixture
def guide_world(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The buckets, projects and connections that the guides name."""
    have = {one["Name"] for one in world.s3.list_buckets()["Buckets"]}
    for bucket, keys in OBJECTS.items():
        if bucket not in have:
            world.s3.create_bucket(Bucket=bucket)
        for key in keys:
            world.s3.put_object(Bucket=bucket, Key=key, Body=f"{key}: vacation days are a right".encode())
    world.ci.settings.projects = [*PROJECTS]
    world.ci.settings.api_keys = {API_KEY: None}
    aws = {"conn_type": "aws", "login": "access-key-id", "password": SECRET}
    aws["extra"] = {"endpoint_url": world.endpoint, "region_name": "us-east-1"}  # type: ignore[assignment]
    for conn_id in ("aws_partner", "minio"):
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(aws))
    return world


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_a_recipe_does_what_it_says(guide_world: World, run: Callable[..., Ran], recipe: Block, tmp_path: Path) -> None:
    """Loaded as a file of the DAGs folder; green, with the documents that it is about in CloudIndex."""
    from airflow.dag_processing.dagbag import BundleDagBag

    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "recipe.py").write_text(recipe.text, encoding="utf-8")
    bag = BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="dags-folder")
    assert (bag.import_errors, bool(bag.dags)) == ({}, True)
    for dag_id, dag in sorted(bag.dags.items()):  # a bag keeps the DAGs of a file in no order
        assert run(dag).state == "success", dag_id
        found = tuple(len(guide_world.ci.documents(project)) for project in PROJECTS)
        wanted = DOCUMENTS[dag_id]
        assert (found if isinstance(wanted, tuple) else found[0]) == wanted, dag_id
