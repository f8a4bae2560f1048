"""The extra links of a sync's tasks. Airflow stores each as an XCom when its task ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

__all__ = ["CloudIndexPageLink", "CloudIndexProjectLink", "S3PrefixLink"]


class _TaskLink(BaseOperatorLink):
    """A link that the task itself has found out; empty, and not shown, where it leads nowhere."""

    name: ClassVar[str]
    key: ClassVar[str]  # xcom_key is Airflow's property of it

    @property
    def xcom_key(self) -> str:
        """Stable: DAGs are stored with it."""
        return self.key

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """What the task has found; called in the task's own process."""
        links: dict[str, str] | None = getattr(operator, "found_links", None)
        return (links or {}).get(self.key, "")


class CloudIndexPageLink(_TaskLink):
    """The page CloudIndex in Airflow, at this sync and run."""

    name = "CloudIndex sync"
    key = "cloudindex_page_link"


class S3PrefixLink(_TaskLink):
    """The bucket and prefix in the S3 console, where it is AWS."""

    name = "S3 prefix"
    key = "cloudindex_s3_link"


class CloudIndexProjectLink(_TaskLink):
    """The project in CloudIndex's own pages, where the connection says where they are."""

    name = "CloudIndex project"
    key = "cloudindex_project_link"
