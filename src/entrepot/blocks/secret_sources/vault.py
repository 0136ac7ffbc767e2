"""Secrets of HashiCorp Vault and OpenBao: `vault://mount/path#key`, from the second version of the key-value engine."""

import os
from typing import Any, Final

import hvac
import requests
from hvac.exceptions import Forbidden, InvalidPath, VaultError

from entrepot.blocks.secret_sources._parts import member_of
from entrepot.errors import SecretReferenceError

__all__ = ["Vault"]

_TIMEOUT: Final = 15  # seconds


class Vault:
    """The server is that of `VAULT_ADDR`, with the token of `VAULT_TOKEN` or `~/.vault-token`."""

    def get(self, rest: str) -> str:
        """Return one key of the newest version of a secret; `#key` may be left out where there is only one.

        Raises:
            SecretReferenceError: If there is no such secret or key, or the server refuses or is not reached.
        """
        place, _, key = rest.partition("#")
        mount, _, path = place.partition("/")
        if not mount or not path:
            raise SecretReferenceError("vault:// takes mount, path and key, as in vault://secret/prod/db#password")
        if not os.environ.get("VAULT_ADDR"):
            raise SecretReferenceError("VAULT_ADDR is not set; set it to the address of the server")
        try:
            client = hvac.Client(timeout=_TIMEOUT, namespace=os.environ.get("VAULT_NAMESPACE"))
            answer = client.secrets.kv.v2.read_secret_version(
                path=path, mount_point=mount, raise_on_deleted_version=True
            )
        except InvalidPath:
            problem = f"the server has nothing at {path} under {mount} (or that is no key-value engine, version 2)"
        except Forbidden:
            problem = "the server refuses the token; check VAULT_TOKEN and its policies"
        except (VaultError, requests.RequestException) as error:
            problem = f"the server cannot be asked ({type(error).__name__}); check VAULT_ADDR, and that it is unsealed"
        else:
            found: dict[str, Any] = answer["data"]["data"]
            if key or len(found) != 1:
                return member_of(found, key)
            return member_of(found, next(iter(found)))
        raise SecretReferenceError(problem)
