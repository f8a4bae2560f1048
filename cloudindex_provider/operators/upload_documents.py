"""Uploads files of the worker's disk. Syncing S3 is not done here: see ``cloudindex_provider.transfers``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cloudindex_provider.api.client import CloudIndexClient
from cloudindex_provider.api.limits import MAX_FILES_PER_REQUEST
from cloudindex_provider.api.models import Document, FileError, FilePart, Phase, UploadResult
from cloudindex_provider.errors import FilesNotTakenError, FilesRejectedError
from cloudindex_provider.hooks.cloudindex import CloudIndexHook, CloudIndexSettings
from cloudindex_provider.operators.local_files import file_parts
from cloudindex_provider.operators.single_step import CloudIndexStepOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["CloudIndexUploadDocumentsOperator"]


class CloudIndexUploadDocumentsOperator(CloudIndexStepOperator):
    """Uploads files of the worker's disk, streamed, in as few requests as the API's bounds allow.

    Returns ``{"project_id", "document_ids", "documents": [{"id", "file_name", "status", "version"}], "errors":
    [{"file_name", "message", "code", "category", "retryable"}]}``. An uploaded document is not processed yet: see
    ``CloudIndexProcessingSensor``, which takes ``upload.output["document_ids"]``.

    The first try uploads whatever it is given. A later try first looks for files that are there already, with the same
    name and the same bytes, and sends only the others: nothing is uploaded twice after a broken request.

    :param files: paths of the files (templated)
    :param file_names: their names in CloudIndex, in the same order (templated); default: the last part of each path
    :param project_id: the project (templated); default: the connection's
    :param metadata: sent with every file (templated); servers that don't know metadata ignore it
    :param options: upload options, such as ``{"createVersion": True}`` (templated)
    :param allow_file_errors: succeed even if single files were refused, and return their errors
    """

    template_fields: Sequence[str] = (
        "files",
        "file_names",
        "project_id",
        "metadata",
        "options",
        "cloudindex_conn_id",
    )

    def __init__(
        self,
        *,
        files: str | Sequence[str],
        file_names: Sequence[str] | None = None,
        project_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        allow_file_errors: bool = False,
        multiple_outputs: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(multiple_outputs=multiple_outputs, **kwargs)
        self.files = files
        self.file_names = file_names
        self.project_id = project_id
        self.metadata = metadata
        self.options = options
        self.allow_file_errors = allow_file_errors

    def execute(self, context: Context) -> dict[str, Any]:
        """Upload.

        :raises FilesRejectedError: CloudIndex refused files, for good
        :raises FilesNotTakenError: files were not taken, and another try may help
        """
        hook = self._hook(self.project_id)
        parts = file_parts(self.files, self.file_names)
        documents: list[Document] = []
        errors = _too_large(parts, hook.settings)
        refused = {error.file_name for error in errors}
        parts = [part for part in parts if part.file_name not in refused]
        with hook.session() as client:
            if parts and getattr(context.get("ti"), "try_number", 1) > 1:
                documents = _already_there(client, hook.project_id, parts)
                self.log.info("%d of %d files are there already", len(documents), len(parts))
                found = {document.file_name for document in documents}
                parts = [part for part in parts if part.file_name not in found]
            for batch in _batches(parts, hook.settings.max_request_size):
                result = client.upload_documents(
                    batch, metadata=self.metadata, options=self.options, project_id=hook.project_id
                )
                documents += result.documents
                errors += result.errors
                if missing := _unanswered(batch, result):
                    # Of a refused request nothing was taken; else the files may be there.
                    there = [] if result.refused else _already_there(client, hook.project_id, missing)
                    documents += there
                    errors += _not_found(missing, there)
                self.log.info("%d documents uploaded, %d files refused", len(documents), len(errors))
        if errors and not self.allow_file_errors:
            raise _file_errors(errors, hook)
        return {
            "project_id": hook.project_id,
            "document_ids": [document.id for document in documents],
            "documents": [
                {name: getattr(document, name) for name in ("id", "file_name", "status", "version")}
                for document in documents
            ],
            "errors": [
                {name: getattr(error, name) for name in ("file_name", "message", "code", "category", "retryable")}
                for error in errors
            ],
        }


def _too_large(parts: Sequence[FilePart], settings: CloudIndexSettings) -> list[FileError]:
    limit = min(settings.max_file_size, settings.max_request_size)
    return [
        FileError(part.file_name, f"{part.size} bytes are more than the connection's limit of {limit}", retryable=False)
        for part in parts
        if part.size > limit
    ]


def _already_there(client: CloudIndexClient, project_id: str, parts: Sequence[FilePart]) -> list[Document]:
    """Live documents with the name and the bytes of a file, at most one for each."""
    by_name = {part.file_name: part for part in parts}
    hashes: dict[str, str] = {}
    found: dict[str, Document] = {}
    for document in client.iter_documents(project_id=project_id):
        part = by_name.get(document.file_name)
        if part is None or not document.content_hash or document.phase in (Phase.FAILED, Phase.GONE):
            continue
        if part.file_name not in hashes:
            digest = hashlib.sha256()
            for chunk in part.open():
                digest.update(chunk)
            hashes[part.file_name] = digest.hexdigest()
        if document.content_hash == hashes[part.file_name]:
            found[part.file_name] = document
    return list(found.values())


def _batches(parts: Sequence[FilePart], max_size: int) -> Iterator[list[FilePart]]:
    batch: list[FilePart] = []
    for part in parts:
        if batch and (len(batch) == MAX_FILES_PER_REQUEST or sum(one.size for one in batch) + part.size > max_size):
            yield batch
            batch = []
        batch.append(part)
    if batch:
        yield batch


def _unanswered(batch: Sequence[FilePart], result: UploadResult) -> list[FilePart]:
    """Files of which the answer says nothing: they may have been stored, so they are looked up first."""
    if len(result.documents) + len(result.errors) >= len(batch):
        return []  # each was answered, maybe under a name that the server changed
    answered = {document.file_name for document in result.documents} | {error.file_name for error in result.errors}
    return [part for part in batch if part.file_name not in answered]


def _not_found(parts: Sequence[FilePart], documents: Sequence[Document]) -> list[FileError]:
    """Files that CloudIndex neither spoke of nor shows; the next try looks once more before it sends them."""
    found = {document.file_name for document in documents}
    message = "CloudIndex answered without a word about it, and doesn't list it"
    return [FileError(part.file_name, message, retryable=True) for part in parts if part.file_name not in found]


def _file_errors(errors: Sequence[FileError], hook: CloudIndexHook) -> FilesRejectedError:
    shown = "; ".join(f"{error.file_name}: {error.message}" for error in errors[:5])
    more = f"; and {len(errors) - 5} more" if len(errors) > 5 else ""
    noun = "1 file was" if len(errors) == 1 else f"{len(errors)} files were"
    message = f"connection {hook.cloudindex_conn_id!r}: {noun} not taken: {shown}{more}."
    kind = FilesNotTakenError if any(error.retryable for error in errors) else FilesRejectedError
    return kind(message, operation="upload documents")
