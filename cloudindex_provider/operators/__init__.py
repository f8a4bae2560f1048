"""Airflow's tasks. Each only translates: arguments in, counts out, errors up.

    base                 the arguments of a sync and its session: what every operator of a sync shares
    cloudindex_sync      the five steps of a sync, for the task group
    cloudindex           single steps: upload files, delete a document, query, configure the integration
    cloudindex_approval  asks a person about a mass delete
    cloudindex_care      a state's sources, keys and holds: the command line's work, without a shell
    cloudindex_repair    the same of plans, audits and rebuilds

May import ``triggers``, ``hooks``, ``retry`` and what is below them. The task of a whole sync is in ``transfers``.
"""
