"""Where the page stands in Airflow's UI: the last part of its address, in each place. Imports nothing.

The plugin, which every process of Airflow's loads, gives the page these names, and links lead to them.
"""

__all__ = ["DAG_ROUTE", "NAV_ROUTE", "RUN_ROUTE"]

NAV_ROUTE = "cloudindex"  # in the navigation
DAG_ROUTE = "cloudindex-dag"  # a tab of each DAG
RUN_ROUTE = "cloudindex-run"  # a tab of each DAG run
