"""Apache Airflow provider that keeps a CloudIndex project an exact mirror of S3 prefixes.

    cli                a layer a line, from here down: ``airflow cloudindex ...``
    transfers          a whole sync, as a DAG's author writes it
    plugins            the page in Airflow's UI
    operators          tasks
    sensors            tasks that only look
    triggers           what waits without a worker
    links              buttons on a task's page
    hooks              what Airflow's connections lead to
    assets             what of S3 and CloudIndex DAGs can be scheduled on
    retry              whether and when a failed task is tried again
    airflow_compat     what the older of the supported Airflow versions lack
    aws_lambda         a function of AWS Lambda, without Airflow
    sync               the engine, a room a step; from here down nothing knows Airflow
    state              what is known, as rows in SQL
    s3                 S3: list, read, prove
    api                CloudIndex's REST API
    errors             everything that is raised, in one tree
    local              an embedded CloudIndex, for tests
    words              numbers, sizes, times and keys as people read them
    get_provider_info  what Airflow learns about this package

Each imports only what stands below it; "the layers of the package" in pyproject.toml says it exactly.

This module holds the version and nothing else: Airflow's provider discovery imports it before its configuration exists.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
