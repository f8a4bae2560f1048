"""Where things can be looked at: the page at a sync or at its run, and a prefix in the S3 console.

Links within Airflow are relative to the base of its own page, so they hold under any host and base path, whatever a
worker believes the api-server's address to be. Whole addresses are for messages that are read elsewhere.
"""

from __future__ import annotations

from urllib.parse import quote, urlencode

from airflow.sdk.configuration import conf

from cloudindex_provider.links.routes import NAV_ROUTE, RUN_ROUTE

__all__ = ["absolute", "console_url", "page_path", "project_url"]

_CONSOLES = {"aws": "aws.amazon.com", "aws-cn": "amazonaws.cn", "aws-us-gov": "amazonaws-us-gov.com"}


def page_path(source_id: int | None, *, dag_id: str = "", run_id: str = "") -> str:
    """The page at a sync; with a DAG's run, at that run of it."""
    query = f"?{urlencode({'sync': source_id})}" if source_id else ""
    if dag_id and run_id:
        return f"dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}/plugin/{RUN_ROUTE}{query}"
    return f"plugin/{NAV_ROUTE}{query}"


def absolute(path: str) -> str | None:
    """The whole address of a page of Airflow's; ``None`` where ``[api] base_url`` isn't set."""
    base = str(conf.get("api", "base_url", fallback="") or "").rstrip("/")
    return f"{base}/{path}" if base and path else None


def console_url(store: str | None, bucket: str, prefix: str, region: str | None) -> str:
    """The folder of a prefix in the S3 console; empty for stores that have none, and for access points.

    :param store: as ``s3.place`` names it
    """
    domain = _CONSOLES.get(store or "")
    if domain is None or bucket.startswith("arn:"):
        return ""
    folder = prefix[: prefix.rfind("/") + 1]
    query = {"region": region, "prefix": folder, "showversions": "false"}
    given = urlencode({name: value for name, value in query.items() if value})
    return f"https://console.{domain}/s3/buckets/{quote(bucket, safe='')}?{given}"


def project_url(pattern: str | None, project_id: str) -> str:
    """A project in CloudIndex's own pages, by the connection's pattern; empty where it has none."""
    return pattern.replace("{project_id}", quote(project_id, safe="")) if pattern else ""
