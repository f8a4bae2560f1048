"""The page in a real browser, on a real Airflow: signed in, looked at, acted on, and watched while a run goes on."""

from __future__ import annotations

import functools
import re
import urllib.error
from collections.abc import Callable, Iterator
from urllib.parse import quote, urlsplit

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser
from starlette.routing import Route

from cloudindex_provider.local.faults import Fault
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.sync.naming import file_name
from tests.e2e.conftest import Stack
from tests.support.browser import Session, Window, open_window, sign_in

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

FAILING, HELD, PLANNED = "page-failing", "page-held", "page-planned"
BROKEN = "documents/04711-broken.txt"
STRANGE = [
    "documents/<script>alert(1)</script><img src=x onerror=alert(2)>.txt",
    "documents/invoice-\u202etxt.exe.txt",
    "documents/" + "long-" * 202 + "k",
]  # fmt: skip
MANY = 10_000
assert len(STRANGE[2].encode()) == 1021


@pytest.fixture(scope="module")
def sessions(browser: Browser, stack: Stack) -> Callable[[str, str], Session]:
    """What a browser keeps of a role's signing in, by Airflow's own form; each is signed in once."""
    return functools.cache(lambda url, role: sign_in(browser, url, role, stack.airflow.password_of(role)))


@pytest.fixture
def enter(browser: Browser, stack: Stack, sessions: Callable[[str, str], Session]) -> Iterator[Callable[..., Window]]:
    """A window of a role; at the test's end, none of them may have complained."""
    windows: list[Window] = []

    def enter(role: str, theme: str = "light", url: str | None = None) -> Window:
        address = url or stack.airflow.url
        windows.append(open_window(browser, address, sessions(address, role), theme=theme))
        return windows[-1]

    yield enter
    complaints = [text for window in windows for text in window.complaints]
    for window in windows:
        window.page.context.close()
    assert complaints == []


def state_of(stack: Stack) -> Database:
    return Database(f"sqlite:///{stack.airflow.home}/cloudindex/state.db", must_exist=True)


def source_of(db: Database, bucket: str) -> tuple[int, int]:
    """(source, scope) of the bucket's sync."""
    with db.read() as connection:
        statement = "SELECT source.id, scope_id FROM source JOIN scope ON scope.id = scope_id WHERE bucket = :bucket"
        source, scope = connection.execute(sa.text(statement), {"bucket": bucket}).one()
    return int(source), int(scope)


def add_indexed(stack: Stack, bucket: str, number: int) -> None:
    """So many keys that are in step, as earlier runs would have left them."""
    db = state_of(stack)
    source, scope = source_of(db, bucket)
    row = {"scope": scope, "source": source}
    with db.write() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO object (scope_id, key, source_id, status, etag, size, last_modified, storage_class,"
                " document_id, indexed_etag, indexed_size) VALUES (:scope, :key, :source, 'indexed', 'e', 9,"
                " '2026-01-01T00:00:00Z', 'STANDARD', :key, 'e', 9)"
            ),
            [row | {"key": f"documents/{n:05}.txt"} for n in range(number)],
        )
    db.close()


@pytest.fixture(scope="module")
def failing(stack: Stack) -> str:
    """The place of a sync of ten thousand keys, one of which has failed."""
    stack.put(FAILING, BROKEN, *STRANGE, "documents/a.txt")
    name = file_name(FAILING, BROKEN)
    refused = Fault(
        operation="upload", kind="partial_errors", match=name, error_code="no_text", retryable=True, times=None
    )
    stack.cloudindex.faults.add(refused)
    assert stack.trigger("page_failing", FAILING).wait() == "failed"
    add_indexed(stack, FAILING, MANY)
    db = state_of(stack)
    source, _ = source_of(db, FAILING)
    db.close()
    return f"/plugin/cloudindex?sync={source}"


@pytest.fixture(scope="module")
def held(stack: Stack) -> str:
    """The place of a sync whose deletes wait for a person."""
    keys = [f"documents/{n}.txt" for n in range(6)]
    stack.put(HELD, *keys)
    assert stack.trigger("page_held", HELD).wait() == "success"
    stack.remove(HELD, *keys[:3])
    assert stack.trigger("page_held", HELD).wait() == "success"
    db = state_of(stack)
    source, _ = source_of(db, HELD)
    db.close()
    return f"/plugin/cloudindex?sync={source}"


@pytest.fixture(scope="module")
def planned(stack: Stack) -> str:
    """The place of a sync that has a plan: something to upload and something to delete."""
    stack.put(PLANNED, "documents/a.txt", "documents/b.txt")
    assert stack.trigger("page_planned", PLANNED).wait() == "success"
    stack.put(PLANNED, "documents/new.txt")
    stack.remove(PLANNED, "documents/b.txt")
    return plan(stack)


def plan(stack: Stack) -> str:
    """Make a dry run; gives the place of its tab."""
    run = stack.trigger("page_planned", PLANNED, dry_run=True)
    assert run.wait() == "success"
    return f"/dags/page_planned/runs/{quote(run.run_id)}/plugin/cloudindex-run"


