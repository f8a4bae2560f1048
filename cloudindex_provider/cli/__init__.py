"""``airflow cloudindex ...``: a module a subject, each command a function of its parsed arguments.

    definition     names, arguments and help of all commands; imports nothing of ours, since every ``airflow`` call pays
    output         what is printed: tables, JSON, YAML and plain text, for people, programs and any terminal
    common         one sentence for an error, exit codes, and the state
    dag_task       the settings as the task of a DAG has them
    session        a command's session with S3, CloudIndex and the state, and its settings
    sources        ``sources list``, ``forget`` and ``adopt``
    keys           ``retry`` and ``history``
    deletes        ``holds`` and ``approve``
    plan           ``plan``
    prune          ``prune``
    repair         ``rebuild`` and ``audit``
    dags           ``dags``: the shipped DAGs, to copy
    notifications  ``notifications``
    iam_policy     ``iam-policy``

May import ``operators``, ``sensors`` and what is below them; not ``transfers``.
"""
