"""The sources of secrets that come with Entrepot; `entrepot.protocols.secret_source` says what a source is."""

__all__: list[str] = []
