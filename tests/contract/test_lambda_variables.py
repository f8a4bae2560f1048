"""The variables of the AWS Lambda function are those that its page names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cloudindex_provider.aws_lambda.environment import Environment
from cloudindex_provider.errors import SettingsError

PAGE = Path(__file__).parents[2] / "docs" / "lambda.md"


def test_the_page_names_every_variable_and_no_other() -> None:
    """Those that take an ARN are the secrets of its section."""
    with pytest.raises(SettingsError) as caught:
        Environment({"CLOUDINDEX_NONSENSE": "x"}).check()
    known = set(re.findall(r"CLOUDINDEX_\w+", caught.value.hint))
    page = PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"CLOUDINDEX_\w+", page))
    secrets = set(re.findall(r"CLOUDINDEX_\w+", page.partition("## Secrets")[2].partition("##")[0]))
    assert named == {name for name in known if not name.endswith("_ARN")}
    assert secrets == {name.removesuffix("_ARN") for name in known if name.endswith("_ARN")}
