"""The application of `entrepot plugins`; the modules beside this one give it its commands."""

from entrepot.cli.options import topic

__all__ = ["app"]

app = topic(
    "Block types, serializers, hashers, task runners, key providers and sources of secrets, and how to write some.",
    examples=(
        "  entrepot plugins                      what is installed, and whose it is (as does `ls`)\n"
        "  entrepot plugins ls --load            import each, to find the broken ones\n"
        "  entrepot plugins show acme-entrepot   what one distribution offers\n"
        "  entrepot plugins check acme-entrepot  run the contracts against it\n"
        "  entrepot plugins new acme-entrepot    write the project of a new one\n"
    ),
    lists=True,
)
