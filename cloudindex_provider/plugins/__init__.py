"""The page in Airflow's UI and the API under it, served by Airflow's api-server.

    cloudindex  the plugin: what Airflow loads
    app         the FastAPI application: sign-in, errors, the page's own files
    routes      what it answers
    plans       the plan of a sync's last dry run, and what the last comparison has queued
    actions     what a person does
    bodies      what is read of a request, and when
    syncs       a sync as the page shows it, from the state and from Airflow
    access      who may see and do what, and whose page a request comes from
    reading     the state, opened to read and looked at again when it changes
    runs        what Airflow knows of DAGs and their runs
    verdict     the words for a sync's state, and what to do about a reason; pure
    models      what the answers look like

Everything but ``cloudindex`` is loaded by the api-server alone: plugins are loaded in every task, too.
"""
