"""Keys and what is done with them: the keyring, sealed documents, signatures, keyed digests, encrypted streams.

Only `seal` and `stream` import `cryptography`, and only `digest` imports `blake3`: import the module that you need.
"""
