"""A 20 MB file and 200 small ones go through in flat memory: one process that only syncs, its servers in others."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest

from cloudindex_provider.local.settings import DEFAULT_API_KEY, DEFAULT_PROJECT

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads a process's peak from /proc")

LIMIT = 60  # MiB beyond what the imports take

SYNC = """
import json, re, sys
import airflow.sdk
from cloudindex_provider.transfers.s3_to_cloudindex import S3ToCloudIndexOperator

def peak():  # not ru_maxrss, which a child inherits from the test process
    with open("/proc/self/status") as file:
        return int(re.search("VmHWM:\\s+(\\d+)", file.read())[1]) / 1024

imports = peak()
for prefix in sys.argv[2:]:
    report = S3ToCloudIndexOperator(task_id="sync", bucket=sys.argv[1], prefix=prefix).execute({})
    print(json.dumps({"prefix": prefix, "imports": imports, "peak": peak()} | report))
"""


@contextmanager
def process(*command: str, ready: str) -> Iterator[str]:
    """A server in its own process; gives the URL of its line that matches ``ready``."""
    with subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        try:
            seen = []
            assert running.stdout
            for line in running.stdout:
                seen.append(line)
                if found := re.search(ready, line):
                    break
            else:
                pytest.fail("".join(seen))
            yield found[1]
        finally:
            running.kill()


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    moto = (
        "import time; from moto.server import ThreadedMotoServer as S; s = S('127.0.0.1', 0, verbose=False); s.start();"
        "print('ready at http://%s:%s' % s.get_host_and_port(), flush=True); time.sleep(3600)"
    )
    local = ("-m", "cloudindex_provider.local", "--data", str(tmp_path_factory.mktemp("index")))
    with (
        process("-u", "-c", moto, ready=r"ready at (http\S+)") as s3,
        process(*local, ready=r"ready at (http\S+)") as cloudindex,
    ):
        yield s3, cloudindex


def test_a_20_mb_file_and_200_small_ones_are_never_held_together_in_memory(servers, tmp_path):
    s3_url, cloudindex_url = servers
    s3 = boto3.client(
        "s3", endpoint_url=s3_url, aws_access_key_id="x", aws_secret_access_key="y", region_name="us-east-1"
    )
    s3.create_bucket(Bucket="memory")
    line = b"a line of a long text file, number %07d, to be indexed\n"
    s3.put_object(Bucket="memory", Key="big/1.txt", Body=b"".join(line % n for n in range(400_000))[:20_000_000])
    for number in range(200):
        s3.put_object(Bucket="memory", Key=f"small/{number}.txt", Body=b"the text of document %d. " % number * 2000)
    cloudindex = {"conn_type": "cloudindex", "host": cloudindex_url, "password": DEFAULT_API_KEY}
    aws = {"conn_type": "aws", "login": "access-key", "password": "secret-key"}
    environment = os.environ | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW_CONN_CLOUDINDEX_DEFAULT": json.dumps(cloudindex | {"extra": {"project_id": DEFAULT_PROJECT}}),
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(aws | {"extra": {"endpoint_url": s3_url, "region_name": "us-east-1"}}),
    }
    done = subprocess.run(
        [sys.executable, "-c", SYNC, "memory", "big/", "small/"],
        env=environment, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
    figures = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"prefix"')]
    for one in figures:
        print(
            f"{one['prefix']} {one['indexed']} documents, {one['bytes'] / 1e6:.1f} MB: peak RSS {one['peak']:.0f} MiB,"
            f" {one['peak'] - one['imports']:.0f} MiB beyond the imports"
        )
    assert [one["indexed"] for one in figures] == [1, 200]
    assert figures[0]["bytes"] == 20_000_000
    assert figures[-1]["peak"] - figures[-1]["imports"] < LIMIT
