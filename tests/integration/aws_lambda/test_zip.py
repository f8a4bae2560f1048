"""The zip of the function: what is in it, and that it does its work where there is no Airflow."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from cloudindex_provider.local.server import LocalCloudIndex
from cloudindex_provider.state.db.database import Database
from programs.lambda_zip.__main__ import Zip, build, requirements
from tests.integration.state.conftest import postgres_server  # noqa: F401 - a fixture
from tests.integration.sync.conftest import cloud, cloud_server, s3, s3_url  # noqa: F401 - fixtures
from tests.support.memory_sqs import s3_message
from tests.support.mirror import Mirror

RUNNER = Path(__file__).with_name("runner.py")
RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six")  # that Lambda brings itself
DIRECT = 50 << 20  # bytes of a zip that can be uploaded as it is


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Zip:
    """The zip for this Python."""
    return build(tmp_path_factory.mktemp("zip"))


@pytest.fixture(scope="module")
def folders(made: Zip, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The zip unpacked, and a runtime with boto3 alone."""
    task, runtime = tmp_path_factory.mktemp("task"), tmp_path_factory.mktemp("runtime")
    with zipfile.ZipFile(made.path) as archive:
        archive.extractall(task)
    for name in RUNTIME:
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        origin = Path(spec.origin)
        source = origin.parent if origin.stem == "__init__" else origin
        (runtime / source.name).symlink_to(source)
    return task, runtime


@dataclass
class Lambda:
    """Starts of the function, each in a process of its own."""

    folders: tuple[Path, Path]
    variables: dict[str, str] = field(default_factory=dict)
    log: str = ""

    def start(self, *events: Any, seconds: float = 60.0) -> dict[str, Any]:
        """The answers, and what was imported."""
        done = self.run(*events, seconds=seconds)
        assert done.returncode == 0, done.stderr[-3000:]
        answer: dict[str, Any] = json.loads(done.stdout)
        assert "airflow" not in answer["roots"]
        return answer

    def run(self, *events: Any, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "-S", str(RUNNER), *map(str, self.folders), str(seconds)]
        aws = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
        done = subprocess.run(
            command, env=aws | self.variables, input=json.dumps(events), capture_output=True, text=True, check=False,
            timeout=120,
        )  # fmt: skip
        self.log = done.stderr
        return done


def of_sqs(*bodies: str) -> dict[str, Any]:
    rows = [
        {"messageId": f"m{number}", "receiptHandle": "r", "body": body, "eventSource": "aws:sqs"}
        for number, body in enumerate(bodies)
    ]
    return {"Records": rows}


def failures(*ids: str) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": one} for one in ids]}


def test_the_zip_has_what_the_function_needs_and_nothing_of_airflow(made: Zip) -> None:
    names = zipfile.ZipFile(made.path).namelist()
    roots = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert {"cloudindex_provider", "httpx", "sqlalchemy", "ijson", "certifi", "psycopg2"} <= roots
    assert not [root for root in roots if root.startswith(("airflow", "boto", "s3transfer"))]
    ours = {name.split("/")[1] for name in names if name.startswith("cloudindex_provider/")}
    assert {"__init__.py", "errors", "api", "s3", "state", "sync", "aws_lambda"} <= ours
    assert not ours & {"hooks", "operators", "sensors", "triggers", "transfers", "plugins", "cli", "local", "retry.py"}
    assert made.size < DIRECT
    assert not [one for one in requirements() if "airflow" in one]


# Airflow is told


@dataclass
class AirflowServer:
    """As much of Airflow's API server as is used here, over a socket."""

    events: list[Any] = field(default_factory=list)
    is_up: bool = True
    url: str = ""


@pytest.fixture
def airflow() -> Iterator[AirflowServer]:
    state = AirflowServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply(200, {"assets": [{"id": 7, "uri": "s3://company-docs/docs"}], "total_entries": 1})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/auth/token":
                self.reply(201, {"access_token": "t"})
            elif not state.is_up:
                self.reply(503, {"detail": "down"})
            else:
                state.events.append(body)
                self.reply(200, {})

        def reply(self, status: int, content: Mapping[str, Any]) -> None:
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def teller(folders: tuple[Path, Path], airflow: AirflowServer) -> Lambda:
    return Lambda(
        folders,
        {
            "CLOUDINDEX_SYNCS": json.dumps([{"bucket": "company-docs", "prefix": "docs/"}]),
            "CLOUDINDEX_AIRFLOW_URL": airflow.url,
            "CLOUDINDEX_AIRFLOW_USERNAME": "lambda",
            "CLOUDINDEX_AIRFLOW_PASSWORD": "pass-5ecret",
        },
    )


def test_keys_reach_airflow_and_a_bad_message_alone_comes_again(teller: Lambda, airflow: AirflowServer) -> None:
    """By SQS, and by S3 itself, to which nothing can be answered."""
    one, two = s3_message("company-docs", "docs/a b.txt"), s3_message("company-docs", "docs/b.txt")
    answer = teller.start(of_sqs(one, "no event", two), json.loads(one), {"nobody": "knows"})
    assert answer["answers"][:2] == [failures("m1"), {}]
    assert answer["answers"][2].startswith("HandOverError")
    keys = [event["extra"]["keys"] for event in airflow.events]
    assert keys == [["docs/a b.txt", "docs/a+b.txt", "docs/b.txt"], ["docs/a b.txt", "docs/a+b.txt"]]
    assert "sqlalchemy" not in answer["roots"]  # this way needs no state, and doesn't pay for its import
    assert "5ecret" not in teller.log


