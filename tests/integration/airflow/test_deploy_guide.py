"""docs/deploy.md to the letter: each block is executed, or compared with what the package and its tools know."""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

import boto3
import pytest
import sqlalchemy as sa
import yaml
from airflow.sdk import BaseHook
from packaging.requirements import Requirement

import cloudindex_provider
from cloudindex_provider.get_provider_info import get_provider_info
from cloudindex_provider.hooks.cloudindex import CloudIndexHook, CloudIndexSettings
from cloudindex_provider.hooks.s3 import s3_client
from cloudindex_provider.hooks.state import open_state, resolve_state
from tests.contract.test_distribution import build
from tests.integration.state.conftest import postgres_server  # noqa: F401 - a fixture
from tests.support.guide_blocks import Block, blocks, connections, environment, requirements, shell_lines
from tests.support.postgres import PostgresServer

ROOT = Path(__file__).parents[3]
BLOCKS = blocks(ROOT / "docs" / "deploy.md")
SECTIONS = list(dict.fromkeys(block.section for block in BLOCKS))
CONNECTIONS = [(block, *one) for block in BLOCKS for one in connections(block)]
OPTIONS = get_provider_info()["config"]["cloudindex"]["options"]  # type: ignore[index]
PROJECT = "00000000-0000-4000-8000-000000000001"
CA = "/etc/ssl/certs/private-ca.pem"

# What the recipes use of tools that aren't ours: the command, and its flags as its own documentation has them.
TOOLS = {
    "aws s3 cp": {"--recursive"},
    "docker compose build": set(),
    "docker compose exec": {"-U", "-c"},  # psql's
    "docker compose run": {"--rm", "--copy-to"},  # the last is ours
    "docker compose up": {"--detach"},
    "kubectl exec": {"--namespace", "--", "-U", "-c"},
    "kubectl apply": {"--namespace", "--filename"},
    "helm upgrade": {"--namespace", "--values", "--reuse-values"},
    "gcloud composer environments update": {"--location", "--update-pypi-package", "--update-airflow-configs"},
    "gcloud composer environments storage dags import": {"--environment", "--location", "--source"},
    "gcloud secrets create": {"--data-file"},
    "astro deployment variable create": {"--deployment-id", "--secret"},
    "astro deploy": set(),
}
EXECUTED = {"airflow", "export", ".", "python3", "pip"}  # and assignments; each by a test below


def of(section: str, language: str) -> list[Block]:
    found = [block for block in BLOCKS if block.section.startswith(section) and block.language == language]
    assert found, f"no {language} in {section!r}"
    return found


def define(monkeypatch: pytest.MonkeyPatch, block: Block) -> dict[str, Any]:
    """The block's connections, as Airflow reads them from its environment."""
    found = {}
    for conn_id, text in connections(block):
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", text)
        found[conn_id] = BaseHook.get_connection(conn_id)
    return found


def facts(connection: Any) -> Any:
    """What a connection means to whoever reads it."""
    if connection.conn_type == "cloudindex":
        return (CloudIndexSettings.from_connection(connection), connection.password)
    fields = (connection.conn_type, connection.login, connection.password, connection.host, connection.port)
    return (*(field or None for field in fields), connection.schema or None, connection.extra_dejson)


# Everything


def test_each_section_says_what_was_tried() -> None:
    """Who follows a recipe knows whether somebody has."""
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    parts = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert [part.splitlines()[0] for part in parts] == SECTIONS
    said = re.compile(r"^\*(Not t|T)ried here:\*", re.MULTILINE)
    assert [part.splitlines()[0] for part in parts if not said.search(part)] == []


def test_no_block_and_no_command_is_left_unchecked() -> None:
    """A new language or tool needs its check."""
    assert {block.language for block in BLOCKS} == {"bash", "dockerfile", "env", "ini", "json", "sql", "text", "yaml"}
    firsts = {words[0] for block in BLOCKS if block.language == "bash" for words in shell_lines(block)}
    assignments = {word for word in firsts if re.match(r"[A-Z_]+=", word)}
    assert firsts - assignments == EXECUTED | {name.split()[0] for name in TOOLS}


