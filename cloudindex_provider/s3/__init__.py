"""Amazon's S3, read only: pages of a listing, objects pinned to their ETag, proofs of absence.

    source              all that is asked of S3, over an injected boto3 client, with its retries
    listing             what a page must be to be believed, and one page after the other
    page                what a listing gives: objects, and pages by column
    ranges              a prefix in ranges of keys, listed side by side
    seams               where two ranges meet: do they agree?
    gathered            a listing in no order, brought into order
    list_xml            a page of ListObjectsV2, parsed fast
    botocore_shortcuts  hands answers to those parsers before botocore's own
    object              one pass over an object's bytes, with its hashes
    place               the store that a client speaks to, in one spelling
    opening             a GET pinned to an ETag, whatever the storage makes of conditions
    decoding            Content-Encoding: from stored bytes to the document
    events              messages of S3 events, in every shape: which keys to look at
    event_queue         SQS: receive, hide, delete
    notifications       a bucket's notification configuration, with our entry and without
    notification_document  that configuration, read and written whole
    event_patterns      whether a rule of EventBridge lets an event pass
    event_chain         whether events reach a queue: each link looked at
    round_trip          from a bucket to a queue by S3's own test message
    database_login      tokens for a Postgres on Amazon RDS in the place of a password
    aws_policies        the least that each part needs, and what a policy lets in
    facts               what answers say of one object, each fact in one spelling
    error_mapping       botocore's exceptions to ours

May import ``errors``, and with ``hooks`` alone botocore. Knows no Airflow, CloudIndex or state.
"""
