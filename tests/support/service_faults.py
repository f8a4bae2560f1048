"""Words that the tests of CloudIndex's faults share."""

from __future__ import annotations

from typing import Any

from cloudindex_provider.local.faults import Fault

__all__ = ["BEHAVIOURS", "upload"]

BEHAVIOURS = ["duplicate", "version", "replace"]  # what the service does with a name that it has already


def upload(kind: Any, **more: Any) -> Fault:
    """A fault of an upload."""
    return Fault(operation="upload", kind=kind, **more)
