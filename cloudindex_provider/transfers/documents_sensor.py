"""The sensor that a group may begin with: it waits a while for a first document, and stops nothing when none comes.

It looks into S3 and nowhere else. What it looks for is built of its rendered arguments when it runs.
"""

from __future__ import annotations

import glob
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.sensors.s3 import S3KeySensor
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.sdk.exceptions import AirflowSensorTimeout

from cloudindex_provider.airflow_compat import RetryingOperator
from cloudindex_provider.api.limits import DEFAULT_MAX_FILE_SIZE, DEFAULT_MAX_REQUEST_SIZE
from cloudindex_provider.hooks.connections import check_aws_connection
from cloudindex_provider.hooks.s3 import named_s3_errors
from cloudindex_provider.operators.base import LiteralText, Text, Texts
from cloudindex_provider.retry import CloudIndexRetryPolicy
from cloudindex_provider.s3.error_mapping import s3_errors
from cloudindex_provider.sync.arguments import NOT_GIVEN, NotGiven
from cloudindex_provider.sync.settings import SyncSettings, build_settings

if TYPE_CHECKING:
    from airflow.sdk import Context, RetryPolicy

__all__ = ["S3DocumentsSensor"]

SENSOR_TIMEOUT = 60.0  # seconds
SENSOR_POKE_INTERVAL = 20.0  # seconds


class S3DocumentsSensor(RetryingOperator, LiteralText, S3KeySensor):
    """An S3KeySensor for any key under a prefix, or any of some keys, that ends green when its own time is over.

    So only a skip upstream skips what comes after it: a sync must see the removals of an emptied prefix. Its errors are
    as clear and as rarely retried as the sync's.

    :param bucket: the S3 bucket's name (templated)
    :param prefix: only keys that start with it (templated); default: the whole bucket
    :param keys: any of these keys (templated), instead of any under the prefix
    :param timeout: seconds or timedelta after which nothing is waited for
    :param poke_interval: seconds or timedelta between two looks
    """

    template_fields = aws_template_fields("bucket", "prefix", "keys")

    def __init__(
        self,
        *,
        bucket: Text,
        prefix: Text | NotGiven = NOT_GIVEN,
        keys: Texts | NotGiven = NOT_GIVEN,
        timeout: timedelta | float = SENSOR_TIMEOUT,
        poke_interval: timedelta | float = SENSOR_POKE_INTERVAL,
        retries: int | None = 5,
        retry_delay: timedelta | float = timedelta(seconds=60),
        retry_policy: RetryPolicy | None = CloudIndexRetryPolicy(),  # noqa: B008 - frozen, so it can be shared
        **kwargs: Any,
    ) -> None:
        super().__init__(
            bucket_key="",  # known when the task runs
            wildcard_match=True,
            timeout=timeout,
            poke_interval=poke_interval,
            soft_fail=False,  # its skip couldn't be told from one upstream
            deferrable=False,  # Airflow's trigger knows neither keys that are looked up nor our errors
            retries=retries,
            retry_delay=retry_delay,
            retry_policy=retry_policy,
            **kwargs,
        )
        self.bucket = bucket
        self.prefix = prefix
        self.keys = keys

    def execute(self, context: Context) -> None:
        """Wait; the end of the time is told, and no error."""
        try:
            super().execute(context)
        except AirflowSensorTimeout:
            self.log.warning(
                "No document has appeared within %g s. The sync goes on: an emptied prefix has removals, too.",
                self.timeout,
            )

    def poke(self, context: Context) -> bool:
        """Whether there is a document."""
        settings = self._settings()
        check_aws_connection(self.aws_conn_id)
        if settings.keys is not None:
            return not settings.keys or any(self._is_there(settings.bucket, key) for key in settings.keys)
        self.bucket_name, self.bucket_key = settings.bucket, f"{glob.escape(settings.prefix)}*"
        with named_s3_errors(self.aws_conn_id), s3_errors("ListObjectsV2", settings.bucket):
            return bool(super().poke(context))

    def _is_there(self, bucket: str, key: str) -> bool:
        with named_s3_errors(self.aws_conn_id), s3_errors("HeadObject", bucket, key):
            return bool(self.hook.check_for_key(key, bucket))

    def _settings(self) -> SyncSettings:
        given = {"bucket": self.bucket, "prefix": self.prefix, "keys": self.keys}
        sizes = {"max_file_size": DEFAULT_MAX_FILE_SIZE, "max_request_size": DEFAULT_MAX_REQUEST_SIZE}
        return build_settings(given, project_id="not asked", **sizes)