def test_every_variable_of_a_shell_is_set_before_it_is_used() -> None:
    """In the same section: what isn't set anywhere is empty for whoever follows the recipe, and the path another."""
    for section in SECTIONS:
        known = {"HOME"}
        for block in (one for one in BLOCKS if (one.section, one.language) == (section, "bash")):
            for line in block.text.replace("\\\n", " ").splitlines():
                assert {*re.findall(r"\$\{?(\w+)", line)} <= known, line
                known |= {*re.findall(r"^(?:export )?(\w+)=", line)}


def test_the_package_is_named_with_its_version_and_extra() -> None:
    """What is to be installed is what this is."""
    named = {one for block in BLOCKS for one in requirements(block)}
    assert named == {f"airflow-provider-cloudindex[postgres]=={cloudindex_provider.__version__}"}
    assert Requirement(named.pop()).extras == {"postgres"}
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    assert f"airflow_provider_cloudindex-{cloudindex_provider.__version__}-py3-none-any.whl" in text


@pytest.mark.parametrize(("block", "conn_id", "text"), CONNECTIONS, ids=str)
def test_airflow_reads_every_connection_as_it_is_meant(
    monkeypatch: pytest.MonkeyPatch, block: Block, conn_id: str, text: str
) -> None:
    """By its own parser; and what reads it of ours accepts every part."""
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", text)
    found = BaseHook.get_connection(conn_id)
    if conn_id == "cloudindex_default":
        settings = CloudIndexSettings.from_connection(found)
        assert (settings.base_url, settings.project_id) == ("https://api.cloudindex.ai/public/v1", PROJECT)
        assert found.password == "API-KEY"
    elif conn_id == "cloudindex_state":
        assert (resolve_state(state_conn_id=conn_id).url.database, found.conn_type) == ("cloudindex_state", "postgres")
    else:
        assert (conn_id, found.conn_type) == ("aws_default", "aws")
        assert found.extra_dejson["region_name"]
        assert found.password in ("SECRET/KEY", "", None)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_option_that_is_set_is_one(block: Block) -> None:
    """Of Airflow's section [cloudindex], in each spelling."""
    text = block.text
    names = [one for one, _ in environment(block) if one.startswith("AIRFLOW__")]
    options = [one.removeprefix("AIRFLOW__CLOUDINDEX__").lower() for one in names]
    options += [name for pair in re.findall(r'"cloudindex\.(\w+)"|cloudindex-(\w+)=', text) for name in pair if name]
    if block.language == "ini":
        parser = configparser.ConfigParser()
        parser.read_string(text)
        assert parser.sections() == ["cloudindex"]
        options += list(parser["cloudindex"])
    assert set(options) <= set(OPTIONS)


@pytest.mark.parametrize(
    "words",
    [words for block in BLOCKS if block.language == "bash" for words in shell_lines(block)],
    ids=lambda words: " ".join(words)[:60],
)
def test_every_line_for_another_tool_uses_what_that_tool_has(words: list[str]) -> None:
    """``aws`` by botocore's model of the service, the others by their documentation; psql's SQL is run below."""
    if words[0] in EXECUTED or re.match(r"[A-Z_]+=", words[0]):
        return
    plain = [word for word in words if not word.startswith("-")]
    flags = {word.split("=")[0] for word in words if word.startswith("-")}
    if words[0] == "aws" and words[1] != "s3":
        model = boto3.session.Session()._session.get_service_model(words[1])
        operation = "".join(part.title() for part in words[2].split("-"))
        known = model.operation_model(operation).input_shape.members
        assert {"".join(part.title() for part in flag[2:].split("-")) for flag in flags} <= set(known)
        return
    subcommand = " ".join(plain if words[0] != "kubectl" else ["kubectl", "exec" if "exec" in words else "apply"])
    name = max((one for one in TOOLS if subcommand.startswith(one)), key=len)
    assert flags <= TOOLS[name]
    sources = re.findall(r"--source (\S+)", " ".join(words))
    assert [source for source in sources if not (ROOT / source).is_file()] == []


# The connections, in three forms


