"""Code that was written for another engine: trying it here before it is changed, and seeing what would have to change.

    python -m entrepot.compat script.py         runs a script that imports Prefect, on Entrepot
    python -m entrepot.compat --check flows/    lists the names of Prefect that a code base uses, and what they are here

`entrepot.compat.prefect.install()` does in a program what the first line does for a script.
"""

__all__: list[str] = []
