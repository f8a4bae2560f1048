"""A prefix listed page by page, and what a page must be to be believed: whole, of this prefix, and in key order.

Sends nothing itself: how a page is asked for, and how often, is ``S3Source``'s.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cloudindex_provider.errors import S3IntegrationError, SourceOrderError, SourceUnavailableError
from cloudindex_provider.s3.botocore_shortcuts import ROWS
from cloudindex_provider.s3.page import ListedObject, ListedPage, iso_time

__all__ = ["Listing"]


@dataclass(frozen=True, slots=True)
class Listing:
    """The listings of one bucket.

    :param ask: the parameters of ListObjectsV2 -> its answer, as boto3 gives it
    """

    bucket: str
    ask: Callable[..., Mapping[str, Any]]

    def pages(
        self, prefix: str = "", *, start_after: str = "", upto: str | None = None, page_size: int = 1000
    ) -> Iterator[ListedPage]:
        """The objects under ``prefix`` after ``start_after`` up to ``upto``, in key order, a page at a time.

        :raises SourceOrderError: when two keys are out of order
        :raises S3IntegrationError: when a page can't be had; nothing after it is known then
        """
        request: dict[str, Any] = {"Prefix": prefix, "MaxKeys": page_size}
        if start_after:
            request["StartAfter"] = start_after
        last = start_after  # of a page, the key before it
        while True:
            answer, page = self._page(request, prefix)
            in_order = page.in_order
            self._check_whole(page, answer, prefix, in_order)
            if page and "ContinuationToken" not in request and page.keys[0] <= start_after:
                raise SourceOrderError(
                    f"bucket {self.bucket} was asked for keys after {start_after!r} and listed {page.keys[0]!r}.",
                    code="ListingStart",
                    hint="This storage ignores StartAfter: set listing_ranges to 1.",
                    previous=start_after,
                    key=page.keys[0],
                )
            last = self._check_order(page, last, in_order)
            beyond = upto is not None and last >= upto
            if upto is not None and last > upto:
                page = page[: bisect.bisect_right(page.keys, upto)]
            if page:
                yield page
            if beyond or not answer.get("IsTruncated"):
                return
            token = answer.get("NextContinuationToken")
            if not token or token == request.get("ContinuationToken"):
                raise S3IntegrationError(
                    f"bucket {self.bucket}: a listing says that it goes on, but not where.",
                    code="ListingTokenMissing",
                    hint="This storage's ListObjectsV2 is not S3's; nothing was deleted.",
                )
            request["ContinuationToken"] = token

    def _page(self, request: Mapping[str, Any], prefix: str) -> tuple[Mapping[str, Any], ListedPage]:
        try:
            answer = self.ask(**request)
            return answer, _rows(answer)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # botocore trips over XML that isn't S3's, such as two KeyCounts, with whatever its parser raises.
            raise self._unreadable(prefix, f"a page that can't be read ({type(error).__name__})") from None

    def _unreadable(self, prefix: str, what: str) -> SourceUnavailableError:
        return SourceUnavailableError(
            f"bucket {self.bucket}: a listing of {prefix!r} gave {what}.",
            code="ListingUnreadable",
            hint="Nothing was deleted. Check that the endpoint of the AWS connection is S3 and not a proxy's page.",
        )

    def _check_whole(self, page: ListedPage, answer: Mapping[str, Any], prefix: str, in_order: bool) -> None:
        """A page that doesn't say whether it is the last, or holds other rows than it says, is no end of a listing."""
        keys = page.keys
        whole = in_order and keys[0].startswith(prefix) and keys[-1].startswith(prefix)
        stray = None if whole else next((key for key in keys if not key.startswith(prefix)), None)
        if "IsTruncated" in answer and answer.get("KeyCount", len(page)) == len(page) and stray is None:
            return
        what = f"a key outside of the prefix, {stray!r}" if stray is not None else "a page that isn't whole"
        raise self._unreadable(prefix, what)

    def _check_order(self, page: ListedPage, last: str, in_order: bool) -> str:
        if in_order and (page.keys[0] > last or not last):
            return page.keys[-1]
        for key in page.keys:
            if key <= last and last:
                raise SourceOrderError(
                    f"bucket {self.bucket} listed {key!r} after {last!r}.",
                    code="ListingOrder",
                    previous=last,
                    key=key,
                )
            last = key
        return last


def _rows(answer: Mapping[str, Any]) -> ListedPage:
    page: ListedPage | None = answer.get(ROWS)
    return ListedPage.of(map(_row, answer.get("Contents") or ())) if page is None else page


def _row(item: Mapping[str, Any]) -> ListedObject:
    return ListedObject(
        item["Key"],
        str(item.get("ETag", "")).strip('"'),
        int(item["Size"]),
        iso_time(item.get("LastModified")),
        str(item.get("StorageClass") or "STANDARD"),
    )