def test_uri_json_and_file_are_the_same_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever form somebody uses."""
    forms = [define(monkeypatch, block) for block in BLOCKS if block.section == SECTIONS[0]]
    assert [list(form) for form in forms] == [["cloudindex_default", "aws_default", "cloudindex_state"]] * 3
    read = [{conn_id: facts(one) for conn_id, one in form.items()} for form in forms]
    assert read[0] == read[1] == read[2]


# The state


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Any:
    server: PostgresServer = request.getfixturevalue("postgres_server")
    yield server
    server.sql("DROP DATABASE IF EXISTS cloudindex_state WITH (FORCE)", "DROP ROLE IF EXISTS cloudindex_state")


@pytest.mark.parametrize("block", of("The state", "sql"), ids=["one line", "a user of its own"])
def test_the_sql_makes_a_database_in_which_the_state_opens(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch, block: Block
) -> None:
    """By the connection of the first section, led to this server; its user may make the tables."""
    server.sql(*filter(None, block.text.strip().split(";\n")))
    user = "cloudindex_state" if "ROLE" in block.text else "postgres"
    fields = {"conn_type": "postgres", "login": user, "password": "PASSWORD", "schema": "cloudindex_state"}
    fields |= {"host": str(server.socket_dir), "port": server.port}  # type: ignore[dict-item]
    monkeypatch.setenv("AIRFLOW_CONN_CLOUDINDEX_STATE", json.dumps(fields))
    [(option, value)] = environment(of("The state", "bash")[0])
    monkeypatch.setenv(option, value)
    db = open_state()
    with db.read() as connection:
        assert connection.execute(sa.text("SELECT current_user")).scalar_one() == user
    assert db.url.database == "cloudindex_state"
    db.close()


def test_the_lines_for_containers_run_the_same_sql() -> None:
    """What psql is given is the one line that was run above."""
    [one_line] = [block.text.strip().rstrip(";") for block in of("The state", "sql") if "ROLE" not in block.text]
    lines = [words for block in BLOCKS if block.language == "bash" for words in shell_lines(block)]
    assert [words[-1] for words in lines if "psql" in words] == [one_line, one_line]


# Amazon RDS and Aurora, without a password

RDS = "Amazon RDS and Aurora"


def test_the_sql_for_rds_makes_a_database_and_leaves_its_administrator_out_of_rds_iam(server: PostgresServer) -> None:
    """By a user who may make roles and databases, and grant ``rds_iam``, as RDS's own may; but is no superuser."""
    admin = sa.create_engine(server.url("psycopg2").set(username="rds_admin"), isolation_level="AUTOCOMMIT")
    server.sql("CREATE ROLE rds_iam", "CREATE ROLE rds_admin LOGIN CREATEROLE CREATEDB IN ROLE pg_monitor")
    try:
        server.sql("GRANT rds_iam TO rds_admin WITH ADMIN OPTION")
        [block] = of(RDS, "sql")
        with admin.connect() as connection:
            for statement in block.text.strip().split(";\n"):
                connection.exec_driver_sql(statement)
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'cloudindex_state'"
        assert server.sql(owner) == ["cloudindex_state"]
        assert server.sql("SELECT pg_has_role('cloudindex_state', 'rds_iam', 'USAGE')") == [True]
        assert server.sql("SELECT pg_has_role('rds_admin', 'cloudindex_state', 'USAGE')") == [False]
    finally:
        admin.dispose()
        server.sql("DROP DATABASE IF EXISTS cloudindex_state", "DROP ROLE IF EXISTS cloudindex_state")
        server.sql("DROP ROLE rds_admin", "DROP ROLE rds_iam")


