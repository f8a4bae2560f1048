"""What waits in Airflow's triggerer, without a worker. Holds ids and intervals, never a key or a secret.

    cloudindex  waits until documents are processed; shared with the sensor
    missing     names who should have woken a task
    s3_events   watches a queue of S3 events

May import ``hooks``, ``retry`` and what is below them.
"""
