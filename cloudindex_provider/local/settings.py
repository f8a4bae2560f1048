"""How the embedded server behaves: every contradiction between the service's documents is one switch here.

A ``Settings`` is mutable while the server runs; assignments are validated.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from cloudindex_provider.local.filetypes import SUPPORTED

__all__ = ["DEFAULT_API_KEY", "DEFAULT_PROJECT", "Settings"]

DEFAULT_API_KEY = "local-development-key"
DEFAULT_PROJECT = "00000000-0000-4000-8000-000000000001"


class Settings(BaseModel):
    """Sizes in bytes, times in seconds; ``None`` means no limit."""

    model_config = ConfigDict(validate_assignment=True, extra="forbid")

    # Who may come in. A key opens the listed projects; ``None`` is an organisation key that opens all of them.
    api_keys: dict[str, list[str] | None] = {DEFAULT_API_KEY: None}
    projects: list[str] = [DEFAULT_PROJECT]
    auth_scheme: Literal["both", "ApiKey", "Bearer"] = "both"

    # Sizes and types
    max_files: int = Field(default=20, ge=1)
    max_file_size: int = Field(default=20_000_000, ge=0)  # strictly bigger is refused
    max_request_size: int | None = Field(default=None, ge=0)
    supported_types: frozenset[str] = SUPPORTED
    unsupported_type: Literal["file", "request"] = "file"

    # Rates
    requests_per_window: int = Field(default=1_000_000, ge=0)  # per key
    window: float = Field(default=60.0, gt=0)
    requests_per_hour_per_ip: int = Field(default=100_000_000, ge=0)
    concurrent_requests: int | None = Field(default=None, ge=0)  # per key
    retry_after_style: Literal["seconds", "date", "reset_only", "reset_ms", "reset_past"] = "seconds"

    # Dialects
    list_style: Literal["array", "object", "paged"] = "array"
    paging: Literal["page", "offset"] = "page"  # what a paged list's ``pagination`` counts in
    page_size: int = Field(default=100, ge=1)
    list_total: bool = False  # ``total`` beside an unpaged ``documents``
    list_content_hash: bool = True
    nulls: bool = False  # unset fields as null instead of absent
    upload_style: Literal["openapi", "guide"] = "openapi"
    shuffle_uploads: bool = False
    error_style: Literal["documented", "flat", "nested", "query"] = "documented"
    status_words: dict[str, str] = {}  # e.g. {"processed": "completed"}
    versions_endpoint: bool = True

    # Uploads
    same_name: Literal["duplicate", "version", "replace"] = "duplicate"
    honour_options: bool = False  # options.createVersion forces "version"
    return_metadata: bool = False
    decode_percent: bool = False  # %22, %0A and %0D in a file name; multer's versions differ

    # Processing
    processing_delay: float = Field(default=0.0, ge=0)  # pending for its first half, processing for its second
    fail_processing: list[str] = []  # parts of file names whose processing fails