@pytest.mark.usefixtures("airflow_db")
def test_the_command_for_rds_prints_the_policy_that_stands_below_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the connection that stands above it."""
    from airflow.cli.cli_parser import get_parser

    connection, policy = of(RDS, "json")
    define(monkeypatch, connection)
    [words] = shell_lines(of(RDS, "bash")[0])
    args = get_parser().parse_args(words[1:])
    capsys.readouterr()
    args.func(args)
    assert json.loads(capsys.readouterr().out) == json.loads(policy.text)


# A virtualenv


def test_the_install_works_in_a_new_virtualenv(tmp_path: Path) -> None:
    """Beside the constraints of this Airflow, with pip, from an index that has the wheel and what is installed here."""
    pytest.importorskip("pip")
    if not (ROOT / "cloudindex_provider").is_dir():
        pytest.skip("the matrix tests the wheel without the source that it is built from")
    wheels = tmp_path / "wheels"
    build("wheel", ROOT, wheels)
    constraints = tmp_path / "constraints.txt"
    installed = {one.metadata["Name"]: one.version for one in distributions()}
    for name in ("airflow-provider-cloudindex", "pip", "setuptools", "wheel"):  # the last are the virtualenv's own
        installed.pop(name, None)
    constraints.write_text("".join(f"{name}=={number}\n" for name, number in installed.items()), encoding="utf-8")
    (tmp_path / "here.pth").write_text(f"{_others(tmp_path)}\n", encoding="utf-8")
    script = of("A virtualenv", "bash")[0].text
    script = re.sub(r"^AIRFLOW_VERSION=.*$", f"AIRFLOW_VERSION={version('apache-airflow')}", script, flags=re.MULTILINE)
    script, urls = re.subn(r'"https://raw\.\S+/constraints-\$\{AIRFLOW_VERSION\}/\S+\.txt"', str(constraints), script)
    assert urls == 1
    activated = ". airflow-venv/bin/activate\n"
    assert activated in script
    script = script.replace(activated, activated + 'cp here.pth "$VIRTUAL_ENV"/lib/python*/site-packages/\n')
    script += "python -m pip show --files airflow-provider-cloudindex\npython -m pip check | grep cloudindex || true\n"
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PIP_CONSTRAINT")}
    env |= {"PATH": f"{Path(sys.executable).parent}:{env['PATH']}", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    done = subprocess.run(
        ["bash", "-e", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert f"Version: {cloudindex_provider.__version__}" in done.stdout
    assert str(tmp_path / "airflow-venv") in done.stdout
    assert "cloudindex_provider/dags/cloudindex_care.py" in done.stdout


def _others(tmp_path: Path) -> Path:
    """All that is installed here but this package, for the new virtualenv to find."""
    folder = tmp_path / "others"
    folder.mkdir()
    for path in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if "cloudindex" not in path.name and path.suffix != ".pth" and not path.name.startswith("pip"):
            (folder / path.name).symlink_to(path)
    return folder


def test_the_commands_after_it_do_what_they_say(
    airflow_db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each through Airflow's own parser; with nothing to connect to yet."""
    from airflow.cli.cli_parser import get_parser
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AIRFLOW_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    home = tmp_path / "airflow"
    Path("connections.json").write_text(of("The connections", "json")[0].text, encoding="utf-8")
    parser, said = get_parser(), {}
    ours = ("cloudindex_default", "aws_default", "cloudindex_state")
    _forget_connections(ours)
    try:
        for words in shell_lines(of("A virtualenv", "bash")[1]):
            if words[0] == "export":
                name, _, value = words[1].partition("=")
                monkeypatch.setenv(name, os.path.expandvars(value))
                continue
            args = parser.parse_args([os.path.expandvars(word) for word in words[1:]])
            if words[1] != "standalone":
                capfd.readouterr()
                code = _call(args)
                said[" ".join(words[1:4])] = (code, "".join(capfd.readouterr()))
        with create_session() as session:
            stored = {one.conn_id: one for one in session.query(Connection).filter(Connection.conn_id.in_(ours))}
            assert {conn_id: one.conn_type for conn_id, one in stored.items()} == {
                "cloudindex_default": "cloudindex", "aws_default": "aws", "cloudindex_state": "postgres",
            }  # fmt: skip
            assert stored["cloudindex_default"].host == "api.cloudindex.ai/public/v1"
    finally:
        _forget_connections(ours)
    assert sorted(path.name for path in (home / "dags").iterdir()) == sorted(
        path.name for path in (ROOT / "dags").glob("*.py")
    )
    code, text = said.pop("cloudindex sources list")
    assert (code, "There is no state" in text) == (2, True)
    assert {code for code, _ in said.values()} == {0}
    assert not (home / "cloudindex").exists()


