"""Reading some of botocore's answers before its own parser does, where that costs more than all the rest.

ListObjectsV2 is read by ``list_xml``; of GetObject and HeadObject only ``Last-Modified``, which botocore hands to
dateutil's parser of all formats, a tenth of a small object's GET. Headers that nobody here needs, and of which botocore
makes dates and numbers, are left out: one with nonsense in it would cost the object. A doubled header is read once.

Reads what a call through ``OwnParsing.of`` asked for, in its own thread: other calls, other threads' calls and other
clients never notice.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from xml.parsers.expat import ErrorString, ExpatError, ParserCreate

from botocore.parsers import ResponseParserError
from botocore.utils import parse_timestamp

from cloudindex_provider.s3.list_xml import parse_page, without_empty_times

__all__ = ["ROWS", "OwnParsing", "fast_get", "fast_head", "fast_list"]

ROWS: Final = "CloudIndexRows"  # where an answer holds its ``ListedPage``, in the place of ``Contents``
_LAST_MODIFIED, _LENGTH = "last-modified", "content-length"
# What botocore reads as a date, a number or a truth value, and nothing here asks for.
_UNUSED = (
    "expires", "x-amz-missing-meta", "x-amz-mp-parts-count", "x-amz-tagging-count", "x-amz-delete-marker",
    "x-amz-object-lock-retain-until-date", "x-amz-server-side-encryption-bucket-key-enabled",
)  # fmt: skip
_DATES = re.compile(r"\s*([^,]+,[^,]+)\s*(?:,\s*[^,]+,[^,]+)*")  # a date has one comma
_DOUBLED = re.compile(r"\s*([0-9]+)\s*(?:,\s*\1\s*)+")

_registering = threading.Lock()


class OwnParsing(threading.local):
    """One operation's handler.

    :param operation: as botocore names it, such as ``ListObjectsV2``
    :param read: given botocore's response dict of a 200, to change, and the dict whose items the answer gets
    """

    def __init__(self, operation: str, read: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
        self._operation = operation
        self._read = read
        self._wanted = False  # this thread's call is one of ours

    def of(self, client: Any, send: Callable[..., Mapping[str, Any]]) -> Callable[..., Mapping[str, Any]]:
        """``send``, a method of the client, whose answers are read so."""
        events = getattr(getattr(client, "meta", None), "events", None)
        if events is None:  # a stand-in for a client
            return send
        with _registering:
            # The ``*`` makes ours run before botocore's own handlers, which are bound to before-parse.s3.*; the id lets
            # it be there at most once a client.
            event = f"before-parse.*.{self._operation}"
            events.register_first(event, self._before_parse, unique_id=f"cloudindex-{self._operation}")

        def ask(**request: Any) -> Mapping[str, Any]:
            self._wanted = True
            try:
                return send(**request)
            finally:
                self._wanted = False

        return ask

    def _before_parse(self, response_dict: Any, customized_response_dict: dict[str, Any], **_: Any) -> None:
        if self._wanted and response_dict.get("status_code") == 200:
            self._read(response_dict, customized_response_dict)


def fast_list(client: Any) -> Callable[..., Mapping[str, Any]]:
    """``client.list_objects_v2`` whose answers have their rows under ``ROWS`` where they could be read fast."""
    return _list.of(client, client.list_objects_v2)


def fast_get(client: Any) -> Callable[..., Mapping[str, Any]]:
    """``client.get_object`` with the same answers, sooner."""
    return _get.of(client, client.get_object)


def fast_head(client: Any) -> Callable[..., Mapping[str, Any]]:
    """``client.head_object``, the same."""
    return _head.of(client, client.head_object)


def _read_list(response_dict: dict[str, Any], customized_response_dict: dict[str, Any]) -> None:
    body = response_dict.get("body")
    if not isinstance(body, bytes):
        return
    page = parse_page(body)
    if page is not None:
        response_dict["body"] = page.rest
        customized_response_dict[ROWS] = page.rows
    elif b"<LastModified" in body:
        response_dict["body"] = without_empty_times(body)
    _check_xml(response_dict.get("body"))


def _check_xml(body: Any) -> None:
    """botocore takes a 200 that is no XML for S3's error 500, and nobody would learn that it can't be read."""
    try:
        if body:
            ParserCreate("utf-8").Parse(body, True)
    except ExpatError as error:
        raise ResponseParserError(f"The answer is no XML ({ErrorString(error.code)}).") from None


def _read_object(response_dict: dict[str, Any], customized_response_dict: dict[str, Any]) -> None:
    headers = response_dict.get("headers") or {}
    for name in _UNUSED:
        headers.pop(name, None)
    if (length := _DOUBLED.fullmatch(str(headers.get(_LENGTH, "")))) is not None:
        headers[_LENGTH] = length[1]
    text = headers.get(_LAST_MODIFIED)
    if not isinstance(text, str):
        return
    del headers[_LAST_MODIFIED]
    modified = _date(text)
    if modified is not None:
        customized_response_dict["LastModified"] = modified


def _date(text: str) -> datetime | None:
    """The date of a header, the first where it is doubled; ``None`` where there is none in it."""
    dates = _DATES.fullmatch(text)
    for read, one in ((parsedate_to_datetime, dates[1] if dates else text), (parse_timestamp, text)):
        try:
            found: datetime = read(one)
        except (ValueError, OverflowError):  # which is all that both raise, whatever the text
            continue
        if found.tzinfo is not None:
            return found
    return None


_list = OwnParsing("ListObjectsV2", _read_list)
_get = OwnParsing("GetObject", _read_object)
_head = OwnParsing("HeadObject", _read_object)
