"""Buttons on a task's page in Airflow that lead to what it works on.

    cloudindex  the page of the sync, the prefix in the S3 console, the project in CloudIndex
    places      the addresses themselves; pure but for Airflow's own
    routes      where the page stands in Airflow's UI

A link is made by the task, which knows the sync, and read by the api-server, which knows nothing.
"""
