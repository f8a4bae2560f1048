"""A page of ListObjectsV2, read about a hundred times as fast as botocore's XML parser reads it.

Takes a page only when every byte of its rows is accounted for; whatever looks any different is left to botocore, whose
rows are the same. What is known of the page besides its rows (token, truncation, count) is always botocore's word.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from cloudindex_provider.s3.facts import RESTORED, with_stand_ins
from cloudindex_provider.s3.page import ListedPage

__all__ = ["Page", "parse_page", "without_empty_times"]


class Page(NamedTuple):
    """The rows of a page, and the page without them: what botocore has still to read."""

    rows: ListedPage
    rest: bytes


_S = r"[ \t\r\n]*"
_DECLARATION = (
    r"(?:<\?xml version=[\"']1\.0[\"'](?: encoding=[\"'](?i:utf-8)[\"'])?(?: standalone=[\"']yes[\"'])? ?\?>)?"
)
_LEAVES = (
    "Name|Prefix|StartAfter|ContinuationToken|NextContinuationToken|KeyCount|MaxKeys|Delimiter|EncodingType|IsTruncated"
    "|Marker|NextMarker"
)
# The page around its rows. Common prefixes, comments, prefixed names or anything else: not ours to read.
_AROUND = re.compile(
    rf"{_DECLARATION}{_S}<ListBucketResult(?: xmlns=[\"'][^\"'<>&]*[\"'])?>"
    rf"(?P<leaves>(?:{_S}<(?P<leaf>{_LEAVES})(?:/>|>[^<]*</(?P=leaf)>))*){_S}</ListBucketResult>{_S}"
)
_LEAF = re.compile(r"<(\w+)(?:/>|>([^<]*)</)")

_TEXT = r"[^<>&\x00-\x1f\ufffe\uffff]*"
_OWNER = (
    rf"(?:<Owner>{_S}(?:<ID>{_TEXT}</ID>{_S}|<ID/>{_S}|<DisplayName>{_TEXT}</DisplayName>{_S}|<DisplayName/>{_S})*"
    rf"</Owner>{_S})?"
)
_RESTORE = (
    rf"(?:<RestoreStatus>{_S}(?:<IsRestoreInProgress>(?:true|false)</IsRestoreInProgress>{_S})?"
    rf"(<RestoreExpiryDate>[0-9TZ:.-]+</RestoreExpiryDate>{_S})?</RestoreStatus>{_S})?"  # only of a restored copy
)
_CHECKSUM = rf"(?:<ChecksumAlgorithm>[A-Z0-9]*</ChecksumAlgorithm>{_S})*(?:<ChecksumType>[A-Z_]*</ChecksumType>{_S})?"
_GCS = rf"(?:<Generation>[0-9]*</Generation>{_S}<MetaGeneration>[0-9]*</MetaGeneration>{_S})?"
_TIME = "[12][0-9-]{9}T[0-9:]{8}"
_QUOTE = '(?:&quot;|&#34;|")?'
_ETAG = r"(?!W/)[!#-%'-;=?-~]*"
_SIZE = "0|[1-9][0-9]{0,18}"
# One row: the elements that S3 and the servers like it (MinIO, Ceph, R2, GCS, moto) give, in their order.
_ROW = re.compile(
    rf"<Contents>{_S}<Key>([^<]+)</Key>{_S}{_GCS}<LastModified>({_TIME})(?:\.[0-9]+)?Z</LastModified>{_S}"
    rf"<ETag>{_QUOTE}({_ETAG}){_QUOTE}</ETag>{_S}{_CHECKSUM}<Size>({_SIZE})</Size>{_S}{_OWNER}{_RESTORE}"
    rf"(?:<StorageClass>([A-Z0-9_-]*)</StorageClass>{_S})?{_OWNER}{_RESTORE}(?:<Type>Normal</Type>{_S})?"
    r"</Contents>[ \t\r\n]*(?=<Contents>|\Z)"
)
# As Amazon writes most pages, every row alike: half the time of the pattern with all its choices.
_SHORT_ROWS = tuple(
    re.compile(
        rf"<Contents><Key>([^<]+)</Key><LastModified>({_TIME})\.000Z</LastModified>"
        rf"<ETag>&quot;({_ETAG})&quot;</ETag>{checksum}<Size>({_SIZE})</Size>"
        r"<StorageClass>([A-Z0-9_-]*)</StorageClass></Contents>(?=<Contents>|\Z)"
    )
    for checksum in (
        "<ChecksumAlgorithm>[A-Z0-9]*</ChecksumAlgorithm><ChecksumType>[A-Z_]*</ChecksumType>",
        "<ChecksumAlgorithm>[A-Z0-9]*</ChecksumAlgorithm>",
        "",
    )
)
_OPEN, _CLOSE = "<Contents>", "</Contents>"
# XML's own rules on characters, which its parser would have enforced or applied.
_SURROGATE = re.compile("[\ud800-\udfff]")
_EMPTY_TIME = re.compile(rb"<LastModified>[^<0-9]*</LastModified>|<LastModified\s*/>")
_NOT_PLAIN = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]")
_ENTITY = re.compile(r"&(?:(amp|lt|gt|quot|apos);)?")
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}


def parse_page(body: bytes) -> Page | None:
    """The page, or ``None`` where botocore should read it: not whole, or not as S3 writes it."""
    text = body.decode(errors="surrogateescape")  # of a server that writes keys as they are, and one is no UTF-8
    first, end = text.find(_OPEN), text.rfind(_CLOSE) + len(_CLOSE)
    if first < 0 or end <= first:
        return None
    rest = text[:first] + text[end:]
    leaves = _leaves(rest)
    if leaves is None:
        return None
    found = _rows(text, first, end)
    if found is None or leaves.get("KeyCount", str(len(found))) != str(len(found)):
        return None
    keys, modified, etags, sizes, classes = _columns(found)
    names = _names(keys, url=leaves.get("EncodingType") == "url")
    if names is None:
        return None
    times = ("Z\n".join(modified) + "Z").split("\n")  # whole seconds, as by HEAD
    tags = with_stand_ins(etags, times)
    page = ListedPage(names, tags, sizes, times, classes, has_stand_ins=tags is not etags)
    odd = not "".join(names).isascii() and any(map(_SURROGATE.search, names))
    return Page(page.readable() if odd else page, rest.encode(errors="surrogateescape"))


def without_empty_times(body: bytes) -> bytes:
    """The page without those times that say nothing, which botocore would lose the whole page for."""
    return _EMPTY_TIME.sub(b"", body)


def _columns(found: list[tuple[str, ...]]) -> tuple[Any, ...]:
    """Keys, times, ETags, sizes and storage classes."""
    columns = list(zip(*found, strict=True))
    if len(columns) > 5:  # with all its choices: a restored copy is told before the class or after it
        before, classes, after = columns.pop(4), columns.pop(4), columns.pop(4)
        restored = [RESTORED if one or other else "" for one, other in zip(before, after, strict=True)]
        columns.append(tuple(map(_class, classes, restored)))
    elif not all(columns[4]):
        columns[4] = tuple(_class(name, "") for name in columns[4])
    return tuple(columns)


def _class(name: str, restored: str) -> str:
    return (name or "STANDARD") + restored


def _rows(text: str, first: int, end: int) -> list[Any] | None:
    """(key, time, ETag, size, class) of each row, or ``None`` where one isn't written as we know them."""
    rows = text.count(_OPEN, first, end)
    for pattern in (*(short for short in _SHORT_ROWS if short.match(text, first, end)), _ROW):
        found = pattern.findall(text, first, end)
        if len(found) == rows:
            return found
    return None


