"""S3 to CloudIndex, as a DAG's author writes it.

    s3_to_cloudindex  a whole sync as one task; and the door to the group
    task_group        the same as a group of tasks with mapped uploads
    documents_sensor  what the group may begin with

May import ``operators``, ``sensors`` and what is below them; not ``cli``.
"""