def _call(args: Any) -> int:
    try:
        args.func(args)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _forget_connections(conn_ids: tuple[str, ...]) -> None:
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session

    with create_session() as session:
        session.query(Connection).filter(Connection.conn_id.in_(conn_ids)).delete(synchronize_session=False)


# Containers


def test_the_dockerfile_installs_into_the_image_that_it_names() -> None:
    """Only instructions of Docker's; Airflow itself is pinned, so that pip can't replace it."""
    [block] = [block for block in BLOCKS if block.language == "dockerfile"]
    lines = [line.split(maxsplit=1) for line in block.text.splitlines()]
    assert [line[0] for line in lines] == ["FROM", "RUN", "RUN"]
    assert re.fullmatch(r"apache/airflow:\d+\.\d+\.\d+-python3\.1[123]", lines[0][1])
    assert '"apache-airflow==${AIRFLOW_VERSION}"' in lines[1][1]


def test_the_folder_of_the_volume_is_in_the_image_and_airflows_own() -> None:
    """A new volume has the owner and mode of the image's folder; without one it is root's, and Airflow runs as another
    user: 50000, or AIRFLOW_UID, of the group 0 that the image's user has, too."""
    [block] = [block for block in BLOCKS if block.language == "dockerfile"]
    (compose,) = (yaml.safe_load(block.text) for block in of("Docker", "yaml"))
    [folder] = {one.partition(":")[2] for service in compose["services"].values() for one in service["volumes"]}
    assert f"RUN mkdir --mode=775 {folder}\n" in block.text


def test_the_variables_of_docker_are_read_as_docker_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line a variable, no quotes around values; the state is a database of Airflow's own Postgres."""
    [block] = of("Docker", "env")
    names = [name for name, _ in environment(block)]
    assert all(re.fullmatch(r"AIRFLOW_[A-Z_]+", name) for name in names)
    assert not any(value.startswith(("'", '"')) for _, value in environment(block))
    assert define(monkeypatch, block)["cloudindex_state"].host == "postgres"


def test_the_yaml_is_what_compose_the_chart_and_kubernetes_take() -> None:
    """Keys that they have; the folder of the volume is that of the state, and the secret is the one that is named."""
    (compose,) = (yaml.safe_load(block.text) for block in of("Docker", "yaml"))
    # Tasks, the page, and the commands, to whom a state that they don't see would be a first run's.
    assert set(compose["services"]) == {"airflow-scheduler", "airflow-apiserver", "airflow-cli"}
    for service in compose["services"].values():
        assert service == {"volumes": ["cloudindex-state:/opt/airflow/cloudindex"]}
    assert list(compose["volumes"]) == ["cloudindex-state"]
    values, secret = (yaml.safe_load(block.text) for block in of("Kubernetes", "yaml"))
    assert set(values) == {"images", "config", "extraEnvFrom"}
    assert set(values["config"]["cloudindex"]) <= set(OPTIONS)
    [source] = yaml.safe_load(values["extraEnvFrom"])  # a template of the chart's, so text
    assert source == {"secretRef": {"name": secret["metadata"]["name"]}}
    assert (secret["apiVersion"], secret["kind"]) == ("v1", "Secret")
    assert all(isinstance(value, str) for value in secret["stringData"].values())


# Managed services


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "text"], ids=str)
def test_pip_understands_the_requirements(block: Block, tmp_path: Path) -> None:
    """Each line, by pip's own reader of such files; a constraints file is one of Airflow's."""
    pytest.importorskip("pip")
    from pip._internal.network.session import PipSession
    from pip._internal.req.req_file import parse_requirements

    text, urls = re.subn(r'"https://raw\.\S+/constraints-\d+\.\d+\.\d+/constraints-3\.1\d\.txt"', "c.txt", block.text)
    assert urls == ("--constraint" in block.text)
    (tmp_path / "c.txt").write_text("", encoding="utf-8")
    (tmp_path / "requirements.txt").write_text(text, encoding="utf-8")
    found = list(parse_requirements(str(tmp_path / "requirements.txt"), session=PipSession()))
    assert [Requirement(one.requirement).name for one in found] == ["airflow-provider-cloudindex"]


