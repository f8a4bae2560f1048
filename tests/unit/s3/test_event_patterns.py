"""Patterns of EventBridge rules: which events of S3 pass them."""

from __future__ import annotations

from typing import Any

import pytest

from cloudindex_provider.s3.event_patterns import lets_pass, sample_event

EVENT = sample_event("Object Created", "company-docs", "handbook/a.pdf")


def about(**detail: Any) -> dict[str, Any]:
    return {"source": ["aws.s3"], "detail": detail}


@pytest.mark.parametrize(
    ("pattern", "passes"),
    [
        ({}, True),
        ({"source": ["aws.s3"]}, True),
        ({"source": ["aws.ec2"]}, False),
        ({"source": [{"prefix": "aws."}]}, True),
        ({"detail-type": ["Object Created", "Object Deleted"]}, True),
        ({"detail-type": ["Object Deleted"]}, False),
        ({"detail-type": [{"anything-but": "Object Created"}]}, False),
        (about(bucket={"name": ["company-docs"]}), True),
        (about(bucket={"name": [{"prefix": "company-"}]}), True),
        (about(bucket={"name": [{"equals-ignore-case": "Company-Docs"}]}), True),
        (about(bucket={"name": ["another"]}), False),
        (about(object={"key": [{"prefix": "handbook/"}]}), True),
        (about(object={"key": [{"prefix": "other/"}]}), False),
        (about(object={"key": [{"prefix": {"equals-ignore-case": "HANDBOOK/"}}]}), True),
        (about(object={"key": [{"suffix": ".docx"}, {"suffix": ".pdf"}]}), True),
        (about(object={"key": [{"wildcard": "*/a.*"}]}), True),
        (about(object={"key": [{"wildcard": "*[a].pdf"}]}), False),
        (about(object={"key": [{"anything-but": {"prefix": "handbook/"}}]}), False),
        (about(object={"key": [{"anything-but": ["x"]}]}), True),
        (about(object={"key": [{"exists": True}]}), True),
        (about(object={"size": [{"numeric": [">", 0]}]}), True),  # which isn't judged
        (about(reason=["PutObject"]), True),
        ({"account": ["123456789012"]}, True),
        ({"$or": [{"source": ["x"]}, {"detail-type": ["Object Created"]}]}, True),
        ({"$or": [{"source": ["x"]}]}, False),
        ({"detail": ["no mapping"]}, False),
        (None, False),
        ([], False),
    ],
)
def test_a_pattern_lets_an_event_pass_or_not(pattern: Any, passes: bool) -> None:
    assert lets_pass(pattern, EVENT) is passes
