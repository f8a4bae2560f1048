"""Uploads files of the worker's disk. Syncing S3 is not done here: see ``cloudindex_provider.transfers``.

The intent is remembered before each request and its documents after the answer, so a later try sends only what isn't
there, and only once nothing of an earlier try can still arrive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from cloudindex_provider.api.attempts import ANSWERED
from cloudindex_provider.api.file_names import server_names
from cloudindex_provider.api.limits import fit_request
from cloudindex_provider.api.models import Document, FileError, UploadResult
from cloudindex_provider.errors import (
    CloudIndexError,
    FilesNotTakenError,
    FilesRejectedError,
    ServerError,
    UnsettledUploadsError,
)
from cloudindex_provider.hooks.cloudindex import CloudIndexHook
from cloudindex_provider.hooks.rendered import Flag, Object, Text, Texts, mapping
from cloudindex_provider.hooks.step import StepSession
from cloudindex_provider.operators.earlier_uploads import find_uploads
from cloudindex_provider.operators.local_files import LocalFile, local_files, unsendable
from cloudindex_provider.operators.single_step import CloudIndexStepOperator
from cloudindex_provider.state.db.leases import lease
from cloudindex_provider.state.step_memory import Memory
from cloudindex_provider.sync.arguments import flag
from cloudindex_provider.words import count

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["CloudIndexUploadDocumentsOperator"]

_GRACE = 30.0  # seconds past the read timeout after which a request without an answer commits no more
_LIST_SECONDS = 600.0  # the longest that others' lists of all documents are waited for
_LEASE = 120.0  # seconds; the lock of a list whose reader has died


class CloudIndexUploadDocumentsOperator(CloudIndexStepOperator):
    """Uploads files of the worker's disk, streamed, in as few requests as the API's bounds allow.

    Returns ``{"project_id", "document_ids", "documents": [{"id", "file_name", "path", "status", "version"}],
    "errors": [{"file_name", "message", "code", "category", "retryable"}]}``, in the order of the files. An uploaded
    document is not processed yet: see ``CloudIndexProcessingSensor``, which takes ``upload.output["document_ids"]``.

    The first try uploads whatever it is given. A later try first looks for files that are there already, with the same
    bytes and the name as CloudIndex has made it, and sends only the others. After a request without an answer the next
    try begins when that can arrive no more.

    A file that is missing, unreadable or a folder fails the task at once, before anything is sent; one that is empty or
    above the connection's limit isn't sent, and counts as refused.

    :param files: paths of the files, one or a list, also as JSON text (templated)
    :param file_names: their names in CloudIndex, in the same order (templated); default: the last part of each path
    :param project_id: the project (templated); default: the connection's
    :param metadata: sent with every file, also as JSON text (templated); servers that don't know metadata ignore it
    :param options: upload options, such as ``{"createVersion": True}``, also as JSON text (templated)
    :param allow_file_errors: succeed even if single files were refused, and return their errors (templated)
    :param multiple_outputs: push each part of the result as an XCom of its own, too
    """

    template_fields: Sequence[str] = (
        "files",
        "file_names",
        "project_id",
        "metadata",
        "options",
        "allow_file_errors",
        "cloudindex_conn_id",
    )

    def __init__(
        self,
        *,
        files: Texts,
        file_names: Texts | None = None,
        project_id: Text | None = None,
        metadata: Object | None = None,
        options: Object | None = None,
        allow_file_errors: Flag = False,
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

        :raises ConfigurationError: a file can't be read, or an argument is none; nothing was sent
        :raises FilesRejectedError: CloudIndex refused files, for good
        :raises FilesNotTakenError: files were not taken, and another try may help
        :raises UnsettledUploadsError: a request of an earlier try may still arrive
        """
        files = local_files(self.files, self.file_names)
        fields = {"metadata": mapping("metadata", self.metadata), "options": mapping("options", self.options)}
        allowed = flag("allow_file_errors", self.allow_file_errors)
        hook = self._hook(self.project_id)
        errors = unsendable(files, hook.settings)
        refused = {error.file_name for error in errors}
        with self._session(hook) as session:
            upload = _Upload(session, hook, self._memory(session, hook, context), fields)
            left = [file for file in files if file.name not in refused]
            if left and self._is_again(context):
                left = upload.without_those_there(left)
            for batch in _batches(left, hook.settings.max_request_size):
                errors += upload.send(batch)
                what = (count(len(upload.documents), "document"), count(len(errors), "file"))
                self.log.info("%s uploaded, %s refused", *what)
        if errors and not allowed:
            raise _file_errors(errors, hook)
        return _result(hook.project_id, files, upload.documents, errors)


