"""The settings of one sync, validated. What is wrong is said with the setting's name before anything is done."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field, fields
from typing import Any

from cloudindex_provider.api.limits import DEFAULT_MAX_FILE_SIZE, DEFAULT_MAX_REQUEST_SIZE
from cloudindex_provider.errors import SettingsError

__all__ = [
    "DEFAULT_FILE_TYPES",
    "DEFAULT_LIMITS",
    "UPLOAD_ORDERS",
    "Limits",
    "Selection",
    "SyncSettings",
]

UPLOAD_ORDERS = ("key", "newest", "smallest")

# documents.yaml, "Supported formats", with cs and rs for its CSHARP and RUST.
_FILE_TYPES = """
    pdf doc docx rtf txt odt pages abw sxw stw sxg wpd wps lwp hwp html htm xml
    xls xlsx xlsm xlsb csv tsv ods fods numbers dif sylk dbf wks ppt pptx pptm pot potm potx odp key
    js jsx ts tsx py go java cs rs sql sh bash css scss sass ejs tmpl yaml env conf md mdx
"""
DEFAULT_FILE_TYPES = tuple(_FILE_TYPES.split())

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]\Z")
_ARN = re.compile(r"arn:[^:]+:s3[^:]*:[^:]*:[^:]*:.+\Z")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of the prefix are synced. Globs see the whole key; ``*`` crosses ``/``, as in S3KeySensor."""

    include: tuple[str, ...] = ()  # none: everything
    exclude: tuple[str, ...] = ()
    file_types: tuple[str, ...] = DEFAULT_FILE_TYPES  # extensions, lower case, no dot; ("*",) for all
    max_file_size: int = DEFAULT_MAX_FILE_SIZE  # bytes

    def fingerprint(self) -> str:
        """A hash that changes when another set of keys may be selected."""
        facts = {f.name: getattr(self, f.name) for f in fields(self)}
        facts["file_types"] = sorted(self.file_types)
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one run."""

    max_request_size: int = DEFAULT_MAX_REQUEST_SIZE  # bytes of files in one request
    max_delete_documents: int = 10  # held when more than this ...
    max_delete_percent: float = 20.0  # ... and more than this share of the live documents
    max_delete_absolute: int = 10_000  # held when more than this, whatever the share
    max_failed_documents: int = 0
    max_documents_per_run: int | None = None
    max_run_time: float | None = 50 * 60.0  # seconds
    processing_timeout: float = 60 * 60.0  # seconds, from the first wait
    upload_tasks: int = 4
    listing_ranges: int = 16  # parts of the prefix that are listed side by side, as soon as a listing is known
    max_attempts: int = 3  # strikes of one ETag before quarantine


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """One sync: its source, its selection and its limits."""

    project_id: str
    bucket: str
    prefix: str = ""
    sync_id: str = ""
    selection: Selection = field(default_factory=Selection)
    limits: Limits = field(default_factory=Limits)
    keys: tuple[str, ...] | None = None  # only these keys, instead of a listing
    on_removed: str = "delete"  # or "keep"
    on_mass_delete: str = "fail"  # or "skip", or "approve"
    upload_order: str = "key"  # or "newest", or "smallest" first
    wait_for_processing: bool = True
    dry_run: bool = False
    plan_hash: str | None = None  # do this plan or nothing

    def validate(self) -> SyncSettings:
        """Itself, or a ``SettingsError`` naming the first setting that can't work."""
        _check_bucket(self.bucket)
        if not self.project_id:
            raise SettingsError(
                "No CloudIndex project is named.",
                field="project_id",
                hint="Set project_id, or project_id in the CloudIndex connection's extras.",
            )
        _check_prefix(self.prefix)
        _one_of("on_removed", self.on_removed, ("delete", "keep"))
        _one_of("on_mass_delete", self.on_mass_delete, ("fail", "skip", "approve"))
        _one_of("upload_order", self.upload_order, UPLOAD_ORDERS)
        _check_keys(self.keys, self.prefix)
        _check_selection(self.selection)
        _check_limits(self.limits)
        return self


