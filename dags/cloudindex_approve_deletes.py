"""Ask a person about a mass delete that a sync holds. Triggered by syncs with ``on_mass_delete="approve"``."""

from __future__ import annotations

from airflow.sdk import DAG

from cloudindex_provider.operators.cloudindex_approval import APPROVAL_DAG_ID, CloudIndexApproveDeletesOperator

DOC = """
### Approve a mass delete

A sync that would delete more documents than its limits allow holds them and starts a run of this DAG. Its only task
waits under *Required Actions* for a person. Approved, the next run of that sync plans anew and deletes at most as many;
rejected or unanswered for 7 days, everything stays. Keep this DAG unpaused.
"""

with DAG(
    dag_id=APPROVAL_DAG_ID,
    schedule=None,
    catchup=False,
    tags=["cloudindex", "s3"],
    doc_md=DOC,
) as dag:
    # From the run's conf and not from DAG params: those would be fields of the form that a person answers.
    CloudIndexApproveDeletesOperator(
        task_id="approve",
        subject="{{ dag_run.conf.subject }}",
        body="{{ dag_run.conf.body }}",
        hold="{{ dag_run.conf.hold }}",
        project_id="{{ dag_run.conf.project_id }}",
        bucket="{{ dag_run.conf.bucket }}",
        prefix="{{ dag_run.conf.prefix }}",
        ceiling="{{ dag_run.conf.ceiling }}",
        state_conn_id="{{ dag_run.conf.state_conn_id }}",
        state_url="{{ dag_run.conf.state_url }}",
    )