def test_a_failed_key_is_found_understood_and_retried(stack: Stack, enter: Callable[..., Window], failing: str) -> None:
    """Among ten thousand, in four clicks from Airflow's home; and it is seen to become indexed."""
    window = enter("op")
    window.page.goto(stack.airflow.url)
    window.page.get_by_role("link", name="CloudIndex").first.click()
    window.wait_for("1 failed")
    window.click("link", f"s3://{FAILING}/documents/")
    window.wait_for("CloudIndex refused the file")
    window.page.get_by_role("link", name="Show the 1 key: failed").click()
    window.click("link", BROKEN)
    window.wait_for("CloudIndex can't find it yet")
    assert "no_text" in window.text()
    window.click("button", "Retry")
    window.wait_for("1 key is tried again by the next run.")
    window.wait_for("operator action by op")
    stack.cloudindex.faults.clear()  # the cause is mended
    assert stack.trigger("page_failing", FAILING).wait() == "success"
    window.wait_for("S3 and CloudIndex have the same.")
    assert stack.indexed(FAILING, BROKEN) == [BROKEN]


def test_held_deletes_are_approved_by_who_has_seen_them(stack: Stack, enter: Callable[..., Window], held: str) -> None:
    """A viewer sees the same keys and no button; what the operator approves, the next run deletes. Where a run has
    found more meanwhile, the operator is asked to look again."""
    onlooker = enter("viewer")
    onlooker.open(held)
    onlooker.wait_for("documents/2.txt")
    assert "you need the right to edit or trigger" in onlooker.text()
    assert onlooker.page.locator("[data-cloudindex]").get_by_role("button", name="Approve").count() == 0

    window = enter("op")
    window.open(held)
    window.wait_for("3 documents of 6 would be deleted")
    for number in range(3):
        window.wait_for(f"documents/{number}.txt")
    assert "documents/3.txt" not in window.text()
    stack.remove(HELD, "documents/3.txt")
    assert stack.trigger("page_held", HELD).wait() == "success"
    window.wait_for("These are other deletes than those that you were asked about")
    window.wait_for("documents/3.txt")
    assert window.page.locator("[data-cloudindex]").get_by_role("button", name="Approve").count() == 0
    window.click("button", "I have looked")
    window.click("button", "Approve up to 4 deletes")
    window.wait_for("Decided: deletes approved: up to 4, by op")
    assert stack.trigger("page_held", HELD).wait() == "success"
    window.wait_for("In step")
    assert stack.indexed(HELD, *(f"documents/{n}.txt" for n in range(6))) == ["documents/4.txt", "documents/5.txt"]


def test_a_plan_is_read_and_one_that_s3_has_overtaken_is_not_run(
    stack: Stack, enter: Callable[..., Window], planned: str
) -> None:
    """The tab of the dry run lists what would be done; a run that is bound to it does nothing else, and the page says
    so. A viewer has no button."""
    onlooker = enter("viewer")
    onlooker.open(planned)
    onlooker.wait_for("A run would upload 1 object")
    assert "takes the right to trigger" in onlooker.text()
    assert onlooker.page.locator("[data-cloudindex]").get_by_role("button", name="Run exactly this").count() == 0

    window = enter("op")
    window.open(planned)
    window.wait_for("and delete 1 document")
    window.wait_for("documents/b.txt")
    window.click("link", "Upload (1)")
    window.wait_for("documents/new.txt")
    stack.put(PLANNED, "documents/later.txt")
    window.click("button", "Run exactly this")
    window.wait_for("found that S3 or the state had changed since, and did nothing")
    assert stack.indexed(PLANNED, "documents/new.txt", "documents/b.txt") == ["documents/b.txt"]


def test_strange_keys_do_nothing_but_show(enter: Callable[..., Window], failing: str) -> None:
    """Markup is text, what turns the reading direction is named, and a key of 1,024 bytes is whole."""
    window = enter("viewer")
    window.open(f"{failing}&view=keys&prefix={quote('documents/<')}")
    window.wait_for(STRANGE[0])
    assert window.page.locator("[data-cloudindex] script, [data-cloudindex] img").count() == 0
    window.open(f"{failing}&key={quote(STRANGE[1], safe='')}")
    window.wait_for("documents/invoice-\\u202etxt.exe.txt")
    assert "\u202e" not in window.text()
    window.open(f"{failing}&key={quote(STRANGE[2], safe='')}")
    window.wait_for(STRANGE[2])
    width = window.page.evaluate("document.querySelector('[data-cloudindex]').scrollWidth")
    assert width <= 1500


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everybody_can_use_it(enter: Callable[..., Window], failing: str, held: str, planned: str, theme: str) -> None:
    """axe-core finds no serious violation on any view, light or dark."""
    window = enter("admin", theme)
    places = [
        "/plugin/cloudindex",
        failing,
        f"{failing}&view=keys",
        f"{failing}&view=runs",
        f"{failing}&view=drift",
        f"{failing}&key={BROKEN}",
        held,
        f"{planned}?view=plan",
    ]
    for place in places:
        window.open(place)
        assert window.violations() == [], place
    dark = window.page.evaluate("document.documentElement.classList.contains('dark')")
    assert dark is (theme == "dark")


