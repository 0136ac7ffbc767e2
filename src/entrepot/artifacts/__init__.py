"""What a run leaves for people to look at: tables, notes, links, images, progress; kept with the run in the history.

    create_table_artifact([{"city": "Oslo", "mean": 6.2}], key="means", description="Of **March**")

Each function returns the artifact's id, a UUID, at once; it is written with the rest of the history. In async code the
id can be awaited, too, as users of such engines write it.
"""

from entrepot.artifacts.making import (
    MAX_DATA,
    acreate_image_artifact,
    acreate_link_artifact,
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from entrepot.artifacts.reading import Artifact

__all__ = [
    "MAX_DATA",
    "Artifact",
    "acreate_image_artifact",
    "acreate_link_artifact",
    "acreate_markdown_artifact",
    "acreate_progress_artifact",
    "acreate_table_artifact",
    "aupdate_progress_artifact",
    "create_image_artifact",
    "create_link_artifact",
    "create_markdown_artifact",
    "create_progress_artifact",
    "create_table_artifact",
    "update_progress_artifact",
]
