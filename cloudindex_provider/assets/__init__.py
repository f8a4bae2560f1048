"""Airflow assets: what DAGs can be scheduled on.

    cloudindex  the documents of an S3 prefix in CloudIndex: ``cloudindex://HOST/PROJECT/BUCKET/PREFIX``
    keys        the keys that events of S3 assets name

May import ``sync`` and what is below it.
"""