def test_the_options_of_mwaa_lead_to_the_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backend is there, takes these arguments, and looks where the secrets were put."""
    from airflow._shared.module_loading import import_string

    options = json.loads(of("Amazon MWAA", "json")[0].text)
    backend = import_string(options["secrets.backend"])(**json.loads(options["secrets.backend_kwargs"]))
    names = re.findall(r"--name (airflow/\S+)", of("Amazon MWAA", "bash")[0].text)
    asked: list[str] = []
    monkeypatch.setattr(
        type(backend), "_get_secret", lambda self, prefix, secret, *_: asked.append(f"{prefix}/{secret}")
    )
    for conn_id, _ in connections(of("Amazon MWAA", "bash")[0]):
        backend.get_conn_value(conn_id)
    assert asked == names


# Stores and networks


def _client(monkeypatch: pytest.MonkeyPatch, text: str) -> Any:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", text)
    return s3_client("aws_default", "documents")


@pytest.fixture
def ca(tmp_path: Path) -> Callable[[str], str]:
    """A text with the CA's path led to a file that is there: certifi's."""
    import certifi

    path = tmp_path / "private-ca.pem"
    path.write_text(Path(certifi.where()).read_text(encoding="utf-8"), encoding="utf-8")
    return lambda text: text.replace(CA, str(path))


def test_a_store_that_speaks_s3_is_listed_and_read(
    monkeypatch: pytest.MonkeyPatch, moto_url: str, ca: Callable[[str], str]
) -> None:
    """MinIO's connection in both forms, with its endpoint led to a server here: path style, and objects come."""
    minio, ceph, uri = (next(connections(block))[1] for block in of("Stores", "bash"))
    assert json.loads(minio)["extra"] == _extra(monkeypatch, uri)
    client = _client(monkeypatch, minio.replace("https://minio.example.com:9000", moto_url))
    assert client.meta.config.s3["addressing_style"] == "path"
    client.create_bucket(Bucket="documents")
    client.put_object(Bucket="documents", Key="a.txt", Body=b"a")
    assert [one["Key"] for one in client.list_objects_v2(Bucket="documents")["Contents"]] == ["a.txt"]
    assert client.get_object(Bucket="documents", Key="a.txt")["Body"].read() == b"a"
    client = _client(monkeypatch, ca(ceph))
    assert (client.meta.endpoint_url, client.meta.region_name) == ("https://rgw.example.com", "default")
    assert client.meta.config.s3["addressing_style"] == "path"


def _extra(monkeypatch: pytest.MonkeyPatch, text: str) -> Any:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", text)
    return BaseHook.get_connection("aws_default").extra_dejson


def test_a_proxy_and_a_private_ca_reach_both_clients(monkeypatch: pytest.MonkeyPatch, ca: Callable[[str], str]) -> None:
    """From the connections: what they say is what the clients were made with."""
    [block] = of("A proxy", "json")
    found = {conn_id: ca(text) for conn_id, text in connections(block)}
    for conn_id, text in found.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", text)
    network = CloudIndexHook().settings.network
    assert (network.proxy, network.verify, network.trust_env) == (
        "http://proxy.example.com:3128", json.loads(found["aws_default"])["extra"]["verify"], False,
    )  # fmt: skip
    CloudIndexHook().get_conn().close()
    client = _client(monkeypatch, found["aws_default"])
    assert client.meta.config.proxies == {"https": "http://proxy.example.com:3128"}


def test_the_variables_of_a_proxy_are_those_that_the_clients_read() -> None:
    """httpx and botocore name them in their own code."""
    import botocore.session
    import httpx

    names = {words[1].split("=")[0] for block in of("A proxy", "bash") for words in shell_lines(block)}
    assert names == {"HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "AWS_CA_BUNDLE"}
    text = Path(botocore.session.__file__).with_name("configprovider.py").read_text(encoding="utf-8")
    assert "AWS_CA_BUNDLE" in text
    assert "SSL_CERT_FILE" in Path(httpx._config.__file__).read_text(encoding="utf-8")
