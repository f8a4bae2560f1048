"""S3 to CloudIndex, as a DAG's author writes it.

    s3_to_cloudindex  a whole sync as one task, or as a group of tasks with mapped uploads

May import ``operators``, ``sensors`` and what is below them; not ``cli``.
"""
