"""The buttons on a task's page, clicked in a real browser below a base path."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from playwright.sync_api import Browser

from tests.e2e.conftest import Stack
from tests.support.browser import open_window, sign_in

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

BUCKET = "linked"


def test_a_task_leads_to_its_run_on_the_page_wherever_airflow_is(stack: Stack, browser: Browser) -> None:
    """The worker knows nothing of the base path; a link that leads nowhere isn't shown."""
    stack.put(BUCKET, "documents/a.txt")
    run = stack.trigger("page_held", BUCKET)
    assert run.wait() == "success"
    with stack.airflow.second_api_server("/airflow") as url:
        window = open_window(browser, url, sign_in(browser, url, "viewer", stack.airflow.password_of("viewer")))
        window.page.goto(f"{url}/dags/page_held/runs/{quote(run.run_id)}/tasks/sync/details")
        window.page.get_by_role("link", name="CloudIndex sync").click()
        window.page.locator("[data-cloudindex] tr[aria-current=true]", has_text=run.run_id).wait_for()
        assert window.page.url.startswith(f"{url}/dags/page_held/runs/")
        window.wait_for(f"s3://{BUCKET}/documents/")
        window.page.go_back()
        window.page.get_by_role("link", name="CloudIndex sync").wait_for()
        assert window.page.get_by_role("link", name="S3 prefix").count() == 0  # no AWS
        assert window.page.get_by_role("link", name="CloudIndex project").count() == 0  # nobody has said where
        assert window.complaints == []
        window.page.context.close()
