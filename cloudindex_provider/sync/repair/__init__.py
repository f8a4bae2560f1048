"""Finding and mending what differs between S3, CloudIndex and state. Only ``prune`` deletes in CloudIndex.

    first_look  before a source's first upload: what the project has already is adopted
    drift       once a day: what others have deleted or changed is queued
    audit       state, S3 and CloudIndex compared with each other
    rebuild     a lost state, made again
    prune       documents that a later selection leaves out
    planning    what a run would do, for a person
    telling     what a person is told of the three
    index_copy  a temporary file to compare in, with flat memory

The first two are a run's own; the next three are of a person. May import all of ``sync`` but ``run``.
"""
