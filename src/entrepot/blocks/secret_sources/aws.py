"""Secrets of AWS Secrets Manager: `aws-sm://name`, `aws-sm://name#key-in-its-json`."""

from typing import Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from entrepot.blocks.secret_sources._parts import part_of
from entrepot.errors import SecretReferenceError

__all__ = ["SecretsManager"]

_CONFIG: Final = Config(connect_timeout=5, read_timeout=15, retries={"total_max_attempts": 3, "mode": "standard"})


class SecretsManager:
    """Region, credentials and endpoint are those that boto3 finds: variables, `~/.aws`, the role of the machine."""

    def get(self, rest: str) -> str | bytes:
        """Return the current version of a secret, or one member of it where it is JSON.

        Args:
            rest: Its name or ARN, and `#` with a key of its JSON.

        Raises:
            SecretReferenceError: If there is no such secret or key, or AWS refuses or is not reached.
        """
        name, _, key = rest.partition("#")
        if not name:
            raise SecretReferenceError("aws-sm:// takes the name of a secret, as in aws-sm://prod/db#password")
        try:
            client = boto3.session.Session().client("secretsmanager", config=_CONFIG)
            answer = client.get_secret_value(SecretId=name)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "an error"))
            problem = f"AWS Secrets Manager answered {code}; check its name, the region and the rights of this user"
        except BotoCoreError as error:
            problem = (
                f"AWS Secrets Manager cannot be asked ({type(error).__name__}); check network, region"
                " (AWS_DEFAULT_REGION) and credentials"
            )
        else:
            found: str | bytes = answer["SecretString"] if "SecretString" in answer else answer["SecretBinary"]
            return part_of(found, key) if key else found
        raise SecretReferenceError(problem)
