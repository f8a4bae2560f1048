"""Reading an upload: the multipart body as a stream, into files, hashed on the way, as multer would see it.

Starlette's form parser is not used: it decodes the file names, and what Express makes of the raw bytes matters here.
The body is always read to its end before a refusal, so that the client gets the answer instead of a broken pipe.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from cloudindex_provider.local.errors import Refusal
from cloudindex_provider.local.filetypes import extension
from cloudindex_provider.local.names import MalformedNameError, express_name
from cloudindex_provider.local.settings import Settings
from cloudindex_provider.local.store import Store

__all__ = ["Upload", "UploadedFile", "read_upload"]

_FIELD = "documents"
_MAX_FIELD_SIZE = 1_000_000  # bytes of metadata or options, multer's default


@dataclass(slots=True)
class UploadedFile:
    """One file of the request; its bytes wait at ``path``."""

    file_name: str
    path: Path
    size: int = 0
    sha256: str = ""


@dataclass(slots=True)
class Upload:
    """A whole, valid upload request. ``fields`` are its decoded JSON form fields."""

    files: list[UploadedFile] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    parts: int = 0  # file parts, those that were dropped included

    def discard(self) -> None:
        """Remove the bytes that nobody moved away."""
        for file in self.files:
            file.path.unlink(missing_ok=True)

    def metadata(self, index: int) -> Any:
        """The metadata of the file at that index: a list has one for each, anything else is for all."""
        value = self.fields.get("metadata")
        if not isinstance(value, list):
            return value
        return value[index] if index < len(value) else None

    @property
    def wants_version(self) -> bool:
        """Whether ``options.createVersion`` is true."""
        options = self.fields.get("options")
        return isinstance(options, dict) and options.get("createVersion") is True


async def read_upload(content_type: str, stream: AsyncIterator[bytes], store: Store, settings: Settings) -> Upload:
    """Read the request's body. Raises ``Refusal``, and passes on what ``stream`` raises; both leave no bytes behind."""
    kind, params = parse_options_header(content_type)
    reader = _Reader(params.get(b"boundary", b""), store, settings)
    if kind != b"multipart/form-data" or b"boundary" not in params:
        reader.refuse(Refusal(400, "validation/invalid-format", "Expected multipart/form-data"))
    try:
        async for data in stream:
            reader.write(data)
        reader.finish()
    except BaseException:
        reader.abandon()
        raise
    return reader.upload


class _Reader:
    """Takes python-multipart's callbacks; remembers the first refusal and then ignores everything."""

    def __init__(self, boundary: bytes, store: Store, settings: Settings) -> None:
        self.upload = Upload()
        self._store = store
        self._settings = settings
        self._refusal: Refusal | None = None
        self._received = 0
        self._ended = False
        self._header: list[bytes] = [b"", b""]
        self._headers: dict[bytes, bytes] = {}
        self._file: BinaryIO | None = None
        self._hash = hashlib.sha256()
        self._field: str | None = None
        self._text = bytearray()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": lambda data, start, end: self._header_bytes(0, data[start:end]),
                "on_header_value": lambda data, start, end: self._header_bytes(1, data[start:end]),
                "on_header_end": self._end_header,
                "on_headers_finished": self._begin_content,
                "on_part_data": lambda data, start, end: self._content(data[start:end]),
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
        )

    def refuse(self, refusal: Refusal) -> None:
        self._refusal = self._refusal or refusal

    def write(self, data: bytes) -> None:
        self._received += len(data)
        limit = self._settings.max_request_size
        if limit is not None and self._received > limit:
            self.refuse(Refusal(413, "validation/request-too-large", f"The request exceeds {limit} bytes"))
        if self._refusal:
            return
        try:
            self._parser.write(data)
        except MalformedNameError as exc:
            self.refuse(Refusal(500, "system/internal-error", str(exc)))
        except FormParserError as exc:
            self.refuse(Refusal(400, "validation/invalid-format", f"Malformed multipart body: {exc}"))

    def finish(self) -> None:
        if self._refusal:
            raise self._refusal
        if not self._ended:
            raise Refusal(400, "validation/invalid-format", "Unexpected end of form")
        if not self.upload.parts:
            raise Refusal(400, "validation/missing-field", "No files were uploaded")
        self._check_types()

    def abandon(self) -> None:
        if self._file is not None:
            self._file.close()
        self.upload.discard()

    def _check_types(self) -> None:
        if self._settings.unsupported_type == "file":
            return
        for file in self.upload.files:
            if extension(file.file_name) not in self._settings.supported_types:
                message = f"Unsupported file type: {file.file_name}"
                raise Refusal(415, "validation/unsupported-type", message, details={"fileName": file.file_name})

    def _begin_part(self) -> None:
        self._headers = {}
        self._file = None
        self._field = None
        self._text = bytearray()
        self._hash = hashlib.sha256()

    def _header_bytes(self, index: int, data: bytes) -> None:
        self._header[index] += data

    def _end_header(self) -> None:
        name, value = self._header
        self._headers[name.lower()] = value
        self._header = [b"", b""]

    def _begin_content(self) -> None:
        _, params = parse_options_header(self._headers.get(b"content-disposition"))
        if b"filename" in params:
            self._begin_file(params)
        elif b"name" in params:
            self._field = params[b"name"].decode("latin-1")

    def _begin_file(self, params: Mapping[bytes, bytes]) -> None:
        self.upload.parts += 1
        name = express_name(params[b"filename"], decode_percent=self._settings.decode_percent)
        if name is None or self._refusal:
            return
        field_name = params.get(b"name", b"").decode("latin-1")
        if field_name != _FIELD:
            self.refuse(Refusal(400, "validation/invalid-input", f"Unexpected field: {field_name}"))
            return
        if len(self.upload.files) >= self._settings.max_files:
            message = f"Too many files: at most {self._settings.max_files} per request"
            self.refuse(Refusal(400, "validation/invalid-input", message))
            return
        file = UploadedFile(name, self._store.incoming())
        self.upload.files.append(file)
        self._file = file.path.open("wb")

    def _content(self, data: bytes) -> None:
        if self._file is not None:
            self._file_content(self._file, data)
        elif self._field is not None:
            self._text += data
            if len(self._text) > _MAX_FIELD_SIZE:
                self.refuse(Refusal(400, "validation/invalid-input", f"Field value too long: {self._field}"))
                self._field = None

    def _file_content(self, target: BinaryIO, data: bytes) -> None:
        file = self.upload.files[-1]
        file.size += len(data)
        if file.size > self._settings.max_file_size:
            message = f"File too large: {file.file_name} exceeds {self._settings.max_file_size} bytes"
            self.refuse(Refusal(413, "validation/file-too-large", message, details={"fileName": file.file_name}))
            return
        target.write(data)
        self._hash.update(data)

    def _end_part(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            self.upload.files[-1].sha256 = self._hash.hexdigest()
        elif self._field is not None:
            try:
                self.upload.fields[self._field] = json.loads(self._text)
            except ValueError:
                # A server that knows neither field ignores them, so an unreadable one is ignored too.
                pass

    def _end(self) -> None:
        self._ended = True
