"""Which database the state is in, and that no password gets out on the way."""

from __future__ import annotations

import json
import logging

import pytest
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG

from cloudindex_provider.errors import SettingsError, StateError
from cloudindex_provider.hooks.state import open_state, resolve_state
from cloudindex_provider.state.db import sqlite_file

PASSWORD = "p@ss:w/rd?#&% é[]"


def url_of(**where):
    """The URL of the state that this names."""
    return resolve_state(**where).url


@pytest.fixture
def postgres(monkeypatch):
    """Defines a Postgres connection whose every part has characters that a URL must quote."""

    def define(conn_id="state_db", **changes):
        fields = {
            "conn_type": "postgres", "host": "db.example", "port": 5433, "login": "us@er", "password": PASSWORD,
            "schema": "my db/1", "extra": {"sslmode": "require", "password": PASSWORD, "cursor": "dictcursor"},
        } | changes  # fmt: skip
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))

    define()
    return define


@pytest.fixture
def configured(monkeypatch):
    def set_option(section="cloudindex", **options):
        for name, value in options.items():
            monkeypatch.setenv(f"AIRFLOW__{section.upper()}__{name.upper()}", value)

    return set_option


def test_without_any_setting_the_state_is_a_file_in_airflows_home(monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    url = url_of()
    assert url.get_backend_name() == "sqlite"
    assert url.database == str(tmp_path / "cloudindex" / "state.db")


def test_the_argument_wins_over_the_connection_and_the_connection_over_the_file(configured, postgres, tmp_path):
    configured(state_path=str(tmp_path / "configured.db"))
    assert url_of().database == str(tmp_path / "configured.db")
    configured(state_conn_id="state_db")
    assert url_of().host == "db.example"
    postgres("other_db", host="other.example")
    assert url_of(state_conn_id="other_db").host == "other.example"
    assert url_of(state_url="sqlite:////elsewhere/state.db").database == "/elsewhere/state.db"


def test_two_arguments_at_once_are_refused():
    with pytest.raises(SettingsError) as caught:
        url_of(state_url="sqlite:////x.db", state_conn_id="state_db")
    assert caught.value.field == "state_url"


def test_every_character_of_a_postgres_connection_arrives(postgres):
    url = url_of(state_conn_id="state_db")
    assert (url.get_backend_name(), url.host, url.port) == ("postgresql", "db.example", 5433)
    assert (url.username, url.password, url.database) == ("us@er", PASSWORD, "my db/1")
    assert dict(url.query) == {"sslmode": "require"}
    # The driver is given the same again after the way through a URL's text.
    from sqlalchemy.engine import make_url

    assert make_url(url.render_as_string(hide_password=False)) == url


def test_what_libpq_is_told_by_extras_arrives_and_what_is_airflows_hooks_own_does_not(postgres):
    """One that were left out would be a protection or a failover that somebody believes to have."""
    mine = {
        "sslmode": "verify-full", "sslcrl": "/crl.pem", "channel_binding": "require", "require_auth": "scram-sha-256",
        "target_session_attrs": "read-write", "keepalives_idle": "30", "tcp_user_timeout": "9000",
    }  # fmt: skip
    postgres(host="one,two", extra={**mine, "cursor": "dictcursor", "log_cmd": True, "sslpassword": "s3cret-word"})
    url = url_of(state_conn_id="state_db")
    assert (url.host, dict(url.query)) == ("one,two", mine)


def test_empty_fields_of_a_connection_are_left_to_the_driver(postgres):
    postgres(login="", password="", schema="", port=None)
    url = url_of(state_conn_id="state_db")
    assert (url.username, url.password, url.database, url.port) == (None, None, None, None)


def test_a_connection_of_another_type_is_refused_by_name(postgres):
    postgres(conn_type="mysql")
    with pytest.raises(SettingsError, match="'state_db' is of type 'mysql'") as caught:
        url_of(state_conn_id="state_db")
    assert caught.value.field == "state_conn_id"


def test_a_connection_that_is_not_there_is_named(postgres):
    with pytest.raises(SettingsError, match="'no_such' is not defined") as caught:
        url_of(state_conn_id="no_such")
    assert caught.value.field == "state_conn_id"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:s3cret-word@h/db",
        "postgresql://u@h/db?password=s3cret-word",
        "postgresql://u@h/db?sslpassword=s3cret-word",
    ],
)
def test_a_password_in_state_url_is_refused_and_not_repeated(url, caplog):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(SettingsError, match="password") as caught:
        url_of(state_url=url)
    assert caught.value.field == "state_url"
    assert "s3cret-word" not in str(caught.value) + repr(caught.value.__dict__) + caplog.text


