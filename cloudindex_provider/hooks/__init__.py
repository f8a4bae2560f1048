"""What Airflow's connections and configuration lead to. The lowest layer that may import Airflow.

    connections    an Airflow connection, or the sentence why there is none
    extras         the extras of a connection, read one by one
    cloudindex     the CloudIndex connection: its fields, their checks, and the client made from it
    aws            the AWS connection: a boto3 client of any service, and what messages call it
    s3             the same for S3: a client made at its first use, and S3's errors with the connection's name
    sqs            the same for a queue of S3 events
    notifications  whom a bucket tells of its changes: looked at and changed
    database_login  the login to its Postgres by IAM, as a connection's extras say
    state          where the state is, as configuration and arguments say
    one_machine    whether that may be a SQLite file
    metrics        metrics by way of Airflow's
    session        all three opened for one step of a sync, and closed
    step           CloudIndex and the state opened for a single step, and closed
    rendered       arguments of single steps as templates and upstream tasks give them

May import ``sync`` and what is below it. Decides nothing about a sync.
"""