class _Upload:
    """The requests of one try. ``documents``: file name -> its document."""

    def __init__(
        self, session: StepSession, hook: CloudIndexHook, memory: Memory, fields: Mapping[str, dict[str, Any] | None]
    ) -> None:
        self.documents: dict[str, Document] = {}
        self._session = session
        self._project_id = hook.project_id
        self._grace = hook.settings.read_timeout + _GRACE
        self._memory = memory
        self._fields = fields

    def without_those_there(self, files: Sequence[LocalFile]) -> list[LocalFile]:
        """The files that no earlier try has uploaded.

        :raises UnsettledUploadsError: one of them may still arrive
        """
        known = self._memory.known()
        remembered = {name: one.outcome for name, one in known.items() if one.outcome}
        self._look(files, remembered)
        left = [file for file in files if file.name not in self.documents]
        ages = [known[file.name].age for file in left if file.name in known]
        if ages and min(ages) < self._grace:
            raise UnsettledUploadsError(
                "an upload of an earlier try got no answer, and may still arrive.",
                hint="The next try looks again, and sends only what is not there then.",
                retry_after=self._grace - min(ages),
            )
        return left

    def send(self, batch: Sequence[LocalFile]) -> list[FileError]:
        """One request; gives the errors of its files."""
        names = [file.name for file in batch]
        try:
            result = self._session.client.upload_documents(
                [file.part for file in batch],
                metadata=self._fields["metadata"],
                options=self._fields["options"],
                at_turn=lambda: self._memory.begin(names),
            )
        except (CloudIndexError, OSError) as error:  # OSError: a file that can't be read any more, so none was stored
            raise self._failed(names, error) from None
        bound = _bind(batch, result)
        self._take(bound)
        self._memory.withdraw(names if result.refused else _refused(batch, result))
        missing = _unanswered(batch, result, bound)
        if missing and not result.refused:  # of a refused request nothing was taken; else the files may be there
            self._look(missing, {})
            missing = [file for file in missing if file.name not in self.documents]
        return [*result.errors, *map(_not_found, missing)]

    def _failed(self, names: Sequence[str], error: CloudIndexError | OSError) -> Exception:
        unknown = isinstance(error, CloudIndexError) and error.outcome_unknown
        if not unknown or (isinstance(error, ServerError) and error.status in ANSWERED):
            self._memory.withdraw(names)  # nothing of it is on its way any more: the next try's look tells
            return error
        assert isinstance(error, CloudIndexError)  # noqa: S101 - for the type checker: only such are unknown
        return error if error.retry_after else error.saying(error.message, retry_after=self._grace)

    def _look(self, files: Sequence[LocalFile], remembered: Mapping[str, str]) -> None:
        client, db = self._session.client, self._session.db
        name = f"list:{self._project_id}"  # the sync's own lock: one list of a project at a time
        owner = f"step|{id(self)}"
        held = nullcontext() if db is None else lease(db, name, owner, seconds=_LEASE, patience=_LIST_SECONDS)
        with held:
            self._take(find_uploads(client, files, remembered))

    def _take(self, documents: Mapping[str, Document]) -> None:
        self.documents.update(documents)
        self._memory.record({name: document.id for name, document in documents.items()})


def _bind(batch: Sequence[LocalFile], result: UploadResult) -> dict[str, Document]:
    """File name -> the document that the answer gives it.

    An answer may name others, too, such as an older document of the same name: those aren't ours to return.
    """
    bound: dict[str, Document] = {}
    others = list(result.documents)
    exact: Callable[[LocalFile], frozenset[str]] = lambda file: frozenset({file.name})  # noqa: E731 - one of two readings
    for names in (exact, lambda file: server_names(file.name)):
        for file in batch:
            same = [one for one in others if one.file_name in names(file)]
            if file.name not in bound and same:
                bound[file.name] = max(same, key=lambda one: (one.version or 0, one.uploaded_at or ""))
                others = [one for one in others if one not in same]
    nameless = _unanswered(batch, result, bound)
    if len(nameless) == len(others):  # each was answered, under names that nobody foresaw
        bound.update(zip([file.name for file in nameless], others, strict=True))
    return bound


def _refused(batch: Sequence[LocalFile], result: UploadResult) -> list[str]:
    refused = {error.file_name for error in result.errors}
    return [file.name for file in batch if server_names(file.name) & refused]


def _unanswered(batch: Sequence[LocalFile], result: UploadResult, bound: Mapping[str, Document]) -> list[LocalFile]:
    """Files of which the answer says nothing: they may have been stored, so they are looked up first."""
    answered = {*bound, *_refused(batch, result)}
    return [file for file in batch if file.name not in answered]


def _not_found(file: LocalFile) -> FileError:
    """A file that CloudIndex neither spoke of nor shows; the next try looks once more before it sends it."""
    return FileError(file.name, "CloudIndex answered without a word about it, and doesn't list it", retryable=True)


def _batches(files: Sequence[LocalFile], max_size: int) -> Iterator[Sequence[LocalFile]]:
    while files:
        count = fit_request((file.size for file in files), max_size)
        yield files[:count]
        files = files[count:]


def _result(
    project_id: str, files: Sequence[LocalFile], documents: Mapping[str, Document], errors: Sequence[FileError]
) -> dict[str, Any]:
    taken = [(file, documents[file.name]) for file in files if file.name in documents]
    return {
        "project_id": project_id,
        "document_ids": [document.id for _, document in taken],
        "documents": [
            {"id": one.id, "file_name": one.file_name, "path": file.path, "status": one.status, "version": one.version}
            for file, one in taken
        ],
        "errors": [
            {name: getattr(error, name) for name in ("file_name", "message", "code", "category", "retryable")}
            for error in errors
        ],
    }


def _file_errors(errors: Sequence[FileError], hook: CloudIndexHook) -> FilesRejectedError:
    shown = "; ".join(f"{error.file_name}: {error.message}" for error in errors[:5])
    more = f"; and {len(errors) - 5} more" if len(errors) > 5 else ""
    noun = "1 file was" if len(errors) == 1 else f"{len(errors)} files were"
    message = f"connection {hook.cloudindex_conn_id!r}: {noun} not taken: {shown}{more}."
    kind = FilesNotTakenError if any(error.retryable for error in errors) else FilesRejectedError
    return kind(message, operation="upload documents")
