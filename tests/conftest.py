"""An Airflow of its own for the test process, set up before anything imports Airflow.

Its home is a new temporary directory, so no test sees or touches a developer's Airflow. The metadata database is
migrated only when a test asks for ``airflow_db`` or ``run_dag``, once per process.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_HOME = Path(tempfile.mkdtemp(prefix="cloudindex-airflow-"))
_DAGS = _HOME / "dags"
_DAGS.mkdir()
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)

for _name in [name for name in os.environ if name.startswith(("AIRFLOW__", "AIRFLOW_CONN_", "AIRFLOW_VAR_"))]:
    del os.environ[_name]
os.environ.update(
    AIRFLOW_HOME=str(_HOME),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__DAGS_FOLDER=str(_DAGS),
    AIRFLOW__CORE__UNIT_TEST_MODE="False",  # it would put Airflow's own test configuration in the place of ours
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_HOME}/airflow.db",
    AIRFLOW__LOGGING__BASE_LOG_FOLDER=str(_HOME / "logs"),
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
)


@pytest.fixture(scope="session")
def airflow_home() -> Path:
    """The temporary AIRFLOW_HOME of this process."""
    return _HOME


@pytest.fixture(scope="session")
def airflow_db(airflow_home: Path) -> Path:
    """The home, with a migrated metadata database: ``dag.test()`` works. About 3 seconds, once."""
    from airflow.utils.db import initdb

    from tests.support.airflow_versions import one_api_for_all_tasks

    initdb()
    one_api_for_all_tasks()
    return airflow_home


@pytest.fixture
def retry_waits() -> list[float | None]:
    """Seconds that a policy asked for before each retry under ``run_dag``; ``None``: the task's own ``retry_delay``."""
    return []


@pytest.fixture
def run_dag(
    airflow_db: Path, retry_waits: list[float | None], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Any], dict[tuple[str, int], tuple[str, int]]]:
    """Runs a DAG object in this process, retries without delay: ``{(task_id, map_index): (state, tries)}``."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db

    from tests.support.airflow_versions import tries_of, without_waits

    without_waits(monkeypatch, retry_waits.append)

    def run(dag: Any) -> dict[tuple[str, int], tuple[str, int]]:
        # dag.test() insists on a DAG that a bundle has brought into the database, which one of a test's body is not.
        DagBundlesManager().sync_bundles_to_db()
        bag = BundleDagBag(dag_folder=_DAGS, bundle_path=_DAGS, bundle_name="dags-folder")
        bag.bag_dag(dag)
        sync_bag_to_db(bag, "dags-folder", None)
        tis = dag.test().get_task_instances()
        return {(ti.task_id, ti.map_index): (str(ti.state), tries_of(ti)) for ti in tis}

    return run
