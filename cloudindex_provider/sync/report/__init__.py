"""Step 5: what a run did, in numbers and words.

    report    every listed key accounted for, and whether the run may pass for a success
    summary   a report in one paragraph, and first what a person must do; pure
    overlaps  keys that another sync has: whose they are, and the remedy
    estimate  how long a backlog takes; pure
    progress  the same in the log, once a minute of uploads
    numbers   the same as metrics
    messages  what a task's log says of a detection and of a report
    table     the outcomes with their first keys; pure

May import ``sync.detect`` (what it found), ``sync.context`` and what is below them.
"""
