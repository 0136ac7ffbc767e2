"""The application of `entrepot cache`; the modules beside this one give it its commands."""

from entrepot.cli.options import topic

__all__ = ["app"]

app = topic(
    "Why results were used again or computed, which are kept, and how to take them back.",
    examples=(
        "  entrepot cache explain 3f2a91                 why a run was a hit or a miss; by id, name or key\n"
        "  entrepot cache explain e1-77b0c2 --scan       compare with every record of the task\n"
        "  entrepot cache why extract                    what differs between the last two keys of a task\n"
        "  entrepot cache why 3f2a91 77b0c2              between two runs or keys\n"
        "  entrepot cache ls --task extract --newer-than 7d\n"
        "  entrepot cache ls --larger-than 1GB --json | jq .key\n"
        "  entrepot cache show e1-3f2a                   what a record says\n"
        "  entrepot cache invalidate --flow nightly --older-than 30d --dry-run\n"
        "  entrepot cache invalidate e1-3f2a91... --yes\n"
    ),
)
