"""What the display says: a picture of the flows under way, as lines that fit a terminal.

Failures come first. A group of mapped runs is one bar, a run of its own is a line while it runs. What does not fit is
cut from the end of what matters least, and counted.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from entrepot._secrets import mask
from entrepot._text import clean, cut, span
from entrepot.progress.model import ENDED, FlowView, GroupView, Phase

__all__ = ["frame", "summary"]

_FAILURES: Final = 5  # lines of failures
_SUMMARY_GROUPS: Final = 12
_NAME: Final = 40  # characters of a name
_MESSAGE: Final = 200
_WIDEST_NAMES: Final = 28  # columns
_SECOND: Final = timedelta(seconds=1)
_PREFIX: Final = "encountered an exception: "  # what the engine says of every error, and a person need not be told

_STYLES: Final = {
    Phase.FAILED: "red",
    Phase.CRASHED: "red",
    Phase.CANCELLED: "yellow",
    Phase.NOT_READY: "magenta",
    Phase.RETRYING: "yellow",
    Phase.RUNNING: "cyan",
    Phase.PAUSED: "magenta",
    Phase.WAITING: "dim",
    Phase.CACHED: "blue",
    Phase.COMPLETED: "green",
}
_BAR: Final = (
    Phase.COMPLETED,
    Phase.CACHED,
    Phase.CANCELLED,
    Phase.NOT_READY,
    Phase.FAILED,
    Phase.CRASHED,
    Phase.RETRYING,
    Phase.RUNNING,
    Phase.PAUSED,
)


class _Glyphs(NamedTuple):
    full: str
    empty: str
    dot: str
    good: str
    bad: str
    spinner: str


_PRETTY: Final = _Glyphs("━", "─", "·", "✓", "✗", "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
_PLAIN: Final = _Glyphs("#", "-", "-", "+", "x", "|/-\\")


class _Line(NamedTuple):
    rank: int  # the lower, the later it is cut
    text: Text


def frame(flows: Sequence[FlowView], *, width: int, height: int, now: datetime, plain: bool = False) -> list[Text]:
    """Return the picture of some top-level flow runs.

    Args:
        flows: Which.
        width: Columns of the terminal. Lines may be longer: who prints them crops them.
        height: At most so many lines.
        now: For how long things have been going on.
        plain: Whether only ASCII can be shown.
    """
    look = _Look(_PLAIN if plain else _PRETTY, width, now)
    lines = [_Line(0, text) for text in look.failures(flows)]
    for flow in flows:
        lines.append(_Line(0, look.header(flow)))
        lines.extend(look.inside(flow, 1))
    if len(lines) <= height:
        return [line.text for line in lines]
    order = sorted(range(len(lines)), key=lambda number: (lines[number].rank, number))
    kept = sorted(order[: max(height - 1, 0)])
    return [*[lines[number].text for number in kept], Text(f"  ... and {len(lines) - len(kept):,} more", "dim")][
        :height
    ]


def summary(flow: FlowView, *, width: int, plain: bool = False) -> list[Text]:
    """Return what is left to read of a flow run that is over."""
    look = _Look(_PLAIN if plain else _PRETTY, width, flow.changed)
    groups = [group for group in flow.groups if group.total > 1]
    lines = [*look.failures([flow]), look.header(flow)]
    lines.extend(look.group(group, 1) for group in groups[:_SUMMARY_GROUPS])
    if len(groups) > _SUMMARY_GROUPS:
        lines.append(Text(f"  ... and {len(groups) - _SUMMARY_GROUPS:,} more", "dim"))
    return lines


class _Look:
    """How things look at one moment."""

    def __init__(self, glyphs: _Glyphs, width: int, now: datetime) -> None:
        self._glyphs = glyphs
        self._now = now
        self._bar_width = 30 if width >= 100 else 20 if width >= 70 else 10  # noqa: PLR2004  columns
        self._spinner = glyphs.spinner[int(now.timestamp() * 8) % len(glyphs.spinner)]

    def failures(self, flows: Sequence[FlowView]) -> Iterator[Text]:
        """Yield lines about runs that failed."""
        failures = [failure for flow in flows for failure in flow.failures]
        for failure in failures[:_FAILURES]:
            line = Text.assemble((f"{self._glyphs.bad} {_named(failure.name)}", "bold red"))
            if failure.state_name != "Failed":
                line.append(f" {_named(failure.state_name)}", "red")
            message = failure.message.rpartition(_PREFIX)[2]
            if message:
                line.append(f"  {cut(clean(message), _MESSAGE)}", "red")
            yield line
        # Of a group only some are kept, and subflows that failed are shown, but are no task runs.
        more = max(sum(flow.failed for flow in flows), len(failures)) - min(len(failures), _FAILURES)
        if more > 0:
            yield Text(f"  ... and {more:,} more failed", "red")

    def header(self, flow: FlowView) -> Text:
        """Return the line about a flow run: what it is, for how long, and the sums."""
        over = flow.phase in ENDED
        style = _STYLES[flow.phase]
        mark = self._spinner
        if over:
            mark = self._glyphs.good if flow.phase in {Phase.COMPLETED, Phase.CACHED} else self._glyphs.bad
        line = Text.assemble((f"{mark} ", style), (_named(flow.definition), "bold"))
        line.append(f" {self._glyphs.dot} {_named(flow.name)}", "dim")
        if over or flow.phase not in {Phase.RUNNING, Phase.WAITING}:
            line.append(f"  {_named(flow.state_name)}", style)
        line.append(f"  {self._since(flow.created)}")
        total = sum(flow.counts)
        if total:
            done = sum(flow.counts[phase] for phase in ENDED)
            so_far = f"{done:,}/{total:,}" if done < total else f"{total:,}"
            line.append(f"  {so_far} task run{'' if total == 1 else 's'}")
            line.append_text(self._counted(flow.counts, done))
        return line

    def inside(self, flow: FlowView, depth: int) -> Iterator[_Line]:
        """Yield the lines below a flow run."""
        for group in flow.groups:
            active = group.done < group.total
            if group.total > 1 or (active and group.current is not None and not group.is_flow):
                rank = 1 if group.failed else 2 if active and group.wide else 3 if active else 4
                yield _Line(rank, self.group(group, depth))
        for inner in flow.subflows:
            yield _Line(3, Text("  " * depth).append_text(self.header(inner)))
            yield from self.inside(inner, depth + 1)
        if flow.more_subflows:
            yield _Line(4, Text(f"{'  ' * (depth + 1)}... and {flow.more_subflows:,} more flow runs", "dim"))

    def group(self, group: GroupView, depth: int) -> Text:
        """Return the line about the runs of one flow or task: a bar where they are many at once."""
        done, total = group.done, group.total
        line = Text("  " * depth)
        if total == 1 and group.current is not None:
            name, since = group.current
            phase = next(phase for phase in Phase if group.counts[phase])
            line.append(f"{self._spinner} ", _STYLES[phase]).append(_named(name))
            if phase is not Phase.RUNNING:
                line.append(f"  {_word(phase)}", _STYLES[phase])
            return line.append(f"  {self._since(since)}", "dim")
        # The name's column is as wide for all, so that bars stand below one another.
        name = _named(group.name)
        line.append(set_cell_size(name, max(_WIDEST_NAMES - 2 * depth, cell_len(name)))).append("  ")
        if group.wide:
            line.append_text(self._bar(group.counts, total))
            line.append(f"  {done:,}/{total:,}", "bold")
        else:
            line.append(f"{done:,} done", "bold")
        line.append_text(self._counted(group.counts, done))
        if not group.wide and done < total and group.current is not None:
            running, since = group.current
            line.append(f"  {self._spinner} {_named(running)} {self._since(since)}", "dim")
        return line

    def _bar(self, counts: Sequence[int], total: int) -> Text:
        bar = Text()
        begun = at = 0
        for phase in _BAR:
            begun += counts[phase]
            upto = begun * self._bar_width // total
            bar.append(self._glyphs.full * (upto - at), _STYLES[phase])
            at = upto
        return bar.append(self._glyphs.empty * (self._bar_width - at), "dim")

    def _counted(self, counts: Sequence[int], done: int) -> Text:
        text = Text()
        for phase, style in _STYLES.items():
            if counts[phase] and not (phase is Phase.COMPLETED and counts[phase] == done):
                text.append(f" {self._glyphs.dot} " if text else "  ", "dim")
                text.append(f"{counts[phase]:,} {_word(phase)}", style)
        return text

    def _since(self, moment: datetime) -> str:
        past = max(self._now - moment, timedelta())
        return span(past) if past >= _SECOND else f"{past / _SECOND:.1f} s"  # milliseconds would only flicker


def _word(phase: Phase) -> str:
    return phase.name.lower().replace("_", " ")


def _named(name: str) -> str:
    return cut(clean(mask(name)), _NAME)