def test_an_address_that_isnt_right_says_so(
    browser: Browser, stack: Stack, sessions: Callable[[str, str], Session]
) -> None:
    """Whatever somebody has written into a link, the page asks its own API for a sync, and nothing else."""
    window = open_window(browser, stack.airflow.url, sessions(stack.airflow.url, "viewer"))
    asked: list[str] = []
    window.page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    window.page.goto(f"{stack.airflow.url}/plugin/cloudindex?sync={quote('../../../api/v2/nowhere?', safe='')}&key=a")
    window.page.locator("[data-cloudindex] [role=alert]").wait_for()
    ours = [path for path in asked if path.startswith("/cloudindex/api/")]
    assert ours
    assert all(path.startswith("/cloudindex/api/syncs/") for path in ours)
    assert not [path for path in asked if path.startswith("/api/v2/nowhere")]
    window.page.context.close()


NARROW = """() => {
  const page = document.querySelector("[data-cloudindex]");
  const cells = [...page.querySelectorAll("td")].filter((one) => one.innerText.length > 40);
  return [page.scrollWidth - page.clientWidth, Math.min(1000, ...cells.map((one) => one.clientWidth))];
}"""


@pytest.mark.parametrize("size", [(390, 844), (820, 900)], ids=["phone", "half a screen"])
def test_it_can_be_read_in_a_narrow_window(
    browser: Browser,
    stack: Stack,
    sessions: Callable[[str, str], Session],
    failing: str,
    held: str,
    size: tuple[int, int],
) -> None:
    """Tables scroll by themselves, the page doesn't, and no text stands in a column of a letter a line."""
    window = open_window(browser, stack.airflow.url, sessions(stack.airflow.url, "admin"), size=size)
    places = ["/plugin/cloudindex", failing, f"{failing}&view=keys", f"{failing}&key={BROKEN}", f"{held}&view=runs"]
    for place in places:
        window.open(place)
        window.page.locator("[data-cloudindex] table").last.wait_for()
        beyond, narrowest = window.page.evaluate(NARROW)
        assert (beyond, narrowest >= 120) == (0, True), (place, beyond, narrowest)
    window.page.context.close()


def test_a_dag_and_its_runs_have_a_tab(stack: Stack, enter: Callable[..., Window], failing: str) -> None:
    """It opens at their sync, and at the run; a DAG without a sync says so."""
    window = enter("viewer")
    window.open("/dags/page_failing/plugin/cloudindex-dag")
    window.wait_for(f"s3://{FAILING}/documents/")
    [run, *_] = stack.airflow.request("GET", "/api/v2/dags/page_failing/dagRuns")["dag_runs"]
    run_id = run["dag_run_id"]
    window.open(f"/dags/page_failing/runs/{quote(run_id)}/plugin/cloudindex-run")
    window.page.locator("[data-cloudindex] tr[aria-current=true]", has_text=run_id).wait_for()
    window.open("/dags/emptied/plugin/cloudindex-dag")
    window.wait_for("This DAG has no sync")


def test_it_works_below_a_base_path(stack: Stack, enter: Callable[..., Window], failing: str, planned: str) -> None:
    """Its files, its API, its links and what it asks of Airflow's own API, where that isn't at the root of its host."""
    stack.put(PLANNED, "documents/later.txt")
    place = plan(stack)
    with stack.airflow.second_api_server("/airflow") as url:
        window = enter("op", url=url)
        window.open("/plugin/cloudindex")
        window.click("link", f"s3://{FAILING}/documents/")
        window.click("link", "All keys")
        window.click("link", "documents/00000.txt")
        window.wait_for("S3 and CloudIndex have the same.")
        assert window.page.url.startswith(f"{url}/plugin/cloudindex?")
        window.click("button", "Upload again")
        window.wait_for("1 key is uploaded again by the next run.")
        window.open(place)
        window.click("button", "Run exactly this")
        window.wait_for("It was done by the run")
    keys = [f"documents/{name}.txt" for name in ("a", "b", "new", "later")]
    assert stack.indexed(PLANNED, *keys) == [keys[0], *keys[2:]]


def test_a_stranger_gets_nothing(stack: Stack, browser: Browser, failing: str) -> None:
    """401 on every route of the real server; in a browser, Airflow's own sign-in."""
    from cloudindex_provider.plugins.app import create_app

    routes = [route for route in create_app().routes if isinstance(route, Route)]
    asked = [(method, route.path) for route in routes for method in route.methods or ()]
    assert len(asked) >= 10
    for method, path in asked:
        place = path.replace("{source}", "1").replace("{name}", "page.js")
        with pytest.raises(urllib.error.HTTPError) as refused:
            stack.airflow.request(method, f"/cloudindex{place}", {} if method == "POST" else None, login=False)
        assert refused.value.code == 401, path
    page = browser.new_page()
    page.goto(f"{stack.airflow.url}{failing}")
    page.wait_for_url(re.compile("/auth/login"))
    page.close()