def _leaves(rest: str) -> dict[str, str] | None:
    """What the page says about itself; ``None`` where it isn't a whole page or says something twice."""
    around = _AROUND.fullmatch(rest)
    if around is None:
        return None
    found = _LEAF.findall(around["leaves"])
    leaves = dict(found)
    known = leaves.get("EncodingType", "url") == "url" and leaves.get("IsTruncated") in ("true", "false")
    return leaves if known and len(leaves) == len(found) else None


def _names(keys: tuple[str, ...], *, url: bool) -> list[str] | tuple[str, ...] | None:
    """The keys as they are in the bucket, or ``None`` where the XML isn't plain."""
    joined = "\n".join(keys)  # one search over all of them instead of one for each
    names: list[str] | tuple[str, ...] = keys
    if "]]>" in joined or (not "".join(keys).isprintable() and _NOT_PLAIN.search(joined)):
        return None
    if "&" in joined:
        if any(match[1] is None for match in _ENTITY.finditer(joined)):
            return None  # a reference by number
        names = [_ENTITY.sub(lambda match: _ENTITIES[match[1]], key) for key in keys]
        joined = "\n".join(names)
    if url and ("%" in joined or "+" in joined):
        at_once = _unquoted(joined).split("\n")
        names = at_once if len(at_once) == len(names) else list(map(_unquoted, names))
    return names


def _unquoted(text: str) -> str:
    """Bytes that are no UTF-8 become surrogates: botocore's U+FFFD would be another key, which may be there, too."""
    return unquote_plus(text, errors="surrogateescape")
