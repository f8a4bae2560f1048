"""What a person looks at: read-only queries, each a page at a time, none of which reads a large table row by row.

    overview  every sync with its DAGs, hold and last runs
    numbers   how many keys are in which status, and why
    keys      lists of keys, and all about one
    sorting   the same by size or time, as long as they aren't too many
    plans     what the last dry run would have done; what the last comparison has queued

A listing that must look at each row to judge it looks at ``WINDOW`` of them at most, and says where to go on.
"""
