"""A client over scripted answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from cloudindex_provider.api.client import CloudIndexClient
from tests.support.waits import Waits

KEY = "key-0123456789"


class Script:
    """Answers requests in order, the last one for ever; an exception in the list is raised."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return answer
        return httpx.Response(200, json=answer)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def scripted(waits: Waits) -> Iterator[Callable[..., tuple[CloudIndexClient, Script]]]:
    clients: list[CloudIndexClient] = []

    def make(*answers: Any, **settings: Any) -> tuple[CloudIndexClient, Script]:
        script = Script(*answers)
        settings = {"project_id": "p1", "sleep": waits, "base_url": "https://api.test/public/v1"} | settings
        client = CloudIndexClient(api_key=KEY, transport=httpx.MockTransport(script), **settings)
        clients.append(client)
        return client, script

    yield make
    for client in clients:
        client.close()
