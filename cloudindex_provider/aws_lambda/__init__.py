"""A function of AWS Lambda that S3's events start, with no Airflow in it: the ``handler`` of this package.

    entry         the handler: which of the two ways, within the time that the function has, and its answer
    invocations   what starts a function (SQS, SNS, S3, EventBridge) to messages, and messages to an answer. Pure
    environment   settings of environment variables, checked; secrets by value or by ARN
    secret_store  a secret's value from Secrets Manager or the Parameter Store
    airflow_api   the default way: the keys as asset events to Airflow, over its REST API or Amazon MWAA's
    engine        the other way: with a state in Postgres, the sync of the keys themselves

Sees what the engine sees, ``sync`` and below, and nothing of the hooks.
"""

from cloudindex_provider.aws_lambda.entry import handler

__all__ = ["handler"]
