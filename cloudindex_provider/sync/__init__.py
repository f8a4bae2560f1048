"""The engine: one room a step, in this order. Knows S3, CloudIndex and the state; knows no Airflow.

    run            a whole sync in one process: all steps
    detect         1. list S3, compare with the state, write what differs
    upload         2. claim, read, send, write the outcome
    wait           3. until CloudIndex has processed what was sent
    remove         4. delete superseded documents, and those of keys that S3 has no more
    report         5. account for the run, and what the log says meanwhile
    repair         first looks and drift within a run; audit and rebuild outside of one
    events         runs of the keys that S3 events speak of

  What several steps share
    context        what a step is given: settings, state, S3, CloudIndex, who is running
    settings       the settings of one sync: declared, built from raw values, validated
    arguments      from text to the types of settings
    selection      which listed keys are synced, and why others aren't
    naming         S3 key to CloudIndex file name
    log_pace       how often the log tells of what goes on, and of how many keys
    polling        when to look again at what is processing; the numbers of it
    metrics        what a monitoring system is told: each metric declared, and how it is told
    processing     what a look at a document says about its upload; the file's failure or the service's
    doubt          uploads whose outcome is unknown, looked up
    document_list  CloudIndex's list of all documents, one task at a time
    claim_keeper   keeps a task's claims alive while it works
    pausing        giving the worker's slot back for a long wait

May import ``state``, ``s3``, ``api`` and ``errors``, but neither SQLAlchemy nor httpx nor botocore. "The rooms of the
engine" in pyproject.toml says which of these may import which.
"""
