"""What each of Prefect's names is here: the same, something different, or absent, and why.

All of it is data: `prefect.toml`, whose head says how to read it. `docs/migrating-from-prefect.md` is written from it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from entrepot.errors import AbsentNameError

__all__ = ["ROOT", "Names", "Status", "Verdict", "absent_error", "names", "resolve"]

ROOT: Final = "prefect"

Status: TypeAlias = Literal["same", "different", "absent", "unknown"]

_CLASSES: Final = {
    "Block": "prefect.blocks.core.Block",
    "Flow": "prefect.flows.Flow",
    "PrefectFuture": "prefect.futures.PrefectFuture",
    "PrefectFutureList": "prefect.futures.PrefectFutureList",
    "State": "prefect.client.schemas.objects.State",
    "Task": "prefect.tasks.Task",
    "Transaction": "prefect.transactions.Transaction",
    "Variable": "prefect.variables.Variable",
    "flow": "prefect.flows.Flow",
    "task": "prefect.tasks.Task",
}
"""By the name that code has for it: the table of the members of a class, or of what a decorator makes."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one of Prefect's names is here.

    Attributes:
        name: The whole name: `prefect.tasks.task`.
        status: "same", "different" (it works, and `note` says what to know), "absent" (`note` says why, or what to use
            instead) or "unknown" to Prefect itself.
        target: What stands for it here, `entrepot.tasks:task`; empty for what is not looked up by a name of its own: an
            option, a member of a class, a package of modules.
        note: For people.
    """

    name: str
    status: Status
    target: str = ""
    note: str = ""

    @property
    def works(self) -> bool:
        """Whether code that uses the name finds something."""
        return self.status in {"same", "different"}

    @property
    def ours(self) -> str:
        """What stands for it here, as code writes it: `entrepot.tasks.task`."""
        return self.target.replace(":", ".").removeprefix("builtins.")


class Names:
    """The names of Prefect.

    Args:
        document: The table, as TOML reads it.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        tables = dict(document)
        self.versions: tuple[str, ...] = tuple(tables.pop("versions"))
        self._reasons: Mapping[str, tuple[str, str]] = tables.pop("reasons")
        self.packages: Mapping[str, str] = tables.pop("packages")
        self.variables: Mapping[str, str] = tables.pop("variables")
        self._homes: dict[str, str] = {}
        self._rests: dict[str, str] = {}
        self._tables: dict[str, dict[str, Verdict]] = {}
        for module, table in tables.items():
            if "rest" in table:
                self._rests[module] = table["rest"]
            self._homes[module] = table.get("ours", "")
            self._tables[module] = {verdict.name.rpartition(".")[2]: verdict for verdict in self._read(module, table)}
        classes = set(_CLASSES.values())
        self._modules = {name for name in self._tables if name not in classes and not name.endswith("()")}
        listed = {name for name in self._modules if self._tables[name] or name not in self._rests}
        self._served = {name[:end] for name in listed for end in _ends(name)}

    def _read(self, module: str, table: Mapping[str, Any]) -> Iterator[Verdict]:
        ours = table.get("ours", "")
        for name in table.get("same", "").split():
            target = f"{ours}{'.' if ':' in ours else ':'}{name}" if ours else ""
            yield Verdict(f"{module}.{name}", "same", target)
        for name, (target, note) in table.get("different", {}).items():
            yield Verdict(f"{module}.{name}", "different", target, note)
        for name, note in table.get("instead", {}).items():
            yield Verdict(f"{module}.{name}", "absent", note=f"instead: {note}")
        for reason, absent in table.get("absent", {}).items():
            for name in absent.split():
                yield Verdict(f"{module}.{name}", "absent", note=self.reason(reason))

    def reason(self, key: str) -> str:
        """Return a reason, with when that will change."""
        why, when = self._reasons[key]
        return f"{why}; {when or 'not planned'}"

    def tables(self) -> Mapping[str, Mapping[str, Verdict]]:
        """Return what is said of each name, by module (or class, or decorator with brackets) and name."""
        return self._tables

    def rest_of(self, module: str) -> str | None:
        """Return why those names of a module are absent of which the tables say nothing; None where they do not say."""
        nearest = next((module[:end] for end in _ends(module) if module[:end] in self._tables), "")
        return self.reason(self._rests[nearest]) if nearest in self._rests else None

    def serves(self, module: str) -> bool:
        """Tell whether a module can be imported: the table says something of names in it."""
        return module in self._served

    def working(self, module: str) -> list[str]:
        """Return the names of a module that can be imported from it."""
        return sorted(name for name, verdict in self._tables.get(module, {}).items() if verdict.target)

    def inside(self, module: str) -> list[str]:
        """Return the names of the modules directly inside one that can be imported."""
        children = [name.rpartition(".") for name in self._served]
        return sorted(name for parent, _, name in children if parent == module)

    def judge(self, module: str, name: str) -> Verdict:
        """Return what a name of a module is here.

        A name that the module does not define, but another does, counts as imported by the module, as Prefect's modules
        do with much of what they use.
        """
        whole = f"{module}.{name}"
        if self.serves(whole):
            return self._module(whole)
        own = self._tables.get(module, {})
        if name in own:
            return own[name]
        if any(part.startswith("_") for part in whole.split(".")):
            return Verdict(whole, "absent", note="it is private to Prefect; not planned")
        rest = self.rest_of(whole if whole in self._rests else module)
        if rest is not None:
            return Verdict(whole, "absent", note=rest)
        found = self._elsewhere(name) if self.serves(module) else None
        return self._unknown(module, name) if found is None else replace(found, name=whole)

    def judge_path(self, path: str) -> Verdict:
        """Return what a dotted path is here: a module, a name in it, or a member of a class in it."""
        module = next((path[:end] for end in _ends(path) if self.serves(path[:end])), "")
        if module == path:
            return self._module(path)
        if not module:
            return self._unknown(*path.rpartition(".")[::2])
        name, _, member = path.removeprefix(f"{module}.").partition(".")
        return self.member(name, member.partition(".")[0]) or self.judge(module, name)

    def member(self, cls: str, name: str) -> Verdict | None:
        """Return what a member of a class is here, or None where the table does not say.

        Args:
            cls: The class, without its module; or a decorator, for what it makes.
            name: The member.
        """
        return self._tables.get(_CLASSES.get(cls, ""), {}).get(name)

    def option(self, decorator: str, name: str) -> Verdict:
        """Return what an option of `flow` or `task` is here; the verdict's name is `prefect.flow(name=)`."""
        table = f"{ROOT}.{decorator}()"
        found = self._tables[table].get(name) or self._unknown(table, name)
        return Verdict(f"{ROOT}.{decorator}({name}=)", found.status, note=found.note)

    def _module(self, module: str) -> Verdict:
        """Return what a module is that is served; its names may say more."""
        return Verdict(module, "same", self._homes.get(module, ""))

    def _elsewhere(self, name: str) -> Verdict | None:
        """Return what the package itself says of a name, or else the modules, where they all mean the same."""
        if name in self._tables.get(ROOT, ()):
            return self._tables[ROOT][name]
        found = [self._tables[module][name] for module in sorted(self._modules) if name in self._tables[module]]
        return found[0] if len({verdict.target for verdict in found}) == 1 else None

    def _unknown(self, module: str, name: str) -> Verdict:
        from difflib import get_close_matches  # noqa: PLC0415  only a mistake pays for it

        known = {*self._tables.get(module, ()), *self.inside(module)}
        near = get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        versions = " and ".join(self.versions)
        return Verdict(f"{module}.{name}", "unknown", note=f"Prefect {versions} have no such name{hint}")


@cache
def names() -> Names:
    """Return the names of Prefect; they are read once."""
    import tomllib  # noqa: PLC0415  only code that is tried here pays for it

    return Names(tomllib.loads(Path(__file__).with_name("prefect.toml").read_text(encoding="utf-8")))


def resolve(target: str) -> Any:
    """Return what a verdict's target stands for.

    Args:
        target: `module:name`, where the name may have dots; or a module.
    """
    module, _, path = target.partition(":")
    found: Any = import_module(module)
    for part in filter(None, path.split(".")):
        found = getattr(found, part)
    return found


def absent_error(verdict: Verdict) -> AbsentNameError:
    """Return the error for a name that is not here."""
    return AbsentNameError(f"Entrepot has no {verdict.name}: {verdict.note}", name=verdict.name)


def _ends(module: str) -> Iterator[int]:
    """Yield where a module's name ends, and where those of the packages around it do, innermost first."""
    end = len(module)
    while end > 0:
        yield end
        end = module.rfind(".", 0, end)
