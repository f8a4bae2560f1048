"""Step 1: what S3 lists against what the state holds. Sends nothing to CloudIndex and deletes nothing.

    detection    the step itself, and the dry look of a plan
    ways         how a storage must be listed that doesn't list as S3 does
    scan         one pass over a prefix, block by block
    overtaken    keys that others have looked at since the listing began
    present      what S3 has of named keys now
    lines        unchanged blocks, told by one comparison of text
    comparison   two sequences in key order to what must be written; pure
    guard        whether removals may be acted on; pure
    listing_log  what the log says while a listing goes on
    held         what a person can do about those that are held
    plan         what a run would do with each key, and its hash; pure
    kept_plan    a dry run's plan, kept for people to read
    collector    Python's garbage collector while rows pass by the million

May import ``sync.context`` and what is below it, ``state``, ``s3``, ``api`` and ``errors``; no other step.
"""