@pytest.mark.parametrize(
    "url", ["no url", "mysql://u@h/db", "postgres://u@h/db", "postgresql://u:s3cret-word@h:port/db", "/path/state.db"]
)
def test_what_is_no_url_of_a_database_that_can_hold_the_state_is_refused_unread(url):
    with pytest.raises(SettingsError) as caught:
        url_of(state_url=url)
    assert caught.value.field == "state_url"
    assert "s3cret-word" not in str(caught.value)


@pytest.mark.parametrize("path", ["state.db", "./x/state.db"])
def test_a_relative_path_is_refused_because_it_is_another_file_in_every_process(configured, path):
    with pytest.raises(SettingsError, match="relative"):
        url_of(state_url=f"sqlite:///{path}")
    configured(state_path=path)
    with pytest.raises(SettingsError, match="state_path"):
        url_of()


@pytest.mark.parametrize("home", ["$CI_ROOT/home", "${CI_ROOT}/home", "~/home"])
def test_airflows_home_is_read_as_airflow_reads_it(monkeypatch, tmp_path, home):
    """A systemd unit, an env_file or a JSON of variables expands nothing, and Airflow does."""
    monkeypatch.setenv("CI_ROOT", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_HOME", home)
    assert url_of().database == str(tmp_path / "home" / "cloudindex" / "state.db")


@pytest.mark.parametrize("home", ["airflow", "./airflow", "$CI_NOT_SET/airflow", "~nobody-of-this-name/airflow"])
def test_a_home_that_is_another_folder_in_every_process_is_refused(monkeypatch, home):
    """Each task would begin a state of its own there, and each of them would be lost."""
    monkeypatch.setenv("AIRFLOW_HOME", home)
    with pytest.raises(SettingsError, match="AIRFLOW_HOME is the relative path"):
        url_of()


def test_a_user_who_is_not_there_is_no_traceback(configured):
    configured(state_path="~nobody-of-this-name/state.db")
    with pytest.raises(SettingsError, match="state_path"):
        url_of()


LOCAL = "airflow.executors.local_executor.LocalExecutor"
TEAMS = "LocalExecutor;search=CeleryExecutor"


@pytest.mark.parametrize(
    "executor", ["LocalExecutor", LOCAL, "here:LocalExecutor", f"here:{LOCAL}", "=LocalExecutor", TEAMS]
)
def test_sqlite_holds_the_state_where_every_executor_runs_on_one_machine(configured, executor):
    """In each spelling that Airflow takes; of teams there is none without ``[core] multi_team``."""
    configured("core", executor=executor)
    assert url_of().get_backend_name() == "sqlite"


@pytest.mark.parametrize(
    ("executor", "named"),
    [
        ("CeleryExecutor", "CeleryExecutor"),
        ("LocalExecutor,KubernetesExecutor", "KubernetesExecutor"),
        ("LocalExecutor , slow:CeleryExecutor", "CeleryExecutor"),
        ("ecs:airflow.providers.amazon.aws.executors.ecs.AwsEcsExecutor", "AwsEcsExecutor"),
        ("astronomer.runtime.AstroExecutor", "AstroExecutor"),  # nobody's list of the distributed ones had it
        ("my_company.executors.LocalExecutor", "my_company.executors.LocalExecutor"),
        ("LocalExecutor:my_company.executors.Pool", "my_company.executors.Pool"),
        ("SomeExecutorOfNextYear", "SomeExecutorOfNextYear"),
        ("CeleryExecutor;search=LocalExecutor", "CeleryExecutor"),
        ("=EdgeExecutor", "EdgeExecutor"),
    ],
)
def test_any_other_executor_refuses_sqlite_in_one_sentence_and_takes_postgres(configured, postgres, executor, named):
    """What isn't known to run on one machine is named, with the choices; also where the file is an argument."""
    configured("core", executor=executor)
    with pytest.raises(
        StateError, match=r"state_conn_id to a Postgres connection, or run Airflow with Local"
    ) as caught:
        url_of()
    assert f"{named} may run them on several" in caught.value.message
    assert not caught.value.retryable
    with pytest.raises(StateError):
        url_of(state_url="sqlite:////path/state.db")
    assert url_of(state_conn_id="state_db").host == "db.example"


def test_the_executors_of_teams_count_where_there_are_teams(configured):
    """A team's task is a task."""
    configured("core", executor=TEAMS, multi_team="True")
    with pytest.raises(StateError, match="CeleryExecutor may run them"):
        url_of()


@pytest.mark.parametrize("mark", ["AIRFLOW_IS_K8S_EXECUTOR_POD", "AIRFLOW_IS_EXECUTOR_CONTAINER"])
def test_a_container_for_one_task_refuses_sqlite_whatever_it_is_told_of_the_executor(configured, monkeypatch, mark):
    """The Helm chart tells the pods of KubernetesExecutor that they are LocalExecutor's."""
    configured("core", executor="LocalExecutor")
    monkeypatch.setenv(mark, "True")
    with pytest.raises(StateError, match="a container of its own"):
        url_of()


def test_a_task_of_dag_test_runs_here_whatever_the_executor(configured, run_dag, monkeypatch, tmp_path):
    """``dag.test()`` and ``airflow dags test`` ask no executor; the same call outside of them is refused."""
    configured("core", executor="CeleryExecutor")
    configured(state_path=str(tmp_path / "state.db"))
    found = []
    with DAG("here", schedule=None) as dag:
        PythonOperator(task_id="look", python_callable=lambda: found.append(url_of().database))
    assert run_dag(dag) == {("look", -1): ("success", 1)}
    assert found == [str(tmp_path / "state.db")]
    with pytest.raises(StateError):
        url_of()


@pytest.mark.parametrize(
    ("kind", "passes"),
    [("overlay", True), ("fuse.fuse-overlayfs", True), ("tmpfs", True), ("ext4", False), ("xfs", False)],
)
def test_a_state_begun_on_a_disk_that_passes_is_said_to_be_lost_with_it(tmp_path, monkeypatch, caplog, kind, passes):
    """Whenever one is begun there, which is after each loss; never where one is, and never on a volume."""
    mounts = tmp_path / "mounts"
    mounts.write_text(f"overlay / overlay rw 0 0\nvolume {tmp_path} {kind} rw 0 0\n")
    monkeypatch.setattr(sqlite_file, "_MOUNTS", mounts)
    url = f"sqlite:///{tmp_path}/folder/state.db"
    open_state(state_url=url).close()
    told = [one.getMessage() for one in caplog.records if "volume ([cloudindex] state_path)" in one.getMessage()]
    assert len(told) == passes
    caplog.clear()
    open_state(state_url=url).close()
    assert caplog.records == []


def test_nothing_that_is_logged_or_shown_has_the_password(postgres, caplog):
    caplog.set_level(logging.DEBUG)
    url = url_of(state_conn_id="state_db")
    assert PASSWORD not in caplog.text + str(url) + repr(url)
