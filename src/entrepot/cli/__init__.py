"""The command line: `entrepot`, and `python -m entrepot`."""

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit: 0 well, 1 an error, 2 a usage error, 130 interrupted."""
    from entrepot.cli import completing  # noqa: PLC0415  importing the package is not using it

    if completing.answer():
        return
    from entrepot.cli.app import run  # noqa: PLC0415  as above

    run()
