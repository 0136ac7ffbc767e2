"""Our own names: what each points at, so that a look-up of one needs no distribution metadata.

`pyproject.toml` has the same tables as entry points, for other tools to see; a test holds the two equal.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` takes longer to import than a look-up among 300 distributions
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

__all__ = [
    "BLOCK_GROUP",
    "BUILTINS",
    "EXTRAS",
    "HASHER_GROUP",
    "KEY_PROVIDER_GROUP",
    "KNOWN_ELSEWHERE",
    "SECRET_SOURCE_GROUP",
    "SERIALIZER_GROUP",
    "TASK_RUNNER_GROUP",
]

BLOCK_GROUP: Final = "entrepot.blocks"
HASHER_GROUP: Final = "entrepot.hashers"  # names are those of types, `module.QualName`; none of them is ours
SECRET_SOURCE_GROUP: Final = "entrepot.secret_sources"  # noqa: S105  a group; names are schemes of references
KEY_PROVIDER_GROUP: Final = "entrepot.key_providers"
SERIALIZER_GROUP: Final = "entrepot.serializers"
TASK_RUNNER_GROUP: Final = "entrepot.task_runners"

BUILTINS: Final[Mapping[str, Mapping[str, str]]] = {
    BLOCK_GROUP: {
        "azure": "entrepot.filesystems:Azure",
        "discord-webhook": "entrepot.blocks.notifications:DiscordWebhook",
        "docker-registry-credentials": "entrepot.blocks.credentials:DockerRegistryCredentials",
        "email-server": "entrepot.blocks.mail:EmailServer",
        "gcs": "entrepot.filesystems:GCS",
        "json": "entrepot.blocks.system:JSON",
        "kubernetes-cluster-config": "entrepot.blocks.credentials:KubernetesClusterConfig",
        "local-file-system": "entrepot.filesystems:LocalFileSystem",
        "ms-teams-webhook": "entrepot.blocks.notifications:MicrosoftTeamsWebhook",
        "notification": "entrepot.blocks.notifications:Notification",
        "pager-duty": "entrepot.blocks.notifications:PagerDuty",
        "remote-file-system": "entrepot.filesystems:RemoteFileSystem",
        "s3": "entrepot.filesystems:S3",
        "secret": "entrepot.blocks.system:Secret",
        "sftp": "entrepot.filesystems:SFTP",
        "slack-webhook": "entrepot.blocks.webhook:SlackWebhook",
        "sqlalchemy-connector": "entrepot.blocks.databases:SqlAlchemyConnector",
        "string": "entrepot.blocks.system:String",
        "webhook": "entrepot.blocks.webhook:Webhook",
    },
    KEY_PROVIDER_GROUP: {
        "aws-kms": "entrepot.crypto.aws_kms:AwsKmsKeyProvider",
        "environment": "entrepot.crypto.environment:EnvironmentKeyProvider",
        "file": "entrepot.crypto.providers:FileKeyProvider",
        "keyring": "entrepot.crypto.os_keyring:OsKeyProvider",
        "passphrase": "entrepot.crypto.passphrase:PassphraseKeyProvider",
        "vault": "entrepot.crypto.vault:VaultKeyProvider",
    },
    SECRET_SOURCE_GROUP: {
        "aws-sm": "entrepot.blocks.secret_sources.aws:SecretsManager",
        "block": "entrepot.blocks.secret_sources.local:SavedBlocks",
        "env": "entrepot.blocks.secret_sources.local:Environment",
        "file": "entrepot.blocks.secret_sources.local:Files",
        "keyring": "entrepot.blocks.secret_sources.local:OperatingSystem",
        "vault": "entrepot.blocks.secret_sources.vault:Vault",
    },
    SERIALIZER_GROUP: {
        "arrow": "entrepot.serializers.arrow:ArrowSerializer",
        "auto": "entrepot.serializers.auto:AutoSerializer",
        "bytes": "entrepot.serializers.raw:BytesSerializer",
        "json": "entrepot.serializers.json:JSONSerializer",
        "npy": "entrepot.serializers.npy:NpySerializer",
        "parquet": "entrepot.serializers.parquet:ParquetSerializer",
        "pickle": "entrepot.serializers.pickle:PickleSerializer",
    },
    TASK_RUNNER_GROUP: {
        "processes": "entrepot.task_runners.processes:ProcessPoolTaskRunner",
        "sequential": "entrepot.task_runners.sequential:SequentialTaskRunner",
        "threads": "entrepot.task_runners.threads:ThreadPoolTaskRunner",
    },
}

# What to install for a library that a module of ours imports and a plain installation does not have.
EXTRAS: Final[Mapping[str, str]] = {
    "boto3": "entrepot[aws]",
    "hvac": "entrepot[vault]",
    "keyring": "entrepot[keyring]",
    "numpy": "numpy",
    "pyarrow": "entrepot[frames]",
}

# Names that people bring along from elsewhere, and what to do about them here.
KNOWN_ELSEWHERE: Final[Mapping[str, Mapping[str, str]]] = {
    BLOCK_GROUP: {
        "azure-blob-storage-container": "Azure is the built-in block 'azure': pip install \"entrepot[azure]\"",
        "gcs-bucket": "Google Cloud Storage is the built-in block 'gcs': pip install \"entrepot[gcp]\"",
        "s3-bucket": "S3 is the built-in block 's3': pip install \"entrepot[aws]\"",
    },
    KEY_PROVIDER_GROUP: {
        "env": "a keyring in a variable is the built-in key provider 'environment'",
        "kms": "a keyring under a key of AWS KMS is the built-in key provider 'aws-kms'",
        "openbao": "a keyring under a transit key of OpenBao or Vault is the built-in key provider 'vault'",
        "os": "the operating system's keyring is the built-in key provider 'keyring'",
    },
    SECRET_SOURCE_GROUP: {
        "bao": "OpenBao is asked by the built-in source 'vault', as in vault://mount/path#key",
        "keychain": "the keyring of the operating system is the built-in source 'keyring', as in keyring://service/user",
        "secretsmanager": "AWS Secrets Manager is the built-in source 'aws-sm', as in aws-sm://name#key",
    },
    SERIALIZER_GROUP: {
        "compressed": "name what is compressed: 'compressed/json' or 'compressed/pickle'",
    },
    TASK_RUNNER_GROUP: {
        "concurrent": "tasks in threads are the built-in task runner 'threads'",
        "thread": "tasks in threads are the built-in task runner 'threads'",
        "process": "tasks in processes are the built-in task runner 'processes'",
    },
}
