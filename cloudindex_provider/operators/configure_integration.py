"""Hands a bucket over to CloudIndex's own S3 integration, where a server offers one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cloudindex_provider.errors import ConfigurationError
from cloudindex_provider.hooks.connections import check_aws_connection
from cloudindex_provider.hooks.rendered import Object, Text, required_mapping, text
from cloudindex_provider.operators.single_step import CloudIndexStepOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["CloudIndexConfigureIntegrationOperator"]

_TYPE, _PATH = "s3", "/integrations"
_AWS_HINT = "Use a connection with the access key of an IAM user who may read the bucket."


class CloudIndexConfigureIntegrationOperator(CloudIndexStepOperator):
    """Lets CloudIndex itself read a bucket: the call ``integrations.configure`` of its S3 guide, where a server has it.

    CloudIndex is given a copy of the AWS credentials, and from then on reads the bucket by itself. No sync of this
    package needs it; both on one prefix would index every object twice. CloudIndex's API documents don't name the call,
    so a server may answer 404: then it has no such integration, or another ``path``.

    The AWS credentials are resolved in ``execute`` and sent to CloudIndex; they are no argument, log line or result.
    Returns what the service says of the integration: ``id, type, status, enabled``, as far as it says them.

    :param settings: such as ``{"bucket": ..., "prefix": ..., "fileTypes": [...], "maxFileSize": ...}``, also as JSON
        text (templated)
    :param aws_conn_id: Airflow connection of an IAM user who may read the bucket (templated)
    :param region_name: AWS region (templated); default: the connection's
    :param integration_type: what is integrated (templated)
    :param path: where the server takes integrations, below the base URL (templated)
    """

    template_fields: Sequence[str] = (
        "settings",
        "aws_conn_id",
        "region_name",
        "integration_type",
        "path",
        "cloudindex_conn_id",
    )

    def __init__(
        self,
        *,
        settings: Object,
        aws_conn_id: Text | None = "aws_default",
        region_name: Text | None = None,
        integration_type: Text = _TYPE,
        path: Text = _PATH,
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
        settings = required_mapping("settings", self.settings)
        kind = text("integration_type", self.integration_type) or _TYPE
        path = text("path", self.path) or _PATH
        with self._session(self._hook(), reads_state=True) as session:
            answer = session.client.configure_integration(
                type=kind, credentials=self._credentials(), settings=settings, path=path
            )
        # An allow-list: a server may echo the credentials.
        facts = {name: answer.get(name) for name in ("id", "type", "status", "enabled")}
        return {name: value for name, value in facts.items() if isinstance(value, str | int | float)}

    def _credentials(self) -> dict[str, str]:
        from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook  # boto3 costs a DAG file half a second

        conn_id, region_name = text("aws_conn_id", self.aws_conn_id), text("region_name", self.region_name)
        check_aws_connection(conn_id)
        aws = AwsBaseHook(aws_conn_id=conn_id, client_type="s3", region_name=region_name)
        session = aws.get_session()
        if session.get_credentials() is None:
            raise ConfigurationError(f"AWS connection {conn_id!r} has no credentials.", hint=_AWS_HINT)
        keys = aws.get_credentials()  # masks them in the logs, too
        if not keys.access_key or not keys.secret_key:
            raise ConfigurationError(f"AWS connection {conn_id!r} has no access key.", hint=_AWS_HINT)
        if keys.token:
            message = f"AWS connection {conn_id!r} has temporary credentials, which CloudIndex can't renew."
            raise ConfigurationError(message, hint=_AWS_HINT)
        region = region_name or session.region_name
        credentials = {"accessKeyId": keys.access_key, "secretAccessKey": keys.secret_key}
        return credentials | ({"region": region} if region else {})
