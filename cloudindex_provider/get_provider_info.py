"""What Airflow learns about this package: names, modules, the connection form and our configuration section.

A literal and nothing else. Airflow's discovery reads it before its own configuration exists, so this module imports
nothing; the plugin is found by its own entry point and must not be named here.
"""


def get_provider_info() -> dict[str, object]:
    """The provider's metadata, in the shape of Airflow's provider_info.schema.json."""
    return {
        "package-name": "airflow-provider-cloudindex",
        "name": "CloudIndex",
        "description": "Keeps a `CloudIndex <https://cloudindex.ai/>`__ project an exact mirror of Amazon S3 prefixes.",
        "versions": ["0.1.0"],
        "integrations": [
            {
                "integration-name": "CloudIndex",
                "external-doc-url": "https://cloudindex.ai/",
                "tags": ["service"],
            }
        ],
        "hooks": [{"integration-name": "CloudIndex", "python-modules": ["cloudindex_provider.hooks.cloudindex"]}],
        "operators": [
            {
                "integration-name": "CloudIndex",
                "python-modules": [
                    "cloudindex_provider.operators.cloudindex",
                    "cloudindex_provider.operators.cloudindex_approval",
                    "cloudindex_provider.operators.cloudindex_care",
                    "cloudindex_provider.operators.cloudindex_repair",
                    "cloudindex_provider.operators.cloudindex_s3_events",
                ],
            }
        ],
        "sensors": [{"integration-name": "CloudIndex", "python-modules": ["cloudindex_provider.sensors.cloudindex"]}],
        "transfers": [
            {
                "source-integration-name": "Amazon S3",
                "target-integration-name": "CloudIndex",
                "python-module": "cloudindex_provider.transfers.s3_to_cloudindex",
            }
        ],
        "triggers": [{"integration-name": "CloudIndex", "python-modules": ["cloudindex_provider.triggers.cloudindex"]}],
        "extra-links": [
            "cloudindex_provider.links.cloudindex.CloudIndexPageLink",
            "cloudindex_provider.links.cloudindex.CloudIndexProjectLink",
            "cloudindex_provider.links.cloudindex.S3PrefixLink",
        ],
        "asset-uris": [
            {
                "schemes": ["cloudindex"],
                "handler": "cloudindex_provider.assets.cloudindex.sanitize_uri",
                "to_openlineage_converter": "cloudindex_provider.assets.cloudindex.convert_asset_to_openlineage",
                "factory": "cloudindex_provider.assets.cloudindex.create_asset",
            }
        ],
        "cli": ["cloudindex_provider.cli.definition.get_cloudindex_cli_commands"],
        "connection-types": [
            {
                "connection-type": "cloudindex",
                "hook-class-name": "cloudindex_provider.hooks.cloudindex.CloudIndexHook",
                "hook-name": "CloudIndex",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "login"],
                    "relabeling": {"host": "Base URL", "password": "API key"},
                    "placeholders": {
                        "host": "https://api.cloudindex.ai/public/v1",
                        "password": "the API key, without the word ApiKey or Bearer before it",
                    },
                },
                "conn-fields": {
                    "project_id": {
                        "label": "Project ID",
                        "description": "The project that tasks use which name none.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "auth_scheme": {
                        "label": "Authorization scheme",
                        "description": "The word before the key in the Authorization header; some servers want Bearer.",
                        "schema": {"type": "string", "enum": ["ApiKey", "Bearer"], "default": "ApiKey"},
                    },
                    "connect_timeout": {
                        "label": "Connect timeout",
                        "description": "Seconds to wait for a connection. Default 10.",
                        "schema": {"type": ["number", "null"], "minimum": 0.1},
                    },
                    "read_timeout": {
                        "label": "Read timeout",
                        "description": "Seconds to wait for an answer. Default 120.",
                        "schema": {"type": ["number", "null"], "minimum": 0.1},
                    },
                    "max_file_size": {
                        "label": "Largest file",
                        "description": "In bytes, as your CloudIndex plan allows. Default 20,000,000.",
                        "schema": {"type": ["integer", "null"], "minimum": 1},
                    },
                    "max_request_size": {
                        "label": "Largest upload request",
                        "description": "All files of one request together, in bytes. Default 20,000,000.",
                        "schema": {"type": ["integer", "null"], "minimum": 1},
                    },
                    "max_concurrency": {
                        "label": "Requests at the same time",
                        "description": (
                            "Requests under way at the same time, over all tasks of the connection together. Default 5."
                        ),
                        "schema": {"type": ["integer", "null"], "minimum": 1},
                    },
                    "project_url": {
                        "label": "Project page",
                        "description": (
                            "Where people look at a project in CloudIndex: tasks link to it. {project_id} stands for"
                            " the project's id. Default: no link."
                        ),
                        "schema": {"type": ["string", "null"]},
                    },
                    "verify": {
                        "label": "Trusted certificates",
                        "description": (
                            "Path of a file or directory of CA certificates; false: check none. Default true: those of"
                            " SSL_CERT_FILE or SSL_CERT_DIR, else of certifi."
                        ),
                        "schema": {"type": ["string", "null"]},
                    },
                    "cert": {
                        "label": "Client certificate",
                        "description": (
                            "For servers that ask for one (mTLS): path of a PEM file with certificate and key, or a"
                            " JSON list: certificate, key, password of the key."
                        ),
                        "schema": {"type": ["string", "null"]},
                    },
                    "proxy": {
                        "label": "Proxy",
                        "description": (
                            "http://user:password@host:port; https and socks5 too. Default: HTTPS_PROXY, ALL_PROXY and"
                            " NO_PROXY of the environment."
                        ),
                        "schema": {"type": ["string", "null"], "format": "password"},
                    },
                    "trust_env": {
                        "label": "Use the environment's proxies and certificates",
                        "description": "Whether HTTPS_PROXY, SSL_CERT_FILE and their like count. Default true.",
                        "schema": {"type": "boolean", "default": True},
                    },
                },
            }
        ],
        "config": {
            "cloudindex": {
                "description": "The state of the syncs from S3 to CloudIndex.",
                "options": {
                    "state_path": {
                        "description": (
                            "File of the SQLite database that holds the state, on a local disk. Empty means "
                            "``$AIRFLOW_HOME/cloudindex/state.db``. Not used where ``state_conn_id`` is set."
                        ),
                        "type": "string",
                        "default": "",
                        "version_added": "0.1.0",
                        "example": "/var/lib/airflow/cloudindex/state.db",
                    },
                    "state_conn_id": {
                        "description": (
                            "Id of the Postgres connection whose database holds the state. Needed where tasks run on "
                            "more than one machine."
                        ),
                        "type": "string",
                        "default": "",
                        "version_added": "0.1.0",
                        "example": "cloudindex_state",
                    },
                    "history_days": {
                        "description": (
                            "Days for which outcomes and runs are kept. The last five outcomes of each key that is "
                            "there, and the last 30 runs, stay longer."
                        ),
                        "type": "integer",
                        "default": "90",
                        "version_added": "0.1.0",
                        "example": "365",
                    },
                },
            }
        },
    }