def test_an_airflow_that_is_down_makes_messages_come_again(teller: Lambda, airflow: AirflowServer) -> None:
    airflow.is_up = False
    one, foreign = s3_message("company-docs", "docs/a.txt"), s3_message("another-bucket", "x.txt")
    answers = teller.start(of_sqs(one, foreign), of_sqs(one), json.loads(one))["answers"]
    assert answers[0] == failures("m0")
    assert all(str(answer).startswith("HandOverError") and "503" in answer for answer in answers[1:])


def test_a_missing_variable_is_named(teller: Lambda) -> None:
    del teller.variables["CLOUDINDEX_SYNCS"]
    (answer,) = teller.start(of_sqs("x"))["answers"]
    assert answer.startswith("SettingsError: CLOUDINDEX_SYNCS isn't set.")


# The keys are synced


@pytest.fixture
def mirror(tmp_path: Path, cloud: LocalCloudIndex, s3: Any, request: pytest.FixtureRequest) -> Iterator[Mirror]:  # noqa: F811 - fixtures
    """A bucket, an index, and a state in Postgres."""
    server = request.getfixturevalue("postgres_server")
    server.sql("CREATE DATABASE function")
    made = Mirror(tmp_path, cloud, s3, s3, db=Database(server.url("psycopg2", "function")))
    yield made
    made.close()
    server.sql("DROP DATABASE function WITH (FORCE)")


@pytest.fixture
def syncer(folders: tuple[Path, Path], mirror: Mirror, s3_url: str) -> Lambda:  # noqa: F811 - a fixture
    return Lambda(
        folders,
        {
            "AWS_ENDPOINT_URL_S3": s3_url,
            "CLOUDINDEX_SYNCS": json.dumps([{"bucket": mirror.bucket, "prefix": mirror.prefix}]),
            "CLOUDINDEX_STATE_URL": mirror.db.url.render_as_string(hide_password=False),
            "CLOUDINDEX_HOST": mirror.cloud.url,
            "CLOUDINDEX_API_KEY": mirror.cloud.api_key,
            "CLOUDINDEX_PROJECT_ID": mirror.project_id,
        },
    )


def test_with_a_state_the_keys_are_synced_without_airflow(syncer: Lambda, mirror: Mirror) -> None:
    """Put, change and delete; SQS is told of the bad message alone, and the full sync beside it finds all in step."""
    key, gone = mirror.put("a.txt", "one"), mirror.put("gone.txt", "gone")
    first = of_sqs(s3_message(mirror.bucket, key), "no event", s3_message(mirror.bucket, gone))
    assert syncer.start(first)["answers"] == [failures("m1")]
    mirror.put("a.txt", "two")
    mirror.remove("gone.txt")
    second = of_sqs(
        s3_message(mirror.bucket, key), s3_message(mirror.bucket, gone, name="ObjectRemoved:DeleteMarkerCreated")
    )
    assert syncer.start(second, json.loads(s3_message(mirror.bucket, key)))["answers"] == [failures(), {}]
    mirror.assert_agreement()
    assert mirror.run().counts["unchanged"] == 1
    runs = mirror.execute("SELECT run_id, task_id FROM run WHERE dag_id = 'aws_lambda/follow'")
    assert len(runs) <= 2  # one an hour, however many starts


def test_a_slow_document_is_asked_for_again(syncer: Lambda, mirror: Mirror) -> None:
    """The function ends before its time is over, and says what isn't done."""
    mirror.cloud.settings.processing_delay = 3600.0
    body = s3_message(mirror.bucket, mirror.put("a.txt", "one"))
    assert syncer.start(of_sqs(body), seconds=9.0)["answers"] == [failures("m0")]
    mirror.cloud.settings.processing_delay = 0.0
    assert syncer.start(of_sqs(body))["answers"] == [failures()]
    assert mirror.uploads == 1
    mirror.assert_agreement()


def test_lambdas_own_retry_takes_over_from_a_start_that_was_killed(syncer: Lambda, mirror: Mirror) -> None:
    """It has the same request id. It used to prolong the dead one's claims, and to wait for their end."""
    event = json.loads(s3_message(mirror.bucket, mirror.put("a.txt", "one")))
    syncer.variables["KILLED_AT_ITS_UPLOAD"] = "1"
    assert syncer.run(event).returncode == 137
    del syncer.variables["KILLED_AT_ITS_UPLOAD"]
    time.sleep(1.0)  # Lambda waits for a minute
    assert syncer.start(event, seconds=30.0)["answers"] == [{}]
    assert mirror.uploads == 1
    mirror.assert_agreement()


def test_a_function_with_lambdas_default_timeout_is_told(syncer: Lambda) -> None:
    (answer,) = syncer.start(of_sqs("x"), seconds=3.0)["answers"]
    assert answer.startswith("SettingsError: The function has ")
    assert "five minutes" in answer


def test_a_state_that_is_down_is_said_without_its_password(syncer: Lambda) -> None:
    syncer.variables["CLOUDINDEX_STATE_URL"] = "postgresql://u:pass-5ecret@127.0.0.1:9/state"
    (answer,) = syncer.start(of_sqs("x"))["answers"]
    assert answer.startswith("StateUnavailableError")
    assert "5ecret" not in answer + syncer.log
