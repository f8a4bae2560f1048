"""A new user's first steps, as the guides say: both connections in the UI, a first sync, the page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page

from tests.e2e.conftest import AWS_SECRET, Stack
from tests.support.browser import Window, open_window, sign_in

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

KEYS = ("handbook/welcome.md", "handbook/holidays.txt")


@pytest.fixture
def window(browser: Browser, stack: Stack) -> Iterator[Window]:
    url = stack.airflow.url
    window = open_window(browser, url, sign_in(browser, url, "admin", stack.airflow.password_of("admin")))
    yield window
    window.page.context.close()


def begin(page: Page, conn_id: str, kind: str) -> Locator:
    """The form of a new connection, with its id and type."""
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.locator("input[name=connection_id]").fill(conn_id)
    form.get_by_role("combobox").click()
    page.keyboard.type(kind)
    page.get_by_role("option", name=kind, exact=True).click()
    return form


def save(form: Locator) -> None:
    form.get_by_role("button", name="Save").click()
    form.wait_for(state="hidden")


def test_connections_of_the_form_a_first_sync_and_the_page(stack: Stack, window: Window) -> None:
    """CloudIndex's has its own fields, a port and a button that tests it; S3's is the amazon provider's."""
    stack.put("company-docs", *KEYS)
    page, index = window.page, urlsplit(stack.cloudindex.url)
    page.goto(f"{window.url}/connections")

    form = begin(page, "first_cloudindex", "CloudIndex")
    form.locator("input[name=host]").fill(f"http://{index.hostname}{index.path}")
    form.locator("input[name=password]").fill(stack.cloudindex.api_key)
    form.locator("input[name=port]").fill(str(index.port))
    form.get_by_role("button", name="Extra Fields", exact=True).click()
    form.locator("[name=element_project_id]").fill(stack.cloudindex.project_id)
    save(form)
    with page.expect_response("**/api/v2/connections/test") as tested:
        page.get_by_label("Test Connection").first.click()
    assert tested.value.json()["status"] is True, tested.value.text()

    form = begin(page, "first_aws", "Amazon Web Services")
    form.locator("input[name=login]").fill("access-key-id")
    form.locator("input[name=password]").fill(AWS_SECRET)
    form.get_by_role("button", name="Extra Fields JSON", exact=True).click()
    write_json(page, form, {"region_name": "us-east-1", "endpoint_url": stack.s3.meta.endpoint_url})
    save(form)

    stack.airflow.await_dag("first_steps")
    run_id = stack.airflow.trigger("first_steps", {})
    assert stack.airflow.await_run("first_steps", run_id) == "success"
    assert stack.indexed("company-docs", *KEYS) == [*KEYS]
    window.open("/plugin/cloudindex")
    window.wait_for("s3://company-docs/handbook/")
    row = page.locator("[data-cloudindex] tr", has_text="s3://company-docs/handbook/")
    assert "In step" in row.inner_text()


def write_json(page: Page, form: Locator, value: dict[str, str]) -> None:
    """Into Airflow's editor, which closes brackets and quotes by itself."""
    form.locator(".view-lines").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(json.dumps(value))
    for _ in range(2):
        page.keyboard.press("Delete")
    form.get_by_text("Connection ID").click()  # which ends the editing
