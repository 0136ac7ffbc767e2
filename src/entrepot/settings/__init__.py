"""One settings model, read on demand: environment over `$ENTREPOT_HOME/config.toml` over defaults."""

from typing import TYPE_CHECKING, Any

from entrepot.settings.model import SETTINGS, Setting, Settings, setting_named
from entrepot.settings.reading import SettingView, config_path, current, home_folder, view

if TYPE_CHECKING:
    from entrepot.settings.files import set_value, unset_value

__all__ = [
    "SETTINGS",
    "Setting",
    "SettingView",
    "Settings",
    "config_path",
    "current",
    "home_folder",
    "set_value",
    "setting_named",
    "unset_value",
    "view",
]


def __getattr__(name: str) -> Any:
    if name in {"set_value", "unset_value"}:  # writing needs a TOML editor; reading, on every start, does not
        from entrepot.settings import files  # noqa: PLC0415  the lazy seam

        return getattr(files, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
