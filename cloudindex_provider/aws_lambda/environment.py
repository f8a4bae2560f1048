"""The function's settings: environment variables, read and checked; what is wrong is said with the variable's name.

A secret stands in its variable, or its ARN in the same name with ``_ARN`` after it. No message repeats a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cloudindex_provider.api.connection import AUTH_SCHEMES, DEFAULT_AUTH_SCHEME, authorization, normalize_base_url
from cloudindex_provider.api.limits import DEFAULT_MAX_FILE_SIZE, DEFAULT_MAX_REQUEST_SIZE
from cloudindex_provider.aws_lambda.secret_store import read_secret
from cloudindex_provider.errors import CloudIndexError, SettingsError
from cloudindex_provider.sync import arguments
from cloudindex_provider.sync.arguments import NOT_GIVEN
from cloudindex_provider.sync.events.gather import Place
from cloudindex_provider.sync.events.rows import naming_row, sync_rows
from cloudindex_provider.sync.settings import SyncSettings, build_settings

__all__ = ["SYNCS", "AirflowPlace", "Environment", "StatePlace"]

_PREFIX = "CLOUDINDEX_"
SYNCS = "CLOUDINDEX_SYNCS"
_SECRETS = ("CLOUDINDEX_STATE_URL", "CLOUDINDEX_API_KEY", "CLOUDINDEX_AIRFLOW_TOKEN", "CLOUDINDEX_AIRFLOW_PASSWORD")
_PLAIN = (
    SYNCS,
    "CLOUDINDEX_AIRFLOW_URL",
    "CLOUDINDEX_AIRFLOW_USERNAME",
    "CLOUDINDEX_MWAA_ENVIRONMENT",
    "CLOUDINDEX_HOST",
    "CLOUDINDEX_PROJECT_ID",
    "CLOUDINDEX_AUTH_SCHEME",
    "CLOUDINDEX_CONN_ID",
    "CLOUDINDEX_STATE_IAM",
)
_ADDRESS = re.compile(r"https?://[^\s/?#@]+(?!.*/api/v\d+$)(?:/[^\s?#@]*)?", re.IGNORECASE)
_STATE_HINT = (
    "Write postgresql://USER:PASSWORD@HOST/DATABASE, best in a secret that CLOUDINDEX_STATE_URL_ARN names; or, with"
    " CLOUDINDEX_STATE_IAM=true, postgresql://USER@HOST/DATABASE."
)


@dataclass(frozen=True, slots=True)
class AirflowPlace:
    """Where Airflow takes asset events: at a URL, with a token or a login, or as an environment of Amazon MWAA."""

    url: str = ""
    mwaa_environment: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class StatePlace:
    """Where the state and CloudIndex are.

    :param conn_id: whose budget of requests this is: tasks of Airflow with a connection of this id share it
    :param new_key: the API key as it is now
    :param iam: the function's role is what logs in to the state, in the place of a password
    """

    url: str = field(repr=False)
    base_url: str
    api_key: str = field(repr=False)
    auth_scheme: str
    conn_id: str
    new_key: Callable[[], str]
    iam: bool = False


@dataclass(frozen=True, slots=True)
class Environment:
    """The variables, each read when it is asked for.

    :param read: (variable, ARN) -> a secret's value
    """

    variables: Mapping[str, str]
    read: Callable[[str, str], str] = read_secret

    def check(self) -> None:
        """Nothing, or a ``SettingsError`` that names a variable that means nothing, and may be a mistyped one."""
        known = {*_PLAIN, *_SECRETS, *(f"{name}_ARN" for name in _SECRETS)}
        for name in sorted(self.variables):
            if name.startswith(_PREFIX) and name not in known:
                raise SettingsError(f"{name} means nothing.", field=name, hint=f"There are {', '.join(sorted(known))}.")

    @property
    def has_state(self) -> bool:
        """Whether the function syncs the keys itself.

        :raises SettingsError: where both ways are set, or none
        """
        state = self._is_given("CLOUDINDEX_STATE_URL")
        airflow = [name for name in ("CLOUDINDEX_AIRFLOW_URL", "CLOUDINDEX_MWAA_ENVIRONMENT") if self._text(name)]
        if len(airflow) + state == 1:
            return state
        both = " and ".join([*(["CLOUDINDEX_STATE_URL"] if state else []), *airflow])
        raise SettingsError(
            f"{both} are set, which are different ways." if both else "No way is set for the keys.",
            field="CLOUDINDEX_AIRFLOW_URL",
            hint="Set CLOUDINDEX_AIRFLOW_URL or CLOUDINDEX_MWAA_ENVIRONMENT to tell Airflow of the keys, or"
            " CLOUDINDEX_STATE_URL to sync them here.",
        )

    def places(self) -> list[Place]:
        """What the syncs mirror.

        :raises SettingsError: naming the sync and the setting
        """
        found = []
        for number, row in enumerate(self._rows()):
            with naming_row(SYNCS, number):
                bucket = arguments.text("bucket", row.get("bucket"))
                found.append(Place(bucket, arguments.prefix("prefix", row.get("prefix", NOT_GIVEN))))
        return found

    def _rows(self) -> list[Mapping[str, Any]]:
        return sync_rows(SYNCS, self._required(SYNCS, 'Write [{"bucket": "...", "prefix": "..."}] into it.'))

    def sync_settings(self) -> Sequence[SyncSettings]:
        """The syncs' settings; ``project_id`` and sizes default to what stands for all of them.

        :raises SettingsError: naming the sync and the setting
        """
        found = []
        for number, row in enumerate(self._rows()):
            with naming_row(SYNCS, number):
                found.append(
                    build_settings(
                        row,
                        project_id=self._text("CLOUDINDEX_PROJECT_ID"),
                        max_file_size=DEFAULT_MAX_FILE_SIZE,
                        max_request_size=DEFAULT_MAX_REQUEST_SIZE,
                    )
                )
        return found

    def airflow(self) -> AirflowPlace:
        """Where the keys go by default.

        :raises SettingsError: naming the variable that is missing
        """
        if name := self._text("CLOUDINDEX_MWAA_ENVIRONMENT"):
            return AirflowPlace(mwaa_environment=name)
        url = self._text("CLOUDINDEX_AIRFLOW_URL").rstrip("/")
        if not _ADDRESS.fullmatch(url):
            raise SettingsError(
                "CLOUDINDEX_AIRFLOW_URL is no URL.",
                field="CLOUDINDEX_AIRFLOW_URL",
                hint="Write the address of Airflow's API server, such as https://airflow.example.com, without a login"
                " and without /api/v2.",
            )
        if self._is_given("CLOUDINDEX_AIRFLOW_TOKEN"):
            return AirflowPlace(url, token=self._token())
        hint = "Set CLOUDINDEX_AIRFLOW_TOKEN, or CLOUDINDEX_AIRFLOW_USERNAME and CLOUDINDEX_AIRFLOW_PASSWORD."
        username = self._required("CLOUDINDEX_AIRFLOW_USERNAME", hint)
        return AirflowPlace(url, username=username, password=self._secret("CLOUDINDEX_AIRFLOW_PASSWORD", hint))

    def _token(self) -> str:
        """As a header takes it; otherwise httpx would say it in an error."""
        token = self._secret("CLOUDINDEX_AIRFLOW_TOKEN")
        if token.isascii() and token.isprintable() and " " not in token:
            return token
        raise SettingsError(
            "CLOUDINDEX_AIRFLOW_TOKEN holds characters that no token has.",
            field="CLOUDINDEX_AIRFLOW_TOKEN",
            hint="Write the token alone, in one line and without a word before it.",
        )

    def state(self) -> StatePlace:
        """What the other way needs.

        :raises SettingsError: naming the variable that is missing or can't work
        """
        url = self._secret("CLOUDINDEX_STATE_URL", _STATE_HINT)
        if not url.startswith(("postgresql://", "postgresql+")):
            raise SettingsError(
                "CLOUDINDEX_STATE_URL is no URL of a Postgres database; a function's own disk doesn't stay.",
                field="CLOUDINDEX_STATE_URL",
                hint=_STATE_HINT,
            )
        scheme = self._text("CLOUDINDEX_AUTH_SCHEME") or DEFAULT_AUTH_SCHEME
        if scheme not in AUTH_SCHEMES:
            raise SettingsError(
                "CLOUDINDEX_AUTH_SCHEME is another word.",
                field="CLOUDINDEX_AUTH_SCHEME",
                hint=f"Use {' or '.join(AUTH_SCHEMES)}.",
            )
        return StatePlace(
            url,
            self._base_url(),
            self._api_key(scheme),
            scheme,
            self._text("CLOUDINDEX_CONN_ID") or "cloudindex_default",
            lambda: self._api_key(scheme),
            arguments.flag("CLOUDINDEX_STATE_IAM", self._text("CLOUDINDEX_STATE_IAM")),
        )

    def _api_key(self, scheme: str) -> str:
        key = self._secret("CLOUDINDEX_API_KEY")
        try:
            authorization(key, scheme)
        except CloudIndexError as error:
            hint = f"Write the key alone, in one line, without {' or '.join(AUTH_SCHEMES)} before it."
            raise SettingsError(
                f"CLOUDINDEX_API_KEY can't be used: {error.message}", field="CLOUDINDEX_API_KEY", hint=hint
            ) from None
        return key

    def _base_url(self) -> str:
        try:
            return normalize_base_url(self._text("CLOUDINDEX_HOST"))
        except CloudIndexError as error:
            raise SettingsError(
                f"CLOUDINDEX_HOST is no usable base URL: {error.message}", field="CLOUDINDEX_HOST", hint=error.hint
            ) from None

    def _text(self, name: str) -> str:
        return self.variables.get(name, "").strip()

    def _is_given(self, secret: str) -> bool:
        return bool(self._text(secret) or self._text(f"{secret}_ARN"))

    def _required(self, name: str, hint: str) -> str:
        if text := self._text(name):
            return text
        raise SettingsError(f"{name} isn't set.", field=name, hint=hint)

    def _secret(self, name: str, hint: str = "") -> str:
        """The value, or that of the secret which the ARN names."""
        value, arn = self._text(name), self._text(f"{name}_ARN")
        if value and arn:
            raise SettingsError(f"{name} and {name}_ARN are both set.", field=name, hint="Set one of them.")
        if arn:
            return self.read(f"{name}_ARN", arn).strip()
        return value or self._required(name, hint or f"Set it, or {name}_ARN to the ARN of a secret or a parameter.")
