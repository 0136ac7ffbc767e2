"""`entrepot plugins check` and `manifest`: whether plugins keep the contracts, and what their manifest should say."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from entrepot.cli.options import AsJson
from entrepot.cli.output import ok, print_json, show, table, told, warn
from entrepot.cli.plugins.topic import app
from entrepot.testing.checking import Finding, check_plugins
from entrepot.testing.manifests import plugin_manifest

__all__ = ["check", "manifest"]

_STYLES: Final = {"passed": "green", "failed": "red", "skipped": "yellow"}

Distribution = Annotated[str, typer.Argument(metavar="NAME", help="The name of an installed distribution.")]


@app.command()
def check(
    name: Distribution,
    *,
    every: Annotated[bool, typer.Option("--all", help="Show each test, and not one line for each plugin.")] = False,
    as_json: AsJson = False,
) -> None:
    """Import the plugins of a distribution, and run the contracts that Entrepot ships against them.

    The contracts run in a process of their own with an empty home; they need pytest. The exit code is 1 if anything
    failed. A plugin that needs to be made in a special way names a contract of its own in the manifest.
    """
    findings = check_plugins(name)
    failed = [finding for finding in findings if finding.outcome == "failed"]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        _print(findings, every=every)
        for finding in failed:
            warn(f"{_plugin(finding)}: {finding.check}: {finding.detail}")
    if failed:
        raise typer.Exit(1)


@app.command()
def manifest(
    name: Distribution,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; else it is printed.")
    ] = None,
) -> None:
    """Make the manifest of a distribution from its classes; logos and contracts are kept as they are in the old one."""
    text = json.dumps(plugin_manifest(name), indent=2) + "\n"
    if output is None:
        typer.echo(text, nl=False)
        return
    output.write_text(text)
    ok(f"wrote {output}")


def _print(findings: list[Finding], *, every: bool) -> None:
    if every:
        rows = [(_plugin(f), f.check, told(f.outcome, _STYLES[f.outcome]), f.detail) for f in findings]
        show(table(("Plugin", "Check", "Outcome", "Detail"), rows, keep=("Plugin", "Outcome")))
        return
    plugins = dict.fromkeys(map(_plugin, findings))
    counted = []
    for plugin in plugins:
        outcomes = [finding.outcome for finding in findings if _plugin(finding) == plugin]
        state = "failed" if "failed" in outcomes else "passed" if "passed" in outcomes else "skipped"
        numbers = [outcomes.count(outcome) or "" for outcome in ("passed", "failed", "skipped")]
        counted.append((plugin, *numbers, told(state, _STYLES[state])))
    show(table(("Plugin", "Passed", "Failed", "Skipped", "Outcome"), counted, keep=("Plugin", "Outcome")))


def _plugin(finding: Finding) -> str:
    return f"{finding.group} {finding.name}".strip() or "the distribution"
