"""Airflow assets: what DAGs can be scheduled on.

    cloudindex  the documents of an S3 prefix in CloudIndex: ``cloudindex://HOST/PROJECT/BUCKET/PREFIX``

May import ``api`` and ``errors``.
"""
