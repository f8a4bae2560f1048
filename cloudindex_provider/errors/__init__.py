"""Everything that this package raises, in one tree, as types that carry fields.

Decide by type and field, never by text: ``str(error)`` is for people. Airflow's retries go by ``retryable`` and
``retry_after`` (see ``cloudindex_provider.retry``). No field holds a header, a body, a key or an object's bytes.

    ProviderError
    +-- CloudIndexError                   of the CloudIndex client
    |   +-- ConfigurationError            a setting is missing or wrong; nothing was sent
    |   +-- TransportError                no answer came
    |   |   +-- ConnectError              nothing was sent: safe to repeat
    |   |   +-- InterruptedRequestError   sent at least in part: the outcome is unknown
    |   +-- InvalidAnswerError            a 2xx whose body can't be read: the outcome is unknown
    |   +-- PartSizeError                 a file gave more or fewer bytes than announced; the request was withdrawn
    |   +-- ApiError                      the service answered with an error
    |   |   +-- BadRequestError           400, 422 and every other 4xx
    |   |   +-- AuthenticationError       401
    |   |   +-- PermissionDeniedError     403
    |   |   +-- NotFoundError             404
    |   |   +-- ConflictError             409
    |   |   +-- PayloadTooLargeError      413
    |   |   +-- UnsupportedTypeError      415
    |   |   +-- RateLimitedError          429
    |   |   +-- ServerError               5xx, 408, 425: the outcome of a POST is unknown
    |   +-- FilesRejectedError            files of an upload were refused
    |   |   +-- FilesNotTakenError        some of which may be taken at another try
    |   +-- ProcessingFailedError         documents can't be searched
    +-- SyncError                         of a sync, or of one key of it
        +-- SettingsError                 a setting is missing or wrong; nothing was done
        +-- S3IntegrationError            S3 refused or failed
        |   +-- NoSuchKeyError
        |   +-- NoSuchBucketError
        |   +-- AccessDeniedError
        |   |   +-- CredentialsError      about the task, not about one object
        |   +-- InvalidObjectStateError
        |   +-- SourceUnavailableError
        |   +-- SourceChangedError
        |   +-- SourceIntegrityError
        |   +-- SourceOrderError
        +-- EventQueueError               SQS refused or failed
        |   +-- EventQueueUnavailableError
        +-- HandOverError                 Airflow hasn't taken keys that it was told of
        +-- StateError                    the state can't be used
        |   +-- StateUnavailableError     for now
        +-- ClaimLostError                another run or try has taken over
        +-- StoppedError                  the task is being stopped
        +-- UnsettledUploadsError         uploads whose outcome must be looked up later
        +-- IncompleteListError           CloudIndex's list of documents isn't whole
        +-- PlanChangedError              the run would do something else than its plan
        +-- DeletesHeldError              a mass delete waits for a person
        +-- SyncFailedError               the run ended, and not all of it went well

    base        what all of them have
    cloudindex  those of the CloudIndex client
    sync        those of a sync

Imports nothing. Import them from here.
"""

from cloudindex_provider.errors.base import (
    ProviderError,
)
from cloudindex_provider.errors.cloudindex import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    CloudIndexError,
    ConfigurationError,
    ConflictError,
    ConnectError,
    FilesNotTakenError,
    FilesRejectedError,
    InterruptedRequestError,
    InvalidAnswerError,
    NotFoundError,
    PartSizeError,
    PayloadTooLargeError,
    PermissionDeniedError,
    ProcessingFailedError,
    RateLimitedError,
    ServerError,
    TransportError,
    UnsupportedTypeError,
)
from cloudindex_provider.errors.sync import (
    AccessDeniedError,
    ClaimLostError,
    CredentialsError,
    DeletesHeldError,
    EventQueueError,
    EventQueueUnavailableError,
    HandOverError,
    IncompleteListError,
    InvalidObjectStateError,
    NoSuchBucketError,
    NoSuchKeyError,
    PlanChangedError,
    S3IntegrationError,
    SettingsError,
    SourceChangedError,
    SourceIntegrityError,
    SourceOrderError,
    SourceUnavailableError,
    StateError,
    StateUnavailableError,
    StoppedError,
    SyncError,
    SyncFailedError,
    UnsettledUploadsError,
)

__all__ = [
    "AccessDeniedError",
    "ApiError",
    "AuthenticationError",
    "BadRequestError",
    "ClaimLostError",
    "CloudIndexError",
    "ConfigurationError",
    "ConflictError",
    "ConnectError",
    "CredentialsError",
    "DeletesHeldError",
    "EventQueueError",
    "EventQueueUnavailableError",
    "FilesNotTakenError",
    "FilesRejectedError",
    "HandOverError",
    "IncompleteListError",
    "InterruptedRequestError",
    "InvalidAnswerError",
    "InvalidObjectStateError",
    "NoSuchBucketError",
    "NoSuchKeyError",
    "NotFoundError",
    "PartSizeError",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "PlanChangedError",
    "ProcessingFailedError",
    "ProviderError",
    "RateLimitedError",
    "S3IntegrationError",
    "ServerError",
    "SettingsError",
    "SourceChangedError",
    "SourceIntegrityError",
    "SourceOrderError",
    "SourceUnavailableError",
    "StateError",
    "StateUnavailableError",
    "StoppedError",
    "SyncError",
    "SyncFailedError",
    "TransportError",
    "UnsettledUploadsError",
    "UnsupportedTypeError",
]