def _check_bucket(bucket: Any) -> None:
    if isinstance(bucket, str) and bucket.endswith("--x-s3"):
        raise SettingsError(
            f"{bucket} is a directory bucket, which lists keys in no order, so it can't be compared or synced.",
            field="bucket",
            hint="Use a general purpose bucket.",
        )
    if not isinstance(bucket, str) or not (_BUCKET.match(bucket) or _ARN.match(bucket)):
        raise SettingsError(
            f"{bucket!r} is no bucket name.", field="bucket", hint="Give the name alone, without s3:// or a path."
        )


def _check_prefix(prefix: Any) -> None:
    if not isinstance(prefix, str):
        raise SettingsError(f"prefix is {prefix!r}, not a string.", field="prefix")
    if prefix.startswith("s3://"):
        raise SettingsError(
            f"prefix {prefix!r} is a URL.", field="prefix", hint="Give the bucket as bucket and the rest as prefix."
        )
    if len(prefix.encode("utf-8", "surrogatepass")) > 1024:
        raise SettingsError("prefix is longer than 1024 bytes, the longest key S3 has.", field="prefix")
    if not _is_storable(prefix):
        raise SettingsError("prefix holds U+0000 or half a surrogate pair, which can't be stored.", field="prefix")


def _is_storable(text: str) -> bool:
    return not any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text)


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SettingsError(f"{name} is {value!r}.", field=name, hint=f"Use one of {', '.join(allowed)}.")


def _check_keys(keys: tuple[str, ...] | None, prefix: str) -> None:
    for key in keys or ():
        if not isinstance(key, str) or not key or not key.startswith(prefix):
            raise SettingsError(f"key {key!r} isn't under the prefix {prefix!r}.", field="keys")
        if not _is_storable(key):
            raise SettingsError(f"key {key!r} holds U+0000 or half a surrogate pair.", field="keys")


def _check_selection(selection: Selection) -> None:
    for name in ("include", "exclude", "file_types"):
        items = getattr(selection, name)
        if isinstance(items, str):
            raise SettingsError(f"{name} is one string, not a list of them.", field=name, hint=f"Use [{items!r}].")
        for item in items:
            if not isinstance(item, str) or not item:
                raise SettingsError(f"{name} holds {item!r}, not a string.", field=name)
    if not selection.file_types:
        raise SettingsError(
            "file_types is empty, so nothing could be synced.", field="file_types", hint='["*"] is all.'
        )
    _check_number("max_file_size", selection.max_file_size, low=1, whole=True)


def _check_limits(limits: Limits) -> None:
    lows: dict[str, float] = {
        "max_request_size": 1,
        "upload_tasks": 1,
        "listing_ranges": 1,
        "max_attempts": 1,
        "max_documents_per_run": 1,
    }
    for item in fields(limits):
        value = getattr(limits, item.name)
        if value is None and item.name in ("max_documents_per_run", "max_run_time"):
            continue
        _check_number(item.name, value, low=lows.get(item.name, 0), whole="int" in str(item.type))
    if limits.max_delete_percent > 100:
        raise SettingsError("max_delete_percent is over 100.", field="max_delete_percent")
    if limits.listing_ranges > 64:
        raise SettingsError("listing_ranges is over 64.", field="listing_ranges")
    if limits.upload_tasks > 64:
        raise SettingsError("upload_tasks is over 64.", field="upload_tasks", hint="4 fill 100 requests a minute.")


def _check_number(name: str, value: Any, *, low: float, whole: bool) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= low:
        raise SettingsError(f"{name} is {value!r}, not a number of at least {low}.", field=name)
    if whole and isinstance(value, float) and not value.is_integer() and value != float("inf"):  # inf: no limit
        raise SettingsError(f"{name} is {value!r}, not a whole number.", field=name)
