"""The settings of one sync: declared once, each with its reader, its bounds and its meaning; read and validated.

The field says name, type and default, its declaration the rest. Operators, the task group and the command line build
``SyncSettings`` by ``build_settings`` and nothing else, so that all of them judge by the same limits. What is wrong is
said with the setting's name before anything is done.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any

from cloudindex_provider.api.limits import DEFAULT_MAX_FILE_SIZE, DEFAULT_MAX_REQUEST_SIZE
from cloudindex_provider.errors import SettingsError
from cloudindex_provider.s3.ranges import MAX_RANGES, is_directory_bucket
from cloudindex_provider.sync import arguments
from cloudindex_provider.sync.arguments import DEFAULT_FILE_TYPES, flag, number, plain, seconds, string, strings, whole

__all__ = [
    "AUDIT_INTERVAL",
    "DEFAULT_FILE_TYPES",
    "DEFAULT_LIMITS",
    "MAX_UPLOAD_TASKS",
    "SETTINGS",
    "Limits",
    "Selection",
    "Setting",
    "SyncSettings",
    "build_settings",
    "default_text",
    "description",
    "is_key_storable",
]

MAX_UPLOAD_TASKS = 64  # a task costs about 0.3 CPU-seconds of Airflow, and each pulls the whole XCom

AUDIT_INTERVAL = 86400.0  # seconds, where nobody has said another
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]\Z")
_ARN = re.compile(r"arn:[^:]+:s3[^:]*:[^:]*:[^:]*:.+\Z")
_THE_CONNECTIONS = "the CloudIndex connection's"


@dataclass(frozen=True, slots=True)
class Setting:
    """What a field of the settings declares beside its name, type and default.

    :param text: its meaning, which docstrings and the command line repeat
    :param read: (name, raw value) -> value; raw is what a template, a DAG or a command line gives
    :param low: a number's least value
    :param high: a number's largest value
    :param optional: a raw value that says nothing is ``None``
    :param choices: all values that there are
    :param default: how to say the default, where its value doesn't say it
    :param hint: what to do about a number that is too large
    :param argument: whether people may set it
    """

    text: str
    read: Callable[[str, Any], Any]
    low: float = 0
    high: float | None = None
    optional: bool = False
    choices: tuple[str, ...] = ()
    default: str | None = None
    hint: str = ""
    argument: bool = True

    def check(self, name: str, value: Any) -> None:
        """Nothing, or a ``SettingsError`` that names the setting."""
        if self.choices:
            if value not in self.choices:
                raise SettingsError(f"{name} is {value!r}.", field=name, hint=f"Use one of {', '.join(self.choices)}.")
        elif self.read in (whole, number, seconds) and not (self.optional and value is None):
            _check_number(name, value, low=self.low, whole=self.read is whole)
            if self.high is not None and value > self.high:
                raise SettingsError(f"{name} is over {self.high:g}.", field=name, hint=self.hint)


def _declare(text: str, read: Callable[[str, Any], Any], **more: Any) -> dict[str, Setting]:
    return {"setting": Setting(text, read, **more)}


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of the prefix are synced. Globs see the whole key; ``*`` crosses ``/``, as in S3KeySensor."""

    include: tuple[str, ...] = field(
        default=(), metadata=_declare("globs of whole keys; ``*`` crosses ``/``", strings, default="everything")
    )
    exclude: tuple[str, ...] = field(
        default=(), metadata=_declare("globs of whole keys that are left out", strings, default="nothing")
    )
    file_types: tuple[str, ...] = field(  # lower case, no dot
        default=DEFAULT_FILE_TYPES,
        metadata=_declare(
            'extensions; ``["*"]``: any',
            lambda _, value: arguments.file_types(value),
            default="all that CloudIndex documents",
        ),
    )
    max_file_size: int = field(
        default=DEFAULT_MAX_FILE_SIZE,
        metadata=_declare("bytes of one file", whole, low=1, default=_THE_CONNECTIONS),
    )

    def rules(self) -> str:
        """The selection as JSON, which ``sync.selection.selection_of`` reads."""
        facts = {f.name: getattr(self, f.name) for f in fields(self)} | {"file_types": sorted(self.file_types)}
        return json.dumps(facts, sort_keys=True)

    def fingerprint(self) -> str:
        """A hash that changes when another set of keys may be selected."""
        return hashlib.sha256(self.rules().encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one run. Times are in seconds."""

    max_request_size: int = field(
        default=DEFAULT_MAX_REQUEST_SIZE,
        metadata=_declare("bytes of files in one upload", whole, low=1, default=_THE_CONNECTIONS),
    )
    max_delete_documents: int = field(
        default=10,
        metadata=_declare("removals are held when they are more than this and more than ``max_delete_percent``", whole),
    )
    max_delete_percent: float = field(
        default=20.0, metadata=_declare("share of the live documents, 0 to 100", number, high=100)
    )
    max_delete_absolute: int = field(
        default=10_000,
        metadata=_declare("removals are held when they are more than this, whatever the share", whole),
    )
    max_failed_documents: int = field(default=0, metadata=_declare("failures of one run that leave it green", whole))
    max_documents_per_run: int | None = field(
        default=None, metadata=_declare("uploads of one run; ``None``: no limit", whole, low=1, optional=True)
    )
    max_run_time: float | None = field(
        default=50 * 60.0,
        metadata=_declare(
            "seconds or timedelta from a task's own start, after which it begins no further upload; ``None``: no limit",
            seconds,
            optional=True,
        ),
    )
    processing_timeout: float = field(  # from the first wait
        default=60 * 60.0,
        metadata=_declare("seconds or timedelta; what still processes then is left to the next run", seconds),
    )
    stuck_after: float | None = field(
        default=24 * 3600.0,
        metadata=_declare(
            "seconds or timedelta of processing after which a document is given up and uploaded anew; ``None``: never",
            seconds,
            low=1,
            optional=True,
        ),
    )
    upload_tasks: int = field(
        default=4,
        metadata=_declare(
            "uploads at the same time, as mapped tasks or threads; fewer where the rate limit feeds no more",
            whole,
            low=1,
            high=MAX_UPLOAD_TASKS,
            hint="4 fill 100 requests a minute.",
        ),
    )
    listing_ranges: int = field(
        default=16,
        metadata=_declare(
            f"parts of the prefix that are listed side by side, 1 to {MAX_RANGES}, once it has been listed whole",
            whole,
            low=1,
            high=MAX_RANGES,
        ),
    )
    audit_interval: float | None = field(  # None: not said, which is AUDIT_INTERVAL where that is cheap
        default=None,
        metadata=_declare(
            "seconds or timedelta after which a run also compares the state with the project's list; 0: never",
            seconds,
            optional=True,
            default="24 h; never for more than a million documents",
        ),
    )
    max_attempts: int = field(
        default=3, metadata=_declare("strikes of one ETag before quarantine", whole, low=1, argument=False)
    )


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """One sync: its source, its selection and its limits."""

    project_id: str = field(metadata=_declare("the CloudIndex project", arguments.text, default=_THE_CONNECTIONS))
    bucket: str = field(metadata=_declare("the S3 bucket's name", arguments.text))
    prefix: str = field(
        default="",
        metadata=_declare("only keys that start with it", arguments.prefix, default="the whole bucket"),
    )
    sync_id: str = field(default="", metadata=_declare("tells two syncs of one prefix apart", string))
    selection: Selection = field(default_factory=Selection)
    limits: Limits = field(default_factory=Limits)
    keys: tuple[str, ...] | None = field(
        default=None,
        metadata=_declare(
            "only these keys, looked up one by one instead of listing the prefix",
            lambda _, value: arguments.keys(value),
            default="the whole prefix",
        ),
    )
    on_removed: str = field(
        default="delete",
        metadata=_declare(
            "``delete`` or ``keep`` the documents of keys that S3 has no more", plain, choices=("delete", "keep")
        ),
    )
    on_mass_delete: str = field(
        default="fail",
        metadata=_declare(
            "``fail`` the run, ``skip`` the removals, or ask a person to ``approve`` them in the DAG"
            " ``cloudindex_approve_deletes``, when there are more than the limits allow",
            plain,
            choices=("fail", "skip", "approve"),
        ),
    )
    upload_order: str = field(
        default="key",
        metadata=_declare("``key``, or ``newest`` or ``smallest`` first", plain, choices=("key", "newest", "smallest")),
    )
    request_payer: bool = field(
        default=False,
        metadata=_declare("agree to pay for requests and transfer, where the bucket is Requester Pays", flag),
    )
    wait_for_processing: bool = field(
        default=True, metadata=_declare("wait until CloudIndex has processed what was uploaded", flag)
    )
    dry_run: bool = field(default=False, metadata=_declare("compare and report, write nothing but the plan", flag))
    plan_hash: str | None = field(
        default=None,
        metadata=_declare(
            "do the plan with this hash (of a dry run or ``airflow cloudindex plan``) or nothing", plain, optional=True
        ),
    )

    @property
    def keeps_removed(self) -> bool:
        """Whether the documents of keys that S3 has no more stay."""
        return self.on_removed == "keep"

    def validate(self) -> SyncSettings:
        """Itself, or a ``SettingsError`` naming the first setting that can't work."""
        _check_bucket(self.bucket)
        if not self.project_id:
            raise SettingsError(
                "No CloudIndex project is named.",
                field="project_id",
                hint="Set project_id, or project_id in the CloudIndex connection's extras.",
            )
        _check_prefix(self.prefix, self.bucket)
        _check_declared(self)
        _check_keys(self.keys, self.prefix)
        _check_selection(self.selection)
        _check_declared(self.limits)
        return self


_FIELDS: dict[str, Field[Any]] = {
    item.name: item
    for group in (SyncSettings, Selection, Limits)
    for item in fields(group)
    if "setting" in item.metadata and item.metadata["setting"].argument
}
SETTINGS: Mapping[str, Setting] = {name: item.metadata["setting"] for name, item in _FIELDS.items()}


def build_settings(
    values: Mapping[str, Any], *, project_id: str, max_file_size: int, max_request_size: int
) -> SyncSettings:
    """Validated settings from raw values by name: what isn't there has its default.

    :param project_id: of the connection, like the sizes; for values that say nothing
    :raises SettingsError: naming the first value that can't be read or can't work
    """
    for name in values:
        if name not in SETTINGS:
            raise SettingsError(f"There is no setting {name!r}.", field=name, hint=f"There are {', '.join(SETTINGS)}.")
    connection = {"project_id": project_id, "max_file_size": max_file_size, "max_request_size": max_request_size}
    given = {**connection, "bucket": None, **values}

    def read(group: type[Selection | Limits | SyncSettings]) -> dict[str, Any]:
        names = [item.name for item in fields(group) if item.name in given]
        return {name: _read(name, given[name], connection.get(name)) for name in names}

    return SyncSettings(
        **read(SyncSettings), selection=Selection(**read(Selection)), limits=Limits(**read(Limits))
    ).validate()


def _read(name: str, value: Any, fallback: Any) -> Any:
    setting = SETTINGS[name]
    if fallback is None and not setting.optional:
        return setting.read(name, value)
    given = arguments.optional(setting.read, name, value)
    return fallback if given is None else given


def default_text(name: str) -> str:
    """A setting's default as people are told it."""
    declared, default = SETTINGS[name].default, _FIELDS[name].default
    if declared is not None:
        return declared
    if isinstance(default, float):
        return f"{default:g} s" if SETTINGS[name].read is seconds else f"{default:g}"
    if type(default) is int:  # a truth value is an int, too
        return f"{default:,}"
    return {MISSING: "required", None: "none", "": '""'}.get(default, str(default))


def description(name: str) -> str:
    """A setting's meaning and, where its value doesn't say it, its default: what docstrings repeat."""
    setting = SETTINGS[name]
    return f"{setting.text}; default: {setting.default}" if setting.default else setting.text


def _check_declared(part: Selection | Limits | SyncSettings) -> None:
    for item in fields(part):
        if "setting" in item.metadata:
            item.metadata["setting"].check(item.name, getattr(part, item.name))


def _check_bucket(bucket: Any) -> None:
    # S3 takes no capitals since 2018: "None" is a template without a value.
    if not isinstance(bucket, str) or bucket == "None" or not (_BUCKET.match(bucket) or _ARN.match(bucket)):
        raise SettingsError(
            f"{bucket!r} is no bucket name.", field="bucket", hint="Give the name alone, without s3:// or a path."
        )


def _check_prefix(prefix: Any, bucket: str) -> None:
    if not isinstance(prefix, str):
        raise SettingsError(f"prefix is {prefix!r}, not a string.", field="prefix")
    if prefix.startswith("s3://"):
        raise SettingsError(
            f"prefix {prefix!r} is a URL.", field="prefix", hint="Give the bucket as bucket and the rest as prefix."
        )
    if len(prefix.encode("utf-8", "surrogatepass")) > 1024:
        raise SettingsError("prefix is longer than 1024 bytes, the longest key S3 has.", field="prefix")
    if not is_key_storable(prefix):
        raise SettingsError("prefix holds U+0000 or half a surrogate pair, which can't be stored.", field="prefix")
    if is_directory_bucket(bucket) and prefix and not prefix.endswith("/"):
        raise SettingsError(
            f"prefix {prefix!r} is no folder, and the directory bucket {bucket} lists folders alone.",
            field="prefix",
            hint=f"Use {prefix + '/'!r}, or the folder that it is in and include={[prefix + '*']}.",
        )


def is_key_storable(text: str) -> bool:
    """Whether a state can hold a key: Postgres has no U+0000, and no database half a surrogate pair."""
    return not any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text)


def _check_keys(keys: tuple[str, ...] | None, prefix: str) -> None:
    for key in keys or ():
        if not isinstance(key, str) or not key or not key.startswith(prefix):
            raise SettingsError(f"key {key!r} isn't under the prefix {prefix!r}.", field="keys")
        if not is_key_storable(key):
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
    _check_declared(selection)


def _check_number(name: str, value: Any, *, low: float, whole: bool) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= low:
        raise SettingsError(f"{name} is {value!r}, not a number of at least {low}.", field=name)
    if whole and isinstance(value, float) and not value.is_integer() and value != float("inf"):  # inf: no limit
        raise SettingsError(f"{name} is {value!r}, not a whole number.", field=name)
