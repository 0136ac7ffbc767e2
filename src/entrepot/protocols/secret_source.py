"""Where the secrets are that blocks refer to: `env://NAME`, `vault://mount/path#key`."""

from typing import Protocol, runtime_checkable

__all__ = ["SecretSource"]


@runtime_checkable
class SecretSource(Protocol):
    """Gives the secrets behind the references of one scheme.

    Entry points of the group `entrepot.secret_sources` name, by scheme, a class that is made without arguments, anew
    for each secret, in any thread. What it has to know (an address, a token) it finds in the environment. An answer
    that takes longer than two minutes comes too late.
    """

    def get(self, rest: str) -> str | bytes:
        """Return a secret. Nothing is cached here: who asks keeps it, for a flow run.

        Args:
            rest: The reference after `scheme://`, as it was written; it is for the source to take apart.

        Raises:
            SecretReferenceError: If the reference is malformed, the secret is not there, or whoever has it cannot be
                reached or refuses. The message says which and what to do, and never has a secret in it. There is no
                default: an outage is an error.
        """
        ...
