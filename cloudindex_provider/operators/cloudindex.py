"""Single steps against CloudIndex: upload local files, delete documents, ask a question, configure an integration.

Each operator makes one call or a few, builds its client in ``execute`` and closes it there. No credential is ever an
argument, a template or a result of a task. Syncing S3 is not done here: see ``cloudindex_provider.transfers``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudindex_provider.airflow_compat import RetryingOperator, attempt
from cloudindex_provider.api.client import CloudIndexClient
from cloudindex_provider.api.limits import MAX_FILES_PER_REQUEST
from cloudindex_provider.api.models import Document, FileError, FilePart, Phase, UploadResult
from cloudindex_provider.errors import ConfigurationError, FilesNotTakenError, FilesRejectedError, NotFoundError
from cloudindex_provider.hooks.cloudindex import CloudIndexHook, CloudIndexSettings, checked_ids
from cloudindex_provider.retry import CloudIndexRetryPolicy

if TYPE_CHECKING:
    from airflow.sdk import Context, RetryPolicy

__all__ = [
    "CloudIndexConfigureIntegrationOperator",
    "CloudIndexDeleteDocumentOperator",
    "CloudIndexQueryOperator",
    "CloudIndexUploadDocumentsOperator",
]

_CHUNK = 256 * 1024  # bytes
_AWS_HINT = "Use a connection with the access key of an IAM user who may read the bucket."


class _CloudIndexOperator(RetryingOperator):
    """What all of them share: the connection, and how their failures are retried.

    The defaults stand in the signature because values set in the body are lost on mapped operators.

    :param cloudindex_conn_id: id of the CloudIndex connection (templated)
    """

    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        cloudindex_conn_id: str = CloudIndexHook.default_conn_name,
        retries: int | None = 3,
        retry_delay: timedelta | float = timedelta(seconds=30),
        retry_policy: RetryPolicy | None = CloudIndexRetryPolicy(),  # noqa: B008 - frozen, so it can be shared
        **kwargs: Any,
    ) -> None:
        super().__init__(retries=retries, retry_delay=retry_delay, retry_policy=retry_policy, **kwargs)
        self.cloudindex_conn_id = cloudindex_conn_id

    def _hook(self, project_id: str | None = None) -> CloudIndexHook:
        return CloudIndexHook(self.cloudindex_conn_id, project_id=project_id)


class CloudIndexUploadDocumentsOperator(_CloudIndexOperator):
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
        parts = _file_parts(self.files, self.file_names)
        documents: list[Document] = []
        errors = _too_large(parts, hook.settings)
        refused = {error.file_name for error in errors}
        parts = [part for part in parts if part.file_name not in refused]
        with hook.session() as client:
            if parts and attempt(context) > 1:
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


class CloudIndexDeleteDocumentOperator(_CloudIndexOperator):
    """Deletes documents for good, with their version history.

    Returns ``{"deleted": [ids], "missing": [ids]}``.

    :param document_ids: one id or several (templated)
    :param project_id: the project (templated); default: the connection's
    :param ignore_missing: a document that is not there counts as deleted; else the task fails, once all are tried
    """

    template_fields: Sequence[str] = ("document_ids", "project_id", "cloudindex_conn_id")

    def __init__(
        self,
        *,
        document_ids: str | Sequence[str],
        project_id: str | None = None,
        ignore_missing: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.document_ids = document_ids
        self.project_id = project_id
        self.ignore_missing = ignore_missing

    def execute(self, context: Context) -> dict[str, list[str]]:
        """Delete one after the other.

        :raises NotFoundError: a document was not there, and ``ignore_missing`` is false
        """
        document_ids = checked_ids(self.document_ids)
        hook = self._hook(self.project_id)
        outcome: dict[str, list[str]] = {"deleted": [], "missing": []}
        with hook.session() as client:
            for document_id in document_ids:
                deleted = client.delete_document(document_id, project_id=hook.project_id)
                outcome["deleted" if deleted else "missing"].append(document_id)
        self.log.info("%d documents deleted, %d were not there", len(outcome["deleted"]), len(outcome["missing"]))
        if outcome["missing"] and not self.ignore_missing:
            missing = ", ".join(outcome["missing"])
            message = f"connection {hook.cloudindex_conn_id!r}: project {hook.project_id!r} has no document {missing}."
            raise NotFoundError(message, status=404, hint="Correct document_ids or project_id.")
        return outcome


class CloudIndexQueryOperator(_CloudIndexOperator):
    """Asks CloudIndex a question.

    Returns the hits, best first: ``[{"id", "text", "score", "document_id", "document_name", "document_metadata"}]``.

    :param query: the question (templated)
    :param filters: such as ``{"documentIds": [...], "types": ["pdf"]}`` (templated)
    :param options: such as ``{"similarityTopK": 10}`` (templated)
    """

    template_fields: Sequence[str] = ("query", "filters", "options", "cloudindex_conn_id")

    def __init__(
        self,
        *,
        query: str,
        filters: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.query = query
        self.filters = filters
        self.options = options

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Ask."""
        if not isinstance(self.query, str) or not self.query.strip():
            raise ConfigurationError("the query is empty.", hint="Give the query at least one word.")
        with self._hook().session() as client:
            result = client.query(self.query, filters=self.filters, options=self.options)
        self.log.info("%d hits", len(result.chunks))
        return [asdict(chunk) for chunk in result.chunks]


