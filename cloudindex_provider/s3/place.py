"""Where a bucket is: the store that a client speaks to, in one spelling. Pure; sends nothing, and never holds a secret.

A bucket's name means something only together with its store. Two spellings of one store must come out equal, because a
difference makes removals wait for a person: scheme, default port, trailing dots and slashes, a login in the URL and the
bucket as part of the host are no difference, and neither is the way to AWS (global, regional, dual-stack, FIPS,
accelerate, PrivateLink, access points), where a bucket's name is unique in the whole partition.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

__all__ = ["bucket_place", "is_access_point", "is_of_aws", "partition_of", "store_of"]

_ALIASES = ("-s3alias", "--ol-s3", "--xa-s3")  # ends of an access point's other name
_PORTS = {"http": 80, "https": 443}
# AWS's hosts of S3, and no others under the same domains: a load balancer or an EC2 machine may be anybody's store.
_AWS = re.compile(
    r"(?:.+\.)?s3(?:express|-[a-z0-9-]+|express-[a-z0-9-]+)?(?:\.dualstack)?(?:\.(?P<region>[a-z]{2,4}(?:-[a-z]+)+-\d+))?"
    r"(?:\.vpce)?\.(?P<domain>amazonaws\.com|amazonaws\.com\.cn|amazonaws\.eu|api\.aws)"
)
_PARTITIONS = {"amazonaws.com.cn": "aws-cn", "amazonaws.eu": "aws-eusc"}
_ARN_ACCOUNT = re.compile(r"arn:[^:]*:s3[^:]*:[^:]*:(\d+):")


def bucket_place(client: Any, bucket: str) -> str | None:
    """The store of a boto3 client's bucket, with the account where the bucket is an ARN; ``None``: it isn't known."""
    url = getattr(getattr(client, "meta", None), "endpoint_url", None)
    store = store_of(url, bucket) if isinstance(url, str) else None
    account = _ARN_ACCOUNT.match(bucket)
    return f"{store}, account {account[1]}" if store and account else store


def store_of(endpoint_url: str, bucket: str = "") -> str | None:
    """``aws`` (or another of its partitions), else host, port and path of the endpoint."""
    try:
        parts = urlsplit(endpoint_url if "//" in endpoint_url else f"//{endpoint_url}")
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:  # a port that is no number; no request can be sent there either
        return None
    if not host:
        return None
    aws = _AWS.fullmatch(host)
    if aws is not None:
        return _partition(host, aws["domain"])
    host = host.removeprefix(f"{bucket.lower()}.") if bucket else host
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}{'' if port in (None, _PORTS.get(parts.scheme)) else f':{port}'}{parts.path.rstrip('/')}"


def is_access_point(bucket: str) -> bool:
    """Whether what a request gives for a bucket is an access point of one: its ARN or its alias."""
    return bucket.startswith("arn:") or bucket.endswith(_ALIASES)


def is_of_aws(client: Any) -> bool:
    """Whether a boto3 client of S3 speaks to AWS, and to no other store."""
    return store_of(client.meta.endpoint_url) in ("aws", "aws-us-gov", *_PARTITIONS.values())


def partition_of(region: str | None) -> str:
    """As ARNs of the region begin with it, such as ``aws-cn``; ``aws`` where botocore doesn't know the region."""
    from botocore.exceptions import UnknownRegionError
    from botocore.session import get_session  # a command's need alone

    try:
        return str(get_session().get_partition_for_region(region)) if region else "aws"
    except UnknownRegionError:
        return "aws"


def _partition(host: str, domain: str) -> str:
    return "aws-us-gov" if re.search(r"[.-]us-gov-", host) else _PARTITIONS.get(domain, "aws")
