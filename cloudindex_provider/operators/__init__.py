"""Airflow's tasks. Each only translates: arguments in, counts out, errors up.

    base                   the arguments of a sync and its session: what every operator of a sync shares
    identity               what a task is called in the state
    cloudindex_sync        the five steps of a sync, for the task group
    reporting              a run's report in XCom and log, in green and in red
    steps                  how the other steps of a group ended
    changes                tells Airflow that the index has changed, as an asset's event
    event_keys             the keys that a run's asset events name: found, said, and what is wrong with them
    lineage                what OpenLineage is told of a sync
    cloudindex             single steps, by the path that DAGs import; a module each:
    upload_documents       uploads files of the worker's disk
    earlier_uploads        which files an earlier try has uploaded
    local_files            such files as parts of a request
    delete_document        deletes documents by their ids
    query                  asks a question
    configure_integration  hands a bucket over to CloudIndex's own S3 integration
    single_step            what they share: the connection, and how failures are retried
    cloudindex_s3_events   follows S3 events from a queue
    cloudindex_s3_notifications  a bucket's notifications: looked at, tested, applied, taken back
    cloudindex_approval    asks a person about a mass delete
    cloudindex_care        a state's sources, keys and holds: the command line's work, without a shell
    cloudindex_repair      the same of plans, audits and rebuilds
    slots                  gives a worker's slot back for a long wait

May import ``triggers``, ``hooks``, ``retry``, ``assets`` and what is below them. A whole sync is in ``transfers``.
"""
