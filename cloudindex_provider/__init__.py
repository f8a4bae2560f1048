"""Apache Airflow provider that keeps a CloudIndex project an exact mirror of S3 prefixes.

Holds the version and nothing else: Airflow's provider discovery imports this package before its configuration exists.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
