"""The documents of an S3 prefix in CloudIndex as an Airflow asset: ``cloudindex://HOST/PROJECT/BUCKET/PREFIX``.

The URI says which documents are meant and nothing about how they are reached: host (with a port that isn't the
scheme's own) and project of the service, bucket and prefix of S3. So it is the same for every connection and every DAG,
and holds no secret. What can't stand in a URI is percent-encoded; a prefix has no slash at its end, because Airflow's
assets have none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

from airflow.sdk import Asset, AssetAlias

from cloudindex_provider.api.connection import DEFAULT_BASE_URL

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset

__all__ = ["asset_uri", "convert_asset_to_openlineage", "create_asset", "dataset_name", "sanitize_uri", "sync_alias"]

SCHEME = "cloudindex"
_FORM = "cloudindex://HOST/PROJECT/BUCKET/PREFIX"
_PORTS = {"http": 80, "https": 443}
_SAFE = "=,+@:"  # beside letters, digits and -._~


def create_asset(
    *, project_id: str, bucket: str, prefix: str = "", base_url: str = DEFAULT_BASE_URL, extra: Any = None
) -> Asset:
    """The asset of a sync, to schedule a DAG on.

    :param project_id: the CloudIndex project
    :param bucket: the S3 bucket's name
    :param prefix: the sync's prefix
    :param base_url: as the CloudIndex connection has it
    :param extra: what Airflow shows beside it
    """
    return Asset(uri=asset_uri(base_url, project_id, bucket, prefix), extra=extra)


def sync_alias(dag_id: str, name: str) -> AssetAlias:
    """The alias of a sync, to schedule a DAG on without knowing its project, bucket or prefix.

    :param dag_id: the DAG in which it runs
    :param name: the id of its task group, or of its single task; with the ids of the groups around it
    """
    return AssetAlias(name=f"{SCHEME}:{dag_id}.{name}")


def asset_uri(base_url: str, project_id: str, bucket: str, prefix: str) -> str:
    """The URI, in the only form that it has."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, _PORTS.get(parts.scheme)) else f":{parts.port}"
    path = "/".join(_quoted(part) for part in (project_id, bucket, *prefix.rstrip("/").split("/")))
    return f"{SCHEME}://{host}{port}/{path}".rstrip("/")


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """What Airflow asks of a URI that a DAG's author wrote: the one form, or an error.

    :raises ValueError: it names no project and bucket
    """
    host = uri.netloc.rpartition("@")[2].lower()
    parts = uri.path.removeprefix("/").split("/")
    if not host or len(parts) < 2 or not all(parts[:2]):
        raise ValueError(f"A URI of CloudIndex's documents is {_FORM}.")
    path = "/".join(_quoted(unquote(part)) for part in parts)
    return uri._replace(netloc=host, path=f"/{path}".rstrip("/"), query="", fragment="")


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> Dataset:
    """The asset as OpenLineage names it."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    namespace, name = dataset_name(asset.uri)
    return Dataset(namespace=namespace, name=name)


def dataset_name(uri: str) -> tuple[str, str]:
    """OpenLineage's namespace and name of an asset: the service, and what it has there."""
    parts = urlsplit(uri)
    return f"{SCHEME}://{parts.netloc}", unquote(parts.path.removeprefix("/"))


def _quoted(part: str) -> str:
    return quote(part, safe=_SAFE)
