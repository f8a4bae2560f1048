"""What S3 has of named keys now: by HEAD, several at once. A 404 says that a key is gone."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from cloudindex_provider.errors import S3IntegrationError
from cloudindex_provider.s3.error_mapping import is_about_all
from cloudindex_provider.s3.page import ListedObject
from cloudindex_provider.sync.context import SyncContext

__all__ = ["Present", "present"]

_HEADS = 8  # requests at once
Present = ListedObject | S3IntegrationError | None  # an object, why nothing can be said of it, or S3's 404


def present(ctx: SyncContext, keys: Sequence[str]) -> dict[str, Present]:
    """What S3 says of each key.

    :raises S3IntegrationError: where it is proven to be about all keys
    """
    with ThreadPoolExecutor(max_workers=max(1, min(_HEADS, len(keys)))) as pool:
        return dict(zip(keys, pool.map(partial(_head, ctx), keys), strict=True))


def _head(ctx: SyncContext, key: str) -> Present:
    try:
        return ctx.s3.head(key)
    except S3IntegrationError as error:
        if is_about_all(error):
            raise
        return error
