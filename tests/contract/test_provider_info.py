"""What the package tells Airflow is what Airflow accepts, and what it names is there."""

from __future__ import annotations

import ast
import importlib
import importlib.resources
import json
import re
import subprocess
import sys
from importlib.metadata import distribution, entry_points
from pathlib import Path
from typing import Any

import pytest

import cloudindex_provider
from cloudindex_provider.get_provider_info import get_provider_info

pytestmark = pytest.mark.usefixtures("airflow_home")
INFO: dict[str, Any] = get_provider_info()
CONNECTION = INFO["connection-types"][0]


def schema(name):
    return json.loads(importlib.resources.files("airflow").joinpath(name).read_text())


def named_modules():
    for kind in ("hooks", "operators", "sensors", "triggers"):
        for entry in INFO[kind]:
            yield from entry["python-modules"]
    yield from (entry["python-module"] for entry in INFO["transfers"])


@pytest.mark.parametrize("name", ["provider_info.schema.json", "provider.yaml.schema.json"])
def test_airflows_schemas_accept_it(name):
    import jsonschema

    rules = schema(name)
    if name == "provider.yaml.schema.json":
        rules = {key: rules["properties"][key] for key in ("connection-types", "config", "integrations")}
        for key, rule in rules.items():
            jsonschema.validate(INFO[key], rule | {"definitions": schema(name).get("definitions", {})})
    else:
        jsonschema.validate(INFO, rules)


def test_the_entry_point_leads_here_and_names_the_distribution():
    found = [point for point in entry_points(group="apache_airflow_provider") if "cloudindex" in point.value]
    assert [point.load() for point in found] == [get_provider_info]
    assert distribution(INFO["package-name"]).metadata["Name"] == INFO["package-name"]


def test_airflow_loads_the_plugin_by_its_entry_point_alone():
    """Airflow ignores a plugin that only the provider info names, and calls one an error that both name."""
    from airflow import plugins_manager

    found, errors = plugins_manager._get_plugins()
    assert [one.name for one in found if type(one).__module__.startswith("cloudindex_provider.")] == ["cloudindex"]
    assert not [name for name in errors if "cloudindex" in name]
    assert "plugins" not in INFO


def test_a_process_that_only_loads_the_plugin_imports_no_web_framework():
    """Every task loads plugins."""
    code = (
        "import sys; from cloudindex_provider.plugins.cloudindex import CloudIndexPlugin as Plugin; Plugin();"
        "print([name for name in sys.modules if name.split('.')[0] in ('fastapi', 'starlette')"
        " or name.startswith(('cloudindex_provider.state', 'cloudindex_provider.plugins.app'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_version_is_the_packages():
    assert INFO["versions"][0] == cloudindex_provider.__version__


@pytest.mark.parametrize("name", ["get_provider_info.py", "__init__.py"])
def test_discovery_imports_nothing(name):
    tree = ast.parse(Path(cloudindex_provider.__file__).with_name(name).read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


@pytest.mark.parametrize("module", sorted(named_modules()))
def test_every_named_module_imports(module):
    assert importlib.import_module(module).__all__


def test_the_hook_class_says_the_same_as_the_connection_type():
    module, name = CONNECTION["hook-class-name"].rsplit(".", 1)
    hook = getattr(importlib.import_module(module), name)
    assert (hook.conn_type, hook.hook_name) == (CONNECTION["connection-type"], CONNECTION["hook-name"])
    assert hook.conn_name_attr == "cloudindex_conn_id"
    assert "get_ui_field_behaviour" not in vars(hook)  # deprecated since Airflow 3.2


def test_the_form_shows_exactly_the_settings_of_the_hook():
    from cloudindex_provider.api.connection import AUTH_SCHEMES
    from cloudindex_provider.hooks.cloudindex import EXTRAS, CloudIndexSettings

    fields = CONNECTION["conn-fields"]
    assert tuple(fields) == EXTRAS
    assert tuple(fields["auth_scheme"]["schema"]["enum"]) == AUTH_SCHEMES
    assert fields["auth_scheme"]["schema"]["default"] == CloudIndexSettings("x").auth_scheme
    for name in ("connect_timeout", "read_timeout", "max_file_size", "max_request_size", "max_concurrency"):
        assert f"Default {round(getattr(CloudIndexSettings('x'), name)):,}." in fields[name]["description"]


def test_the_guide_has_the_extras_of_the_form_in_its_words():
    """By name and title, with its default; what max_concurrency bounds is said in the same words."""
    guide = Path(__file__).parents[2].joinpath("docs/connections.md").read_text(encoding="utf-8")
    table = guide.partition("\n## CloudIndex\n")[2].partition("```")[0]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines() if row.startswith("| `")]
    fields = CONNECTION["conn-fields"]
    assert [name for names, *_ in rows for name in re.findall(r"`(\w+)`", names)] == [*fields]
    assert [title for names, *_ in rows for title in re.findall(r"\*([^*]+)\*", names)] == [
        field["label"] for field in fields.values()
    ]
    said = next(meaning for names, meaning, _ in rows if names.startswith("`max_concurrency`"))
    assert fields["max_concurrency"]["description"].lower().startswith(said)


def test_airflow_finds_provider_form_and_section():
    from airflow.providers_manager import ProvidersManager
    from airflow.sdk.configuration import conf

    manager = ProvidersManager()
    manager.initialize_providers_list()
    assert manager.providers[INFO["package-name"]].version == cloudindex_provider.__version__
    hook = manager.hooks["cloudindex"]
    assert hook is not None
    assert hook.hook_name == "CloudIndex"
    assert manager.field_behaviours["cloudindex"]["hidden_fields"] == ["schema", "login"]
    assert "extra__cloudindex__project_id" in manager.connection_form_widgets
    assert conf.get("cloudindex", "state_path") == ""
    assert conf.get("cloudindex", "state_conn_id") == ""
    assert conf.getint("cloudindex", "history_days") == 90


def test_the_links_of_a_sync_s_tasks_are_those_that_airflow_is_told_of() -> None:
    """The api-server shows a link only of a class that the provider names."""
    from cloudindex_provider.operators.base import BaseS3ToCloudIndexOperator

    told = [path.rpartition(".") for path in INFO["extra-links"]]
    links = BaseS3ToCloudIndexOperator.operator_extra_links
    assert {getattr(importlib.import_module(module), name) for module, _, name in told} == {type(one) for one in links}
    assert len({link.xcom_key for link in links}) == len({link.name for link in links}) == len(told)
