"""What becomes of the files of a valid upload: which are taken, which are errors, and the answer that says so."""

from __future__ import annotations

import uuid
from typing import Any

from cloudindex_provider.local import documents, render
from cloudindex_provider.local.faults import Plan
from cloudindex_provider.local.filetypes import extension
from cloudindex_provider.local.service import Service
from cloudindex_provider.local.uploads import Upload, UploadedFile

__all__ = ["commit"]


def commit(service: Service, project: str, upload: Upload, plan: Plan) -> dict[str, Any]:
    """Commit the files in one transaction and have them processed; the upload's answer."""
    settings = service.settings
    errors: list[dict[str, Any]] = []
    files: list[documents.NewFile] = []
    for index, file in enumerate(upload.files):
        failure = _file_error(file, plan, settings.supported_types)
        if failure:
            errors.append(failure)
        elif not plan.change("missing_entries", file.file_name):
            renamed = plan.change("rename", file.file_name)
            name = renamed.rename_to.format(name=file.file_name) if renamed else file.file_name
            files.append(documents.NewFile(name, file.path, file.size, file.sha256, upload.metadata(index)))
    same_name = "version" if settings.honour_options and upload.wants_version else settings.same_name
    batch = str(uuid.uuid4())
    rows = documents.add(service.store, project, files, same_name, batch)
    service.processor.notify()
    return render.uploaded(rows, errors, (batch, len(upload.files)), settings)


def _file_error(file: UploadedFile, plan: Plan, supported: frozenset[str]) -> dict[str, Any] | None:
    """The entry in ``errors[]`` of a file that isn't taken."""
    if fault := plan.change("partial_errors", file.file_name):
        code = fault.error_code or "system/internal-error"
        message, retryable = "A fault that was asked for", fault.retryable is not False
    elif extension(file.file_name) not in supported:
        code, message, retryable = "validation/unsupported-type", "Unsupported file type", False
    else:
        return None
    return {
        "fileName": file.file_name,
        "error": message,
        "code": code,
        "category": code.partition("/")[0],
        "retryable": retryable,
        "details": {"fileSize": file.size},
    }
