"""An SQS queue with S3's events: receive, extend, delete, and count, over an injected boto3 client.

A message that was received and isn't deleted comes again, so nothing here deletes by itself. Reads no message's text.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol
from urllib.parse import urlsplit

from botocore import exceptions as boto

from cloudindex_provider.errors import EventQueueError, EventQueueUnavailableError
from cloudindex_provider.s3.error_mapping import redacted

__all__ = ["LONGEST_VISIBILITY", "Delivery", "EventQueue", "Hidden", "SqsClient", "queue_errors", "queue_region"]

_BATCH = 10  # messages of one call: SQS's own bound
_LONGEST_WAIT = 20  # seconds of a receive, SQS's own bound
LONGEST_VISIBILITY = 43200.0  # seconds, SQS's own bound
# "AWS.SimpleQueueService." of the older protocol is left out.
_FOR_NOW = {"ServiceUnavailable", "InternalError", "InternalFailure", "RequestThrottled", "ThrottlingException",
            "Throttling", "KmsThrottled", "OverLimit"}  # fmt: skip
_HINTS = {
    "NonExistentQueue": "Check queue_url, and the region and account of the AWS connection.",
    "QueueDoesNotExist": "Check queue_url, and the region and account of the AWS connection.",
    "KmsAccessDenied": "Give the AWS connection's identity kms:Decrypt on the queue's key.",
}
_OF_AWS = re.compile(
    r"(?:(?:[^.]+\.)?sqs(?:-fips)?\.(?P<region>[a-z0-9-]+)(?:\.vpce)?|(?:(?P<old_region>[a-z0-9-]+)\.)?queue)"
    r"\.(?:amazonaws\.com(?:\.cn)?|api\.aws)"
)
_CREDENTIALS = "Check the AWS connection's credentials: SQS doesn't accept them."


class SqsClient(Protocol):
    """What is used of a boto3 SQS client. ``*args, **kwargs`` are any signature, as boto3 makes its own."""

    def receive_message(self, *args: Any, **kwargs: Any) -> Mapping[str, Any]: ...
    def delete_message_batch(self, *args: Any, **kwargs: Any) -> Mapping[str, Any]: ...
    def change_message_visibility_batch(self, *args: Any, **kwargs: Any) -> Mapping[str, Any]: ...
    def get_queue_attributes(self, *args: Any, **kwargs: Any) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message in our hands, until its visibility timeout is over. ``received`` counts its deliveries."""

    message_id: str
    receipt: str
    body: str
    received: int = 1
    sent_at: float | None = None  # seconds since 1970, when it came into the queue


@dataclass(slots=True)
class EventQueue:
    """One queue. Thread-safe as boto3's clients are.

    :param visibility: seconds after which a received message that wasn't deleted comes again
    """

    client: SqsClient
    url: str
    visibility: float = 120.0

    def receive(self, wait: float = 0.0) -> list[Delivery]:
        """Up to ten messages; none where none came within ``wait`` seconds, of which SQS takes whole ones up to 20.

        :raises EventQueueError: when SQS refuses; ``EventQueueUnavailableError`` when another try may help
        """
        with queue_errors("ReceiveMessage", self.url):
            answer = self.client.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=_BATCH,
                WaitTimeSeconds=max(0, min(_LONGEST_WAIT, int(wait))),
                VisibilityTimeout=int(min(self.visibility, LONGEST_VISIBILITY)),
                AttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
            )
        return [_delivery(message) for message in answer.get("Messages", ())]

    def delete(self, deliveries: Sequence[Delivery]) -> int:
        """Delete them; gives how many SQS has not deleted, which come again."""
        failed = 0
        for some in _tens(deliveries):
            entries = [{"Id": str(n), "ReceiptHandle": one.receipt} for n, one in enumerate(some)]
            with queue_errors("DeleteMessage", self.url):
                answer = self.client.delete_message_batch(QueueUrl=self.url, Entries=entries)
            failed += len(answer.get("Failed") or ())
        return failed

    def hide(self, deliveries: Sequence[Delivery], seconds: float) -> None:
        """Let them come again after ``seconds`` from now, and not sooner. What isn't ours any more is passed over."""
        timeout = int(min(seconds, LONGEST_VISIBILITY))
        for some in _tens(deliveries):
            entries = [
                {"Id": str(n), "ReceiptHandle": one.receipt, "VisibilityTimeout": timeout} for n, one in enumerate(some)
            ]
            with queue_errors("ChangeMessageVisibility", self.url):
                self.client.change_message_visibility_batch(QueueUrl=self.url, Entries=entries)

    def depth(self) -> int:
        """About how many messages can be received now. Takes none of them."""
        name = "ApproximateNumberOfMessages"
        with queue_errors("GetQueueAttributes", self.url):
            answer = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=[name])
        return int(answer.get("Attributes", {}).get(name, 0))


