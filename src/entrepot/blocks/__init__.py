"""Blocks: typed configuration, credentials and integrations, kept sealed and loaded by name.

Nothing is loaded before it is asked for: `from entrepot.blocks import Secret` loads pydantic, `import entrepot.blocks`
does not.
"""

from typing import TYPE_CHECKING

from entrepot._lazy import lazy_names

if TYPE_CHECKING:
    from entrepot.blocks._references import SecretBytesReference as SecretBytesReference
    from entrepot.blocks._references import SecretReference as SecretReference
    from entrepot.blocks.core import Block as Block
    from entrepot.blocks.credentials import DockerRegistryCredentials as DockerRegistryCredentials
    from entrepot.blocks.credentials import KubernetesClusterConfig as KubernetesClusterConfig
    from entrepot.blocks.databases import SqlAlchemyConnector as SqlAlchemyConnector
    from entrepot.blocks.document_store import StorageDocumentStore as StorageDocumentStore
    from entrepot.blocks.documents import BlockDocuments as BlockDocuments
    from entrepot.blocks.documents import use_documents as use_documents
    from entrepot.blocks.history import BlockVersion as BlockVersion
    from entrepot.blocks.mail import EmailServer as EmailServer
    from entrepot.blocks.migrations import migrates as migrates
    from entrepot.blocks.notifications import DiscordWebhook as DiscordWebhook
    from entrepot.blocks.notifications import MicrosoftTeamsWebhook as MicrosoftTeamsWebhook
    from entrepot.blocks.notifications import Notification as Notification
    from entrepot.blocks.notifications import PagerDuty as PagerDuty
    from entrepot.blocks.sources import BlockSource as BlockSource
    from entrepot.blocks.sources import use_sources as use_sources
    from entrepot.blocks.system import JSON as JSON
    from entrepot.blocks.system import Secret as Secret
    from entrepot.blocks.system import String as String
    from entrepot.blocks.teams import StoredBlocks as StoredBlocks
    from entrepot.blocks.webhook import SlackWebhook as SlackWebhook
    from entrepot.blocks.webhook import Webhook as Webhook

_HOMES = {
    "Block": "core",
    "BlockDocuments": "documents",
    "BlockSource": "sources",
    "BlockVersion": "history",
    "DiscordWebhook": "notifications",
    "DockerRegistryCredentials": "credentials",
    "EmailServer": "mail",
    "JSON": "system",
    "KubernetesClusterConfig": "credentials",
    "MicrosoftTeamsWebhook": "notifications",
    "Notification": "notifications",
    "PagerDuty": "notifications",
    "Secret": "system",
    "SecretBytesReference": "_references",
    "SecretReference": "_references",
    "SlackWebhook": "webhook",
    "SqlAlchemyConnector": "databases",
    "StorageDocumentStore": "document_store",
    "StoredBlocks": "teams",
    "String": "system",
    "Webhook": "webhook",
    "migrates": "migrations",
    "use_documents": "documents",
    "use_sources": "sources",
}

__all__ = [
    "JSON",
    "Block",
    "BlockDocuments",
    "BlockSource",
    "BlockVersion",
    "DiscordWebhook",
    "DockerRegistryCredentials",
    "EmailServer",
    "KubernetesClusterConfig",
    "MicrosoftTeamsWebhook",
    "Notification",
    "PagerDuty",
    "Secret",
    "SecretBytesReference",
    "SecretReference",
    "SlackWebhook",
    "SqlAlchemyConnector",
    "StorageDocumentStore",
    "StoredBlocks",
    "String",
    "Webhook",
    "migrates",
    "use_documents",
    "use_sources",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
