"""GetObject without botocore's reading of ``Last-Modified``, which takes a tenth of a small object's GET.

botocore hands every date to dateutil's parser of all formats. HTTP has one, which is read here; any other is left to
botocore.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

from cloudindex_provider.s3.botocore_shortcuts import OwnParsing

__all__ = ["fast_get"]

_HEADER: Final = "last-modified"


def fast_get(client: Any) -> Callable[..., Mapping[str, Any]]:
    """``client.get_object`` with the same answers, sooner."""
    return _parsing.of(client, client.get_object)


def _read(response_dict: dict[str, Any], customized_response_dict: dict[str, Any]) -> None:
    headers = response_dict.get("headers") or {}
    text = headers.get(_HEADER)
    if not isinstance(text, str):
        return
    try:
        modified = parsedate_to_datetime(text)
    except ValueError:
        return
    if modified.tzinfo is not None:
        del headers[_HEADER]
        customized_response_dict["LastModified"] = modified


_parsing = OwnParsing("GetObject", _read)
