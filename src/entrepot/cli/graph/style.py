"""How the picture looks: colours of states, light and dark, and nothing that is fetched from anywhere."""

from typing import Final

__all__ = ["LEGEND", "STYLE", "state_class"]

# Each colour on white and on near black; hues differ in lightness too, for those who see no red or no green.
_COLOURS: Final = {
    "completed": ("#2f9e6d", "#3fb984"),
    "cached": ("#4a7de8", "#6c9bff"),
    "running": ("#14a3c2", "#2cc5e6"),
    "failed": ("#d3393b", "#ff6b6b"),
    "crashed": ("#9b2a83", "#d965bf"),
    "cancelled": ("#a07431", "#d0a45c"),
    "paused": ("#8a63d2", "#ac8bee"),
    "retry": ("#e09a1a", "#f2b544"),
    "pending": ("#a9b2c0", "#667084"),
}
_OF_TYPE: Final = {
    "COMPLETED": "completed",
    "FAILED": "failed",
    "CRASHED": "crashed",
    "CANCELLED": "cancelled",
    "CANCELLING": "cancelled",
    "RUNNING": "running",
    "PAUSED": "paused",
}

LEGEND: Final = (
    ("completed", "completed"),
    ("cached", "cached"),
    ("running", "running"),
    ("failed", "failed"),
    ("lost", "failed attempt"),
    ("retry", "waits to retry"),
    ("pending", "waits"),
    ("paused", "paused"),
    ("cancelled", "cancelled"),
    ("crashed", "crashed"),
)
"""What can be seen in the picture: the class of a mark, and what it is called."""


def state_class(state_type: str, state_name: str) -> str:
    """Return the class of what is drawn for a run in this state."""
    return "cached" if state_name == "Cached" else _OF_TYPE.get(state_type, "pending")


def _rules(shade: int) -> str:
    lines = []
    for name, shades in _COLOURS.items():
        colour = shades[shade]
        lines.append(f".{name}{{fill:{colour}}}.edge-{name}{{stroke:{colour}}}")
    lines.append(f".lost{{fill:{_COLOURS['failed'][shade]};fill-opacity:.28}}")
    return "\n".join(lines)


STYLE: Final = f"""
svg{{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;font-size:12px}}
path{{fill:none}}
path.completed,path.cached,path.failed,path.running,path.pending,path.cancelled,path.crashed{{stroke:none}}
.page{{fill:#fff}}
text{{fill:#1c2431}}
.title{{font-size:21px;font-weight:650}}
.section{{font-size:13px;font-weight:650}}
.strong{{font-weight:600}}
.soft{{fill:#677287}}
.small{{font-size:10.5px}}
.bad{{fill:#c22f31}}
.pill{{fill:#fff;font-weight:600}}
.stripe{{fill:#f5f7fa}}
.grid{{stroke:#dfe4ec}}
.tree{{stroke:#c3cad6}}
.box{{fill:#fff;stroke:#cfd6e1}}
.arrow{{stroke:#8994a8;stroke-opacity:.75}}
.head{{fill:#8994a8;stroke:none}}
.back{{stroke-dasharray:4 3}}
.edge-pending{{stroke-width:1.5}}
.edge-retry,.edge-paused{{stroke-width:2;stroke-dasharray:4 3}}
.edge-failed{{stroke-width:1.5}}
{_rules(0)}
.area{{fill-opacity:.75}}
.row:hover .stripe{{fill:#e9eef6}}
@media (prefers-color-scheme:dark){{
.page{{fill:#12161d}}
text{{fill:#e3e8f0}}
.soft{{fill:#8e9ab0}}
.bad{{fill:#ff8080}}
.pill{{fill:#0d1117}}
.stripe{{fill:#181d26}}
.grid{{stroke:#272e3a}}
.tree{{stroke:#3d4657}}
.box{{fill:#1a202a;stroke:#343d4c}}
.arrow{{stroke:#7886a0}}
.head{{fill:#7886a0}}
.row:hover .stripe{{fill:#202836}}
{_rules(1)}
}}
"""
"""The style sheet of the picture."""
