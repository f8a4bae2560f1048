"""Errors carry fields, and keep them on their way between processes."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from cloudindex_provider import errors

S3 = {"code": "NoSuchKey", "details": {"status": 404}, "key": "a/b", "hint": "do it", "retry_after": 2.5}
BUILT = [
    errors.SyncError("m.", hint="h", key="k", retry_after=1.0),
    errors.SettingsError("m.", field="bucket", hint="h"),
    *(
        cls("m.", **S3)
        for cls in (
            errors.S3IntegrationError, errors.NoSuchKeyError, errors.NoSuchBucketError, errors.AccessDeniedError,
            errors.CredentialsError,
            errors.InvalidObjectStateError, errors.SourceUnavailableError, errors.SourceChangedError,
            errors.SourceIntegrityError,
        )
    ),
    errors.SourceOrderError("m.", previous="z", **S3),
    errors.StateError("m."),
    errors.StateUnavailableError("m.", retry_after=3.0),
    errors.ClaimLostError("m.", key="k"),
    errors.StoppedError("m."),
    errors.UnsettledUploadsError("m.", retry_after=9.0),
    errors.IncompleteListError("m."),
    errors.PlanChangedError("m."),
    errors.DeletesHeldError("m."),
    errors.SyncFailedError("m.", report={"failed": 1}),
]  # fmt: skip


@pytest.mark.parametrize("error", BUILT, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("through", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy], ids=["pickle", "copy"])  # noqa: S301 (our own bytes)
def test_an_error_keeps_its_fields(error: errors.SyncError, through: Any) -> None:
    """Type, text and every field arrive on the other side."""
    other = through(error)
    assert type(other) is type(error)
    assert str(other) == str(error)
    assert {k: v for k, v in vars(other).items() if k != "_more"} == {
        k: v for k, v in vars(error).items() if k != "_more"
    }


def test_every_public_error_is_tested_here() -> None:
    """No error type is forgotten above."""
    assert {type(error).__name__ for error in BUILT} >= set(errors.__all__)


@pytest.mark.parametrize("error", BUILT, ids=lambda error: type(error).__name__)
def test_an_error_is_a_sentence(error: errors.SyncError) -> None:
    """The text is the message and the hint, nothing else."""
    assert str(error) == f"{error.message} {error.hint}".strip()


def test_what_a_retry_can_mend_says_so() -> None:
    """Only errors that time may mend are retryable."""
    retryable = {type(error).__name__ for error in BUILT if error.retryable}
    assert retryable == {
        "SourceUnavailableError", "SourceChangedError", "SourceIntegrityError", "StateUnavailableError",
        "StoppedError", "UnsettledUploadsError",
    }  # fmt: skip
