"""A secret's value by its ARN, from AWS Secrets Manager or the Systems Manager Parameter Store. Keeps nothing."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from cloudindex_provider.errors import SettingsError
from cloudindex_provider.s3.error_mapping import redacted

__all__ = ["read_secret"]

_FORMS = (
    "Write arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-SUFFIX, with :FIELD after it for one field of a JSON"
    " secret, or arn:aws:ssm:REGION:ACCOUNT:parameter/NAME."
)
_RIGHTS = {"secretsmanager": "secretsmanager:GetSecretValue", "ssm": "ssm:GetParameter"}


def read_secret(variable: str, arn: str) -> str:
    """The value.

    :param variable: the environment variable that holds the ARN, for messages
    :raises SettingsError: naming the variable; no message holds what a secret says
    """
    parts = arn.split(":")
    kind = parts[2] if len(parts) >= 6 and parts[0] == "arn" else ""
    if kind not in _RIGHTS:
        raise SettingsError(f"{variable} is no ARN of a secret or a parameter.", field=variable, hint=_FORMS)
    try:
        found = _parameter(arn, parts[3]) if kind == "ssm" else _secret(variable, parts)
    except (ClientError, BotoCoreError) as error:
        raise SettingsError(
            f"{variable}: AWS doesn't give {arn}: {redacted(error).rstrip('.')}.",
            field=variable,
            hint=f"Give the function's role {_RIGHTS[kind]}, and kms:Decrypt where a key of your own encrypts it.",
        ) from None
    if not found:
        raise SettingsError(f"{variable}: {arn} holds nothing.", field=variable, hint="Store the value as text.")
    return found


def _client(service: str, region: str) -> Any:
    import boto3  # the runtime's own; only functions that keep a secret elsewhere pay for its import

    return boto3.client(service, region_name=region or None)


def _parameter(arn: str, region: str) -> str:
    answer = _client("ssm", region).get_parameter(Name=arn, WithDecryption=True)
    return str(answer["Parameter"]["Value"])


def _secret(variable: str, parts: list[str]) -> str:
    """As in a task definition of ECS, the name may be followed by the field of a JSON secret."""
    arn, field = ":".join(parts[:7]), parts[7] if len(parts) > 7 else ""
    text = str(_client("secretsmanager", parts[3]).get_secret_value(SecretId=arn).get("SecretString") or "")
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if not field and isinstance(values, dict):
        raise SettingsError(
            f"{variable}: {arn} is a JSON secret, and no field of it is named.",
            field=variable,
            hint="Write :FIELD after the ARN, such as :api_key.",
        )
    if not field:
        return text
    if not isinstance(values, dict) or not isinstance(values.get(field), str | int | float):
        raise SettingsError(f"{variable}: {arn} has no field {field!r}.", field=variable, hint=_FORMS)
    return str(values[field])
