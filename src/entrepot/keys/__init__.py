"""The keys of a home as a whole: what is sealed under each, rotation, copies, and what is wrong with them.

What a single key, ring or sealed document is stands in `entrepot.crypto`. Import the module that you need.
"""

__all__: list[str] = []
