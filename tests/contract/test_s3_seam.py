"""S3 is asked through ``S3Source`` alone, where requests are counted and tried again."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "cloudindex_provider"
REQUESTS = {"list_objects_v2", "list_objects", "get_object", "head_object", "head_bucket", "get_object_attributes"}


def requests_in(source: str) -> Iterator[str]:
    """Names of boto3's requests to S3 that the code takes from a client."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in REQUESTS:
            yield node.attr


def test_no_module_outside_of_s3_sends_a_request_of_its_own() -> None:
    """A request past ``S3Source`` would be neither counted in the report nor tried again after a hiccup."""
    modules = {
        str(path.relative_to(PACKAGE)): path
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).parts[0] not in ("s3", "local")
    }
    assert modules
    assert {name: found for name, path in modules.items() if (found := list(requests_in(path.read_text())))} == {}


@pytest.mark.parametrize("line", ["ctx.s3.client.head_object(Bucket=b)", "ask = client.get_object"])
def test_such_a_request_would_be_found(line: str) -> None:
    """Called or only taken."""
    assert list(requests_in(line))


def test_the_modules_of_s3_send_theirs_from_the_source() -> None:
    """Requests stand in ``source.py`` and in the short cuts that it is given."""
    senders = {path.name for path in (PACKAGE / "s3").glob("*.py") if list(requests_in(path.read_text()))}
    assert senders == {"source.py", "botocore_shortcuts.py"}
