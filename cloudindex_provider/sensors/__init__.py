"""Airflow's sensors: they look and change nothing.

    cloudindex  waits until CloudIndex has processed documents

May import ``triggers``, ``hooks``, ``retry`` and what is below them.
"""
