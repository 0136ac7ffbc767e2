"""What ran inside a run, as a tree: a line for each run, and one for many runs of one task."""

from collections.abc import Callable

from rich.text import Text
from rich.tree import Tree

from entrepot._text import spoken
from entrepot.cli.output import cut, span, state_text, told
from entrepot.runs.outline import RunBranch, RunGroup, RunNode

__all__ = ["tree"]

_MESSAGE = 120  # characters
_ID = 8  # of them, which commands take for the whole id

StateText = Callable[[RunNode], Text]


def tree(top: RunNode, state: StateText) -> Tree:
    """Return the tree of a run.

    Args:
        top: The run.
        state: Returns how the state of a run is shown.
    """
    made = Tree(_line(top, state, with_id=False))
    branches: list[tuple[Tree, RunBranch | str]] = [(made, branch) for branch in reversed(_below(top))]
    while branches:  # not by recursion: flows may be as deep as they like
        above, branch = branches.pop()
        if isinstance(branch, str):
            above.add(Text(branch, "dim"))
            continue
        here = above.add(_group_line(branch) if isinstance(branch, RunGroup) else _line(branch, state))
        branches.extend((here, below) for below in reversed(_below(branch)))
    return made


def _below(branch: RunBranch) -> list[RunBranch | str]:
    """Return what hangs below a branch; texts stand for what is left out."""
    if isinstance(branch, RunGroup):
        more = branch.more_failures
        return [*branch.failures, *([f"... and {more:,} more that failed"] if more else [])]
    return [
        *branch.branches,
        *([f"... {branch.inside:,} run{'' if branch.inside == 1 else 's'} inside"] if branch.inside else []),
    ]


def _line(run: RunNode, state: StateText, *, with_id: bool = True) -> Text:
    line = Text.assemble(state(run), " ", told(run.name or run.run_id))
    if run.name and with_id:
        line.append_text(told(f" ({run.run_id[:_ID]})", "dim"))
    if run.duration is not None:
        line.append_text(told(f" {span(run.duration)}", "dim"))
    if run.epoch > 1:
        line.append(f" attempt {run.epoch}", style="yellow")
    if run.sources:
        more = f" and {run.more_sources:,} more" if run.more_sources else ""
        line.append_text(told(f" <- {', '.join(run.sources)}{more}", "dim"))
    if run.message and run.state_type != "COMPLETED":
        line.append_text(told(f": {cut(run.message, _MESSAGE)}", "red"))
    return line


def _group_line(group: RunGroup) -> Text:
    line = told(f"{group.definition or '?'} x {group.total:,}: ")
    for number, ((state_type, state_name), count) in enumerate(group.counts.items()):
        line.append(", " if number else "")
        line.append_text(state_text(state_type, f"{count:,} {spoken(state_name)}"))
    return line.append_text(told(f" {span(group.duration)}", "dim"))