class Hidden:
    """While it is entered, messages in hand are kept from coming again, three times a visibility timeout."""

    def __init__(self, queue: EventQueue) -> None:
        self._queue = queue
        self._lock = threading.Lock()
        self._held: dict[str, Delivery] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="cloudindex-visibility", daemon=True)

    def add(self, deliveries: Sequence[Delivery]) -> None:
        """Messages that have just been received."""
        with self._lock:
            self._held.update((one.receipt, one) for one in deliveries)

    def drop(self, deliveries: Sequence[Delivery]) -> None:
        """Messages that were deleted, or may come again."""
        with self._lock:
            for one in deliveries:
                self._held.pop(one.receipt, None)

    def __enter__(self) -> Hidden:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stop.wait(self._queue.visibility / 3):
            with self._lock:
                held = list(self._held.values())
            try:
                self._queue.hide(held, self._queue.visibility)
            except EventQueueError:
                continue  # they may come twice, which costs a look


def queue_region(url: str) -> str | None:
    """The region that an AWS queue's URL names; ``None`` of other services.

    AWS has written them in several ways: ``sqs.REGION.amazonaws.com``, ``sqs-fips.REGION.amazonaws.com``,
    ``sqs.REGION.api.aws``, ``VPCE.sqs.REGION.vpce.amazonaws.com``, and of old ``REGION.queue.amazonaws.com``.
    """
    found = _OF_AWS.fullmatch(urlsplit(url).hostname or "")
    if found is None:
        return None
    return found["region"] or found["old_region"] or "us-east-1"


def _delivery(message: Mapping[str, Any]) -> Delivery:
    attributes = message.get("Attributes", {})
    received = str(attributes.get("ApproximateReceiveCount", "1"))
    sent = str(attributes.get("SentTimestamp", ""))  # milliseconds
    return Delivery(
        str(message.get("MessageId", "")),
        str(message["ReceiptHandle"]),
        str(message.get("Body", "")),
        int(received) if received.isdecimal() else 1,
        int(sent) / 1000 if sent.isdecimal() else None,
    )


def _tens(deliveries: Sequence[Delivery]) -> Iterator[Sequence[Delivery]]:
    for start in range(0, len(deliveries), _BATCH):
        yield deliveries[start : start + _BATCH]


@contextmanager
def queue_errors(operation: str, url: str) -> Iterator[None]:
    """Raise botocore's errors of the block as ``EventQueueError``, without the request that they hold.

    :param operation: as IAM names it, such as ``ReceiveMessage``
    :param url: of the queue, or its ARN
    """
    try:
        yield
    except boto.ClientError as error:
        raise _refused(error, operation, url) from None
    except (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError) as error:
        raise EventQueueError(f"{operation} on {url}: {redacted(error)}.", code="setup", hint=_CREDENTIALS) from None
    except (boto.BotoCoreError, OSError) as error:
        raise EventQueueUnavailableError(
            f"{operation} on {url} got no answer: {redacted(error).rstrip('.')}.", code=type(error).__name__
        ) from None


def _refused(error: boto.ClientError, operation: str, url: str) -> EventQueueError:
    said = error.response.get("Error", {})
    code = redacted(said.get("Code", "")).rpartition(".")[2] or "sqs_error"
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    message = f"SQS refuses {operation} on {url} ({code}: {redacted(said.get('Message', '')).rstrip('.')})."
    if status >= 500 or status == 429 or code in _FOR_NOW:
        return EventQueueUnavailableError(message, code=code)
    if code.startswith("AccessDenied"):
        more = "`airflow cloudindex iam-policy` prints all that it needs."
        return EventQueueError(
            message, code=code, hint=f"Give the AWS connection's identity sqs:{operation} on the queue; {more}"
        )
    credentials = "Token" in code or "Signature" in code or "AccessKey" in code
    return EventQueueError(message, code=code, hint=_HINTS.get(code) or (_CREDENTIALS if credentials else None))
