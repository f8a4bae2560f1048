"""Airflow's own share of a run: ``python -m programs.benchmarks.airflow_share [--documents 10000]``.

Runs the group of tasks over documents that have all changed, with 64 upload tasks and with the default, by ``dag.test``
in this process; S3 and CloudIndex are fakes in others. Prints one JSON object: for each, the mapped upload tasks, the
bytes of all XComs of the run as the metadata database has them, seconds, and CPU seconds of this process. ``dag.test``
runs one task after another, so the first upload task does the work and the others show what a task costs by itself.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from programs.benchmarks.report import Target
from programs.benchmarks.servers import ROOT, Fake, running

__all__ = ["MOST_TASKS", "MOST_XCOM", "stored_xcom_bytes", "targets"]

DOCUMENTS = 10_000
MOST_TASKS = 64
MOST_XCOM = 64 * 1024  # bytes
BUCKET, PROJECT = "bucket", "p"
UPLOAD_TASKS = (64, 4)  # the most there may be, and the default
_METADATA = b'name="metadata"\r\n\r\n'


def targets(documents: int = DOCUMENTS) -> list[Target]:
    """The promises about Airflow's share, measured in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name, "--documents", str(documents)],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"airflow_share: {done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    runs = found["runs"]
    what = f"a run of {found['documents']:,} changed documents"
    return [
        Target(f"{what}: mapped upload tasks", max(run["upload_tasks"] for run in runs), most=MOST_TASKS),
        Target(f"{what}: all XComs, bytes", max(run["xcom_bytes"] for run in runs), most=MOST_XCOM),
    ]


def stored_xcom_bytes(dag_id: str, run_id: str | None = None) -> int:
    """Bytes of the values of a run's XComs, as they are in the metadata database; of all runs without ``run_id``."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import LargeBinary, Text, cast, func, select, type_coerce

    # The column's own type would decode the stored text and encode it anew.
    stored = func.length(cast(type_coerce(XComModel.value, Text), LargeBinary))
    found = select(func.sum(stored)).where(XComModel.dag_id == dag_id)
    with create_session() as session:
        return int(session.scalar(found if run_id is None else found.where(XComModel.run_id == run_id)) or 0)


class FakeCloudIndex(BaseHTTPRequestHandler):
    """Takes uploads, keeps their names alone, and says of all of them that they are processed."""

    protocol_version = "HTTP/1.1"
    versions: ClassVar[dict[str, int]] = {}  # file name -> version

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        start = body.index(_METADATA) + len(_METADATA)
        metadata, _ = json.JSONDecoder().raw_decode(body[start : body.index(b"\r\n--", start)].decode())
        for name in metadata["documents"]:
            self.versions[name] = self.versions.get(name, 1) + 1
        self._answer({"success": True, "documents": [self._document(name) for name in metadata["documents"]]})

    def do_GET(self) -> None:
        one = self.path.partition("/documents/")[2]
        documents = [self._document(name) for name in list(self.versions)]
        self._answer(next(item for item in documents if item["id"] == one) if one else {"documents": documents})

    def _document(self, name: str) -> dict[str, Any]:
        return {
            "id": document_id(name), "fileName": name, "version": self.versions[name], "processingStatus": "processed",
        }  # fmt: skip

    def _answer(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests aren't logged."""


def document_id(name: str) -> str:
    """The id of a file name's document; a new version has the old one's."""
    return hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()


def serve() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeCloudIndex)
    print(f"ready on http://127.0.0.1:{server.server_port}", flush=True)
    threading.Thread(target=server.serve_forever).start()


def prepare_airflow(home: Path, s3: str, cloudindex: str) -> None:
    """An Airflow of its own, before anything of Airflow is imported."""
    for name in [name for name in os.environ if name.startswith(("AIRFLOW", "AWS_"))]:
        del os.environ[name]
    aws = {"conn_type": "aws", "login": "x", "password": "y", "extra": {"endpoint_url": s3, "region_name": "us-east-1"}}
    service = {"conn_type": "cloudindex", "host": cloudindex, "password": "k", "extra": {"project_id": PROJECT}}
    os.environ |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW__CLOUDINDEX__STATE_PATH": str(home / "state.db"),
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(aws),
        "AIRFLOW_CONN_CLOUDINDEX_DEFAULT": json.dumps(service),
    }
    (home / "dags").mkdir()
    from airflow.utils.db import initdb

    initdb()