class CloudIndexConfigureIntegrationOperator(_CloudIndexOperator):
    """Lets CloudIndex itself read a bucket: its ``integrations.configure``, where a server offers it.

    The AWS credentials are resolved in ``execute`` and sent to CloudIndex; they are no argument, log line or result.
    Returns what the service says of the integration: ``id, type, status, enabled``, as far as it says them.

    :param settings: such as ``{"bucket": ..., "prefix": ..., "fileTypes": [...], "maxFileSize": ...}`` (templated)
    :param aws_conn_id: Airflow connection of an IAM user who may read the bucket (templated)
    :param region_name: AWS region (templated); default: the connection's
    :param integration_type: what is integrated
    :param path: where the server takes integrations, below the base URL (templated)
    """

    template_fields: Sequence[str] = ("settings", "aws_conn_id", "region_name", "path", "cloudindex_conn_id")

    def __init__(
        self,
        *,
        settings: Mapping[str, Any],
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        integration_type: str = "s3",
        path: str = "/integrations",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.settings = settings
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.integration_type = integration_type
        self.path = path

    def execute(self, context: Context) -> dict[str, Any]:
        """Resolve the credentials and configure.

        :raises ConfigurationError: the AWS connection has no credentials, or temporary ones
        """
        with self._hook().session() as client:
            answer = client.configure_integration(
                type=self.integration_type, credentials=self._credentials(), settings=self.settings, path=self.path
            )
        # An allow-list: a server may echo the credentials.
        facts = {name: answer.get(name) for name in ("id", "type", "status", "enabled")}
        return {name: value for name, value in facts.items() if isinstance(value, str | int | float)}

    def _credentials(self) -> dict[str, str]:
        from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook  # boto3 costs a DAG file half a second

        aws = AwsBaseHook(aws_conn_id=self.aws_conn_id, client_type="s3", region_name=self.region_name)
        session = aws.get_session()
        if session.get_credentials() is None:
            raise ConfigurationError(f"AWS connection {self.aws_conn_id!r} has no credentials.", hint=_AWS_HINT)
        keys = aws.get_credentials()  # masks them in the logs, too
        if not keys.access_key or not keys.secret_key:
            raise ConfigurationError(f"AWS connection {self.aws_conn_id!r} has no access key.", hint=_AWS_HINT)
        if keys.token:
            message = f"AWS connection {self.aws_conn_id!r} has temporary credentials, which CloudIndex can't renew."
            raise ConfigurationError(message, hint=_AWS_HINT)
        region = self.region_name or session.region_name
        credentials = {"accessKeyId": keys.access_key, "secretAccessKey": keys.secret_key}
        return credentials | ({"region": region} if region else {})


def _file_parts(files: object, file_names: Sequence[str] | None) -> list[FilePart]:
    paths = [files] if isinstance(files, str) else files
    if not isinstance(paths, list | tuple) or not all(isinstance(path, str) and path for path in paths):
        raise ConfigurationError(f"files is {files!r}.", hint="Give one path, or a list of paths.")
    names = [Path(path).name for path in paths] if file_names is None else list(file_names)
    if len(names) != len(paths):
        message = f"{len(paths)} files, but {len(names)} file_names."
        raise ConfigurationError(message, hint="Give one name for each file, or none at all.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        # The service tells the files of a request apart by nothing but their names.
        raise ConfigurationError(f"several files would be named {twice[0]!r}.", hint="Tell them apart with file_names.")
    return [_file_part(Path(path), name) for path, name in zip(paths, names, strict=True)]


def _file_part(path: Path, name: str) -> FilePart:
    size = path.stat().st_size
    return FilePart(file_name=name, size=size, open=partial(_read, path, size))


def _read(path: Path, size: int) -> Iterator[bytes]:
    left = size
    with path.open("rb") as file:
        while left:
            chunk = file.read(min(_CHUNK, left))
            if not chunk:
                raise OSError(f"{path} became shorter while it was read")
            left -= len(chunk)
            yield chunk


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
