"""Fixtures of the engine's tests: an S3 server and its fault proxy for the session, an index and a mirror for each."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from cloudindex_provider.local.control import apply_settings
from cloudindex_provider.local.server import LocalCloudIndex
from cloudindex_provider.local.settings import Settings
from tests.support.memory_s3 import MemoryS3
from tests.support.mirror import Mirror, s3_client
from tests.support.s3_fault_proxy import S3FaultProxy


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """An S3 server."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def s3(s3_url: str) -> Any:
    """A client that reaches the server past every fault."""
    return s3_client(s3_url)


@pytest.fixture(scope="session")
def proxy_client(s3_url: str) -> Iterator[tuple[S3FaultProxy, Any]]:
    with S3FaultProxy(s3_url) as running:
        yield running, s3_client(running.url)


@pytest.fixture
def s3_proxy(proxy_client: tuple[S3FaultProxy, Any]) -> Iterator[S3FaultProxy]:
    """The way of the sync to S3 when a test uses ``proxied``."""
    proxy_client[0].reset()
    yield proxy_client[0]
    proxy_client[0].reset()


@pytest.fixture(scope="session")
def cloud_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloudIndex]:
    with LocalCloudIndex(tmp_path_factory.mktemp("index")) as running:
        yield running


@pytest.fixture
def cloud(cloud_server: LocalCloudIndex) -> Iterator[LocalCloudIndex]:
    """The session's index, behaving as it does by default; every mirror has a project of its own in it."""
    yield cloud_server
    cloud_server.faults.clear()
    apply_settings(cloud_server.settings, Settings().model_dump())


@pytest.fixture
def mirror(tmp_path: Path, cloud: LocalCloudIndex, s3: Any) -> Iterator[Mirror]:
    """A sync that reads S3 directly."""
    made = Mirror(tmp_path, cloud, s3, s3)
    yield made
    made.close()


@pytest.fixture
def in_memory(tmp_path: Path, cloud: LocalCloudIndex) -> Iterator[Mirror]:
    """A sync whose S3 is in this process."""
    s3 = MemoryS3()
    made = Mirror(tmp_path, cloud, s3, s3)
    yield made
    made.close()


@pytest.fixture
def proxied(
    tmp_path: Path, cloud: LocalCloudIndex, s3: Any, s3_proxy: S3FaultProxy, proxy_client: tuple[S3FaultProxy, Any]
) -> Iterator[Mirror]:
    """A sync that reads S3 through the fault proxy."""
    made = Mirror(tmp_path, cloud, s3, proxy_client[1])
    yield made
    made.close()