def settle(s3: Fake, state: Path) -> None:
    """A state in which everything that S3 has now is indexed."""
    from cloudindex_provider.sync.detect.detection import detect
    from cloudindex_provider.sync.naming import file_name
    from programs.benchmarks.jobs import context

    ctx = context(s3.url, str(state), "first")
    detect(ctx)
    ctx.db.close()
    with sqlite3.connect(state) as connection:
        connection.create_function("name_of", 1, lambda key: file_name(BUCKET, key))
        connection.create_function("id_of", 1, document_id)
        connection.execute(
            "UPDATE object SET status = 'indexed', file_name = name_of(key), document_id = id_of(name_of(key)),"
            " document_version = 1, indexed_etag = etag, indexed_size = size"
        )
        connection.execute("UPDATE run SET finished_at = started_at")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


_NUMBERS = itertools.count()


def measure(folder: Path, upload_tasks: int, documents: int) -> dict[str, Any]:
    """One run of the group, and what it cost."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
    from airflow.models.xcom import XComModel
    from airflow.sdk import DAG

    from cloudindex_provider.transfers.s3_to_cloudindex import s3_to_cloudindex

    with DAG(f"share_{next(_NUMBERS)}", schedule=None) as dag:
        s3_to_cloudindex(bucket=BUCKET, upload_tasks=upload_tasks)
    DagBundlesManager().sync_bundles_to_db()  # type: ignore[no-untyped-call]  # Airflow's own
    bag = BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="dags-folder")
    bag.bag_dag(dag)
    sync_bag_to_db(bag, "dags-folder", None)
    began, used = time.perf_counter(), time.process_time()
    done = dag.test()
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    tasks = [ti for ti in done.get_task_instances() if ti.task_id.endswith(".upload_documents")]
    report = XComModel.get_many(run_id=done.run_id, dag_ids=dag.dag_id, task_ids="s3_to_cloudindex.report", limit=1)
    found = [XComModel.deserialize_value(row) for row in _rows(report)]
    if str(done.state) != "success" or [one["indexed"] for one in found] != [documents]:
        raise RuntimeError(f"the run ended as {done.state}: {found}")
    return {
        "setting": upload_tasks, "upload_tasks": len(tasks), "xcom_bytes": stored_xcom_bytes(dag.dag_id, done.run_id),
        "seconds": round(seconds, 1), "cpu": round(cpu, 1), "tasks": len(done.get_task_instances()),
    }  # fmt: skip


def _rows(statement: Any) -> list[Any]:
    from airflow.utils.session import create_session

    with create_session() as session:
        return list(session.scalars(statement))


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--documents", type=int, default=DOCUMENTS, help="a multiple of 1,000")
    p.add_argument("--serve", action="store_true", help="only the fake CloudIndex")
    options = p.parse_args()
    if options.serve:
        serve()
        return 0
    stdout = os.dup(1)
    os.dup2(2, 1)  # Airflow logs to stdout
    service = subprocess.Popen(
        [sys.executable, "-m", "programs.benchmarks.airflow_share", "--serve"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    fakes = ("--keys", str(options.documents), "--size", "2k", "--change-every", "1", "--etag", "md5")
    try:
        assert service.stdout is not None
        ready = re.search(r"ready on (\S+)", service.stdout.readline())
        if ready is None:
            raise RuntimeError("the fake CloudIndex didn't start")
        with running("fakes3", *fakes) as s3, tempfile.TemporaryDirectory(prefix="cloudindex-share-") as place:
            home = Path(place)
            prepare_airflow(home, s3.url, ready[1])
            settle(s3, home / "settled.db")
            s3.ask("set?gen=1")
            runs = []
            for upload_tasks in UPLOAD_TASKS:
                for name in home.glob("state.db*"):
                    name.unlink()
                shutil.copy(home / "settled.db", home / "state.db")
                runs.append(measure(home / "dags", upload_tasks, options.documents))
    finally:
        service.terminate()
        service.wait()
    os.write(stdout, json.dumps({"documents": options.documents, "runs": runs}).encode() + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
