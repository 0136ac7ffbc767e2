"""Keys and what is done with them: the keyring, sealed documents, signatures, keyed digests, encrypted streams.

Only what encrypts (`seal`, `stream`, and what wraps the keyring itself) imports `cryptography`, and only `digest`
imports `blake3`: import the module that you need.
"""

__all__: list[str] = []
