"""The fast GetObject: botocore's answer, whatever the server says, and nobody else's is touched."""

from __future__ import annotations

import datetime as dt
from email.utils import parsedate_to_datetime
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse

from cloudindex_provider.s3 import botocore_shortcuts
from cloudindex_provider.s3.botocore_shortcuts import fast_get, fast_head

WHEN = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
PLAIN = "Fri, 02 Jan 2026 03:04:05 GMT"


class _Raw:
    """A body of nothing."""

    def read(self, *_: Any) -> bytes:
        return b""

    def stream(self, *_: Any) -> Any:
        return iter(())

    def close(self) -> None:
        pass


def client(modified: str | None, status: int = 200, **more: Any) -> Any:
    """A client whose every request has this answer."""
    made = boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y")
    headers = {"ETag": '"e"', "Content-Length": "0", "x-amz-meta-a": "b", "x-amz-version-id": "v"}
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    if modified is not None:
        headers["Last-Modified"] = modified

    def answer(**_: Any) -> AWSResponse:
        return AWSResponse("https://s3", status, headers, _Raw())

    made.meta.events.register("before-send.s3.*", answer)
    return made


def facts(answer: Any) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in ("Body", "ResponseMetadata")}


@pytest.mark.parametrize("modified", [PLAIN, "2026-01-02T03:04:05Z", "2 January 2026 03:04:05 UTC", None])
def test_answers_are_those_of_the_client(modified: str | None) -> None:
    """HTTP's date is read here, any other by botocore; all else is the same."""
    made = client(modified)
    plain = made.get_object(Bucket="b", Key="k")
    fast = fast_get(made)(Bucket="b", Key="k")
    assert facts(fast) == facts(plain)
    assert fast.get("LastModified") == (WHEN if modified else None)


@pytest.mark.parametrize("ask", [fast_get, fast_head])
@pytest.mark.parametrize(
    ("modified", "more", "expected"),
    [
        (f"{PLAIN}, {PLAIN}", {}, WHEN),
        ("nonsense", {}, None),
        ("", {}, None),
        (PLAIN, {"Expires": "0"}, WHEN),
        (PLAIN, {"Expires": "in a year, perhaps"}, WHEN),
        (PLAIN, {"x-amz-missing-meta": "some", "x-amz-mp-parts-count": "1, 1", "x-amz-tagging-count": "x"}, WHEN),
        (PLAIN, {"x-amz-object-lock-retain-until-date": "never"}, WHEN),
        (PLAIN, {"Content-Length": "0, 0"}, WHEN),
    ],
)
def test_headers_with_nonsense_cost_no_object(ask: Any, modified: str, more: dict[str, Any], expected: Any) -> None:
    """Doubled by a proxy, or written by a person: what isn't needed isn't read, and what is doubled is read once."""
    answer = ask(client(modified, **more))(Bucket="b", Key="k")
    assert answer.get("LastModified") == expected
    assert (answer["ETag"], answer["ContentLength"], answer["Metadata"]) == ('"e"', 0, {"a": "b"})


def test_only_our_own_calls_are_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client of a hook is everybody's: what others ask is read by botocore."""
    made = client(PLAIN)
    read: list[str] = []

    def parse(text: str) -> dt.datetime:
        read.append(text)
        return parsedate_to_datetime(text)

    monkeypatch.setattr(botocore_shortcuts, "parsedate_to_datetime", parse)
    ask = fast_get(made)
    made.get_object(Bucket="b", Key="k")
    assert read == []
    ask(Bucket="b", Key="k")
    assert read == [PLAIN]
    made.get_object(Bucket="b", Key="k")
    assert read == [PLAIN]


def test_a_stand_in_for_a_client_is_asked_as_it_is() -> None:
    """Without botocore's events there is nothing to save."""

    class S3:
        def get_object(self, **request: Any) -> dict[str, Any]:
            return request

    assert fast_get(S3())(Bucket="b", Key="k") == {"Bucket": "b", "Key": "k"}
