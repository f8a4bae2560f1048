"""A prefix listed page by page, and what a page must be to be believed: whole, of this prefix, and in key order.

Sends nothing itself: how a page is asked for, and how often, is ``S3Source``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any

from cloudindex_provider.errors import S3IntegrationError, SourceOrderError, SourceUnavailableError
from cloudindex_provider.s3 import facts
from cloudindex_provider.s3.botocore_shortcuts import ROWS
from cloudindex_provider.s3.error_mapping import is_about_all
from cloudindex_provider.s3.page import ListedPage

__all__ = ["Listing", "page_of"]

_START = "ListingStart"  # a listing that doesn't begin where it was asked to
_BARREN = 10_000  # pages in a row that bring nothing new; S3 gives some where much was deleted
_REPEATED = 10  # pages more than there are others; with a key a page, a key that is listed twice makes one


@dataclass(frozen=True, slots=True)
class Listing:
    """The listings of one bucket.

    :param ask: the parameters of ListObjectsV2 -> its answer, as boto3 gives it
    :param seen: is told every page as it came, before it is judged
    """

    bucket: str
    ask: Callable[..., Mapping[str, Any]]
    seen: Callable[[ListedPage], None]

    def pages(
        self, prefix: str = "", *, start_after: str = "", page_size: int = 1000, ordered: bool = True
    ) -> Iterator[ListedPage]:
        """The objects under ``prefix`` after ``start_after``, a page at a time, in key order.

        :param ordered: whether the storage must list in key order; without it a key may come more than once
        :raises SourceOrderError: when two keys are out of order
        :raises S3IntegrationError: when a page can't be had; nothing after it is known then
        """
        request: dict[str, Any] = {"Prefix": prefix, "MaxKeys": page_size}
        if start_after:
            request["StartAfter"] = start_after
        last = start_after  # of a page, the key before it
        progress = _Progress(self.bucket)
        while True:
            answer, page = self._page(request, prefix)
            self._check_whole(page, answer, prefix)
            if ordered:
                page = self._once_in_order(page, last, begins="ContinuationToken" not in request)
                last = page.keys[-1] if page else last
            if page:
                yield replace(page, last=not answer["IsTruncated"], as_of=_as_of(answer))
            if not answer["IsTruncated"]:
                return
            token = progress.token(answer, page, ordered=ordered)
            if token == request.get("ContinuationToken"):
                raise progress.error()
            request["ContinuationToken"] = token

    def _page(self, request: Mapping[str, Any], prefix: str) -> tuple[Mapping[str, Any], ListedPage]:
        try:
            answer = self.ask(**request)
            page = page_of(answer)
            self.seen(page)
            return answer, page
        except S3IntegrationError as error:
            if "StartAfter" not in request or "ContinuationToken" in request or not _is_about_the_request(error):
                raise
            start = request["StartAfter"]
            raise SourceOrderError(f"{error.message} It was asked for keys after {start!r}.", code=_START) from None
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # botocore trips over XML that isn't S3's, such as two KeyCounts, with whatever its parser raises.
            raise self._unreadable(prefix, f"a page that can't be read ({type(error).__name__})") from None

    def _unreadable(self, prefix: str, what: str) -> SourceUnavailableError:
        return SourceUnavailableError(
            f"bucket {self.bucket}: a listing of {prefix!r} gave {what}.",
            code="ListingUnreadable",
            hint="Nothing was deleted. Check that the endpoint of the AWS connection is S3 and not a proxy's page.",
        )

    def _check_whole(self, page: ListedPage, answer: Mapping[str, Any], prefix: str) -> None:
        """A page that doesn't say whether it is the last, or holds other rows than it says, is no end of a listing."""
        keys = page.keys
        whole = page.in_order and keys[0].startswith(prefix) and keys[-1].startswith(prefix)
        stray = None if whole else next((key for key in keys if not key.startswith(prefix)), None)
        # Directory buckets may count what multipart uploads under way have for prefixes.
        counts = (page.listed, page.listed + len(answer.get("CommonPrefixes") or ()))
        if "IsTruncated" in answer and answer.get("KeyCount", page.listed) in counts and stray is None:
            return
        what = f"a key outside of the prefix, {stray!r}" if stray is not None else "a page that isn't whole"
        raise self._unreadable(prefix, what)

    def _once_in_order(self, page: ListedPage, last: str, *, begins: bool) -> ListedPage:
        """The page, where its keys come after ``last`` in key order; what comes twice side by side is there once."""
        if not page or (page.in_order and page.keys[0] > last):
            return page
        if begins and page.keys[0] < last:
            raise SourceOrderError(
                f"bucket {self.bucket} was asked for keys after {last!r} and listed {page.keys[0]!r}.",
                code=_START,
                previous=last,
                key=page.keys[0],
            )
        page = page.once(last)
        for key in page.keys:
            if key <= last:
                raise SourceOrderError(
                    f"bucket {self.bucket} listed {key!r} after {last!r}.", code="ListingOrder", previous=last, key=key
                )
            last = key
        return page


@dataclass(slots=True)
class _Progress:
    """Whether a listing goes on: a storage that answers the same again and again would never come to an end."""

    bucket: str
    barren: int = 0  # pages in a row without a key that is new
    repeated: int = 0  # pages that were there before
    tokens: set[int] = field(default_factory=set)  # hashes, where no order shows progress
    pages: set[int] = field(default_factory=set)  # hashes, too

    def token(self, answer: Mapping[str, Any], page: ListedPage, *, ordered: bool) -> str:
        """Where a truncated listing goes on.

        :raises S3IntegrationError: when it doesn't say, or goes round in circles
        """
        token = answer.get("NextContinuationToken")
        self.barren = 0 if page else self.barren + 1
        if not token or self.barren > _BARREN:
            raise self.error()
        if not ordered:
            content = hash(tuple(page.keys))
            self.repeated += bool(page) and content in self.pages
            if hash(token) in self.tokens or self.repeated > _REPEATED + len(self.pages):
                raise self.error()
            self.tokens.add(hash(token))
            self.pages.add(content)
        return str(token)

    def error(self) -> S3IntegrationError:
        """What such a listing is answered by."""
        return S3IntegrationError(
            f"bucket {self.bucket}: a listing says that it goes on, but not where.",
            code="ListingTokenMissing",
            hint="This storage's ListObjectsV2 is not S3's; nothing was deleted.",
        )


def _is_about_the_request(error: S3IntegrationError) -> bool:
    """Whether the storage may not know a parameter; a class of its own says that it is about something else."""
    return not is_about_all(error) and (type(error) is S3IntegrationError or error.code == "NotImplemented")


def page_of(answer: Mapping[str, Any]) -> ListedPage:
    """The rows of an answer to ListObjectsV2."""
    page: ListedPage | None = answer.get(ROWS)
    if page is not None:
        return page
    rows = [facts.listed(item["Key"], item, int(item["Size"])) for item in answer.get("Contents") or ()]
    return ListedPage.of(rows).readable()


def _as_of(answer: Mapping[str, Any]) -> str:
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    try:
        return facts.time_of(parsedate_to_datetime(headers["date"]))
    except (KeyError, ValueError, TypeError):
        return ""
