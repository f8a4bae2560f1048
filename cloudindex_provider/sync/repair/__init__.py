"""Outside of a run: finding and mending what differs. Uploads and deletes nothing in CloudIndex.

    audit       state, S3 and CloudIndex compared with each other
    rebuild     a lost state, made again
    index_copy  a temporary file to compare in, with flat memory

May import all of ``sync`` and what is below it. Used by ``cli`` alone.
"""
