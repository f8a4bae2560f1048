"""Errors stand in one tree, carry fields, and keep them on their way between processes."""

from __future__ import annotations

import copy
import importlib
import pickle
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest

import cloudindex_provider
from cloudindex_provider import errors

VALUES: dict[str, Any] = {
    "hint": "do it", "retry_after": 2.5, "key": "a/b", "code": "NoSuchKey", "details": {"status": 404},
    "field": "bucket", "previous": "z", "report": {"failed": 1}, "status": 503, "category": "api", "request_id": "r1",
    "operation": "list documents", "outcome_unknown": True, "foreign": True,
}  # fmt: skip


def all_kinds(of: type[Any] = errors.ProviderError) -> Iterator[type[errors.ProviderError]]:
    yield of
    for kind in of.__subclasses__():
        yield from all_kinds(kind)


KINDS = list(all_kinds())
BUILT = [kind.from_fields({"message": "m."} | {name: VALUES[name] for name in kind.field_names}) for kind in KINDS]
SYNC_ERRORS = [error for error in BUILT if isinstance(error, errors.SyncError)]


def test_every_error_of_the_package_stands_in_the_tree() -> None:
    """Whatever module is imported, no error type is defined outside of ``errors``, and none is missing in its list."""
    for module in pkgutil.walk_packages(cloudindex_provider.__path__, "cloudindex_provider."):
        if not module.name.endswith("__main__") and not module.name.startswith("cloudindex_provider.local"):
            importlib.import_module(module.name)
    found = list(all_kinds())
    assert {kind.__module__.rpartition(".")[0] for kind in found} == {errors.__name__}
    assert sorted(kind.__name__ for kind in found) == sorted(errors.__all__)


def test_the_tree_that_is_drawn_is_the_tree() -> None:
    """Each line of the module's picture has its class below the class that it inherits from."""
    drawn: dict[str, str] = {}
    above: list[str] = []
    for line in str(errors.__doc__).splitlines():
        if "+-- " in line or line.strip() == "ProviderError":
            depth = (len(line) - len(line.lstrip(" |+-"))) // 4 - 1
            name = line.lstrip(" |+-").split()[0]
            above[depth:] = [name]
            drawn[name] = above[depth - 1] if depth else ""
    real = {kind.__name__: kind.__bases__[0].__name__ for kind in KINDS}
    assert drawn == real | {"ProviderError": ""}


@pytest.mark.parametrize("error", BUILT, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("through", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy], ids=["pickle", "copy"])  # noqa: S301 (our own bytes)
def test_an_error_keeps_its_fields(error: errors.ProviderError, through: Any) -> None:
    """Type, text and every field arrive on the other side."""
    other = through(error)
    assert type(other) is type(error)
    assert str(other) == str(error)
    assert vars(other) == vars(error) == {"message": "m."} | {name: VALUES[name] for name in error.field_names}


@pytest.mark.parametrize("error", BUILT, ids=lambda error: type(error).__name__)
def test_another_message_leaves_the_rest(error: errors.ProviderError) -> None:
    """What names a connection in front of an error changes nothing else of it."""
    other = error.saying("n.")
    assert type(other) is type(error)
    assert other.fields() == error.fields() | {"message": "n."}


@pytest.mark.parametrize("error", SYNC_ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_is_a_sentence(error: errors.SyncError) -> None:
    """The text is the message and the hint, nothing else."""
    assert str(error) == f"{error.message} {error.hint}".strip()


def test_what_a_retry_can_mend_says_so() -> None:
    """Only errors that time may mend are retryable."""
    retryable = {type(error).__name__ for error in SYNC_ERRORS if error.retryable}
    assert retryable == {
        "SourceUnavailableError", "SourceChangedError", "SourceIntegrityError", "StateUnavailableError",
        "StoppedError", "UnsettledUploadsError", "IncompleteListError", "EventQueueUnavailableError",
        "HandOverError",
    }  # fmt: skip
