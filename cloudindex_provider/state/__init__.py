"""What is known, as rows: one room a subject, and all SQL that reads or writes it. Asks neither S3 nor CloudIndex.

    db            the connection, its transactions, the tables and their migrations

  What is stored
    records       rows as frozen values
    conditions    the words and conditions of rows that more than one statement uses
    sources       a sync's own row; listing, forgetting, handing keys over
    runs          runs and their counters
    counts        what a run counts: names, groups, meanings
    accounts      which keys a run answers for, and their outcomes
    history       what happened to each key
    pruning       forgetting what of the history and the runs is old

  A key's way
    blocks        reading by the thousand rows, for the comparison
    sweep         what a detection writes
    listings      where a listing can be cut, and what its storage can't do
    selections    by which selection each task has judged
    plans         what the last dry run of a source would have done
    drifts        what the last comparison with the project has queued
    bulk_insert   new rows, by the driver's fastest way
    upload_queue  in which order the backlog is claimed
    claims        who works on which rows, and the intent before a request
    outcomes      what became of a claimed row
    doubts        uploads whose outcome is unknown
    superseded    documents that are to go: replaced ones and copies
    removals      documents whose object is gone
    excluded      documents of keys that a selection leaves out
    tally         what the report reads
    first_keys    the first keys of each outcome, for the report
    views         what a person looks at, a page at a time
    abandoned     what runs have found whose process died
    changes       what has changed since others were told
    folding       many short runs made into one

  Beside it
    approvals     mass deletes that wait for a person, and what was allowed
    budgets       the shared budget of requests: its rows
    pacer         the same as the client's pacer, which sleeps
    pauses        tasks that have given their worker's slot back
    repairs       what people and an audit do to rows
    rebuilt       writing a state that was made again, or what a run finds to be there already
    citations     which S3 object a document was made from
    step_memory   what a single step remembers of its earlier tries
    looks         when a source was compared with its project

May import ``s3`` and ``api`` (their values and arithmetic), ``errors`` and, alone with ``hooks.state``, SQLAlchemy.
"The rooms of the state" in pyproject.toml says which of these may import which.
"""
