"""Files of blocks, YAML or TOML by their suffix, as plain data: `blocks`, then types, then names, then fields.

Beside the fields of a block stands of which schema version of its class they are: `"$schema_version" = 2`. No field can
be called so in Python.
"""

import re
import tomllib
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Final

from entrepot._names import check_name
from entrepot.blocks._bounds import beyond_bounds
from entrepot.errors import BlockFileError

__all__ = ["SCHEMA_VERSION", "Fields", "FileBlocks", "is_block_file", "read_blocks", "split_version", "write_blocks"]

Fields = dict[str, object]
FileBlocks = dict[tuple[str, str], Fields]
"""Fields by type and name."""

SCHEMA_VERSION: Final = "$schema_version"
"""What stands for the schema version among the fields."""

_YAML: Final = frozenset({".yaml", ".yml"})
_TOML: Final = ".toml"
_LARGEST: Final = 16 << 20  # bytes of a file
_MOST: Final = 1_000_000  # values in a file, the aliases of YAML unfolded: ten lines of them can stand for 10**9
_STEPS: Final = 10_000_000  # what the parser of TOML may keep of dotted keys: see `_has_long_keys`
_PART: Final = r"""(?>[A-Za-z0-9_-]+|"(?>[^"\\\n]+|\\.)*"|'[^'\n]*')"""
# Nothing is taken back that was read: a line of blanks alone, or of half a key, takes no more than its length.
_KEY: Final = re.compile(rf"^[ \t]*+(\[{{1,2}}+[ \t]*+)?+({_PART}(?>[ \t]*+\.[ \t]*+{_PART})*+)", re.MULTILINE)
_PARTS: Final = re.compile(_PART)
_NOTE: Final = (
    "Blocks, as `entrepot block export` wrote them. Secrets are not in here: a reference says where each one is.\n"
    "`entrepot block apply` saves what is in this file, `entrepot block diff` says what it would change."
)


def is_block_file(name: str) -> bool:
    """Return whether an argument names a file of blocks; no block can be named so."""
    return Path(name).suffix.lower() in {*_YAML, _TOML}


def read_blocks(path: Path) -> FileBlocks:
    """Return what a file says.

    Raises:
        BlockFileError: If it cannot be read, is malformed, or has another form, or if it is YAML and nothing here reads
            that; the message shows no values.
        InvalidNameError: If a type or name may not be one.
    """
    text = _text_of(path)
    try:
        data = _parse_yaml(text, path) if _is_yaml(path) else _parse_toml(text, path)
        problem = beyond_bounds(data, most=_MOST)
    except RecursionError:  # of the parser
        problem = "it is nested too deep"
    if problem:
        raise BlockFileError(f"{path} is no file of blocks: {problem}", path=str(path))
    blocks = data.get("blocks") if isinstance(data, Mapping) else None
    if not isinstance(blocks, Mapping) or len(data) != 1:
        raise BlockFileError(
            f"{path} is no file of blocks: it has one table, `blocks`, of types, of names, of fields, as in"
            " [blocks.s3.prod]",
            path=str(path),
        )
    found: FileBlocks = {}
    for slug, named in blocks.items():
        check_name(slug, what=f"block type (in {path})")
        for name, fields in _table(named, f"blocks.{slug}", path).items():
            check_name(name, what=f"block name (in {path})")
            found[slug, name] = dict(_table(fields, f"blocks.{slug}.{name}", path))
            split_version(found[slug, name], f"{path}: blocks.{slug}.{name}")  # before anything is looked up
    return found


def split_version(fields: Mapping[str, object], where: str) -> tuple[int | None, Fields]:
    """Return the schema version that fields say they are of, None where they do not say, and the fields alone.

    Raises:
        BlockFileError: If what they say is no schema version.
    """
    version = fields.get(SCHEMA_VERSION)
    if SCHEMA_VERSION not in fields:
        return None, dict(fields)
    if type(version) is not int or version < 1:
        raise BlockFileError(f'{where}: "{SCHEMA_VERSION}" is a schema version, a whole number from 1', path="")
    return version, {name: value for name, value in fields.items() if name != SCHEMA_VERSION}


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) <= _LARGEST:
            return content.decode()
        reason = f"it is larger than {_LARGEST >> 20} MiB; cut it into several files"
    except OSError as error:
        reason = error.strerror or type(error).__name__
    except UnicodeDecodeError:
        reason = "it is no UTF-8 text"
    raise BlockFileError(f"{path} cannot be read: {reason}", path=str(path))


def write_blocks(blocks: FileBlocks, path: Path) -> str:
    """Return the text of a file of blocks, in the form that its name asks for.

    Raises:
        BlockFileError: If it has a value that the form has no word for, or if nothing here writes that form.
    """
    data: dict[str, dict[str, Fields]] = {}
    for (slug, name), fields in blocks.items():
        data.setdefault(slug, {})[name] = fields
    if _is_yaml(path):
        return "".join(f"# {line}\n" for line in _NOTE.splitlines()) + _yaml_text({"blocks": data})
    return _toml_text(data, path)


def _is_yaml(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix not in {*_YAML, _TOML}:
        raise BlockFileError(f"{path} is no file of blocks: its name ends with .toml, .yaml or .yml", path=str(path))
    return suffix in _YAML


def _table(value: object, where: str, path: Path) -> Mapping[str, object]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise BlockFileError(f"{path}: {where} is no table with names as keys", path=str(path))
    return value


# --- TOML -------------------------------------------------------------------------------------------------------------


def _parse_toml(text: str, path: Path) -> Any:
    if _has_long_keys(text):
        raise BlockFileError(f"{path} is no file of blocks: its keys have too many parts", path=str(path))
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem = str(error)  # it says where, and at most one letter of what
    except ValueError:
        problem = "a number in it is too long"
    raise BlockFileError(f"{path} is no TOML: {problem}", path=str(path))


def _has_long_keys(text: str) -> bool:
    """Return whether the keys of lines have so many parts that to parse them takes the memory.

    For each part of a key, Python's parser keeps the whole key up to there, with the header above it: of one of 50,000
    parts, which are 100 kB, ten gigabytes. What looks like a key in a text of several lines counts, too.
    """
    header = steps = 0
    for found in _KEY.finditer(text):
        parts = len(_PARTS.findall(found[2]))
        if found[1]:
            header = parts
        steps += parts * (parts + header)
        if steps > _STEPS:
            return True
    return False


def _toml_text(data: Mapping[str, Mapping[str, Fields]], path: Path) -> str:
    import tomlkit  # noqa: PLC0415  only where a file is written
    from tomlkit.exceptions import TOMLKitError  # noqa: PLC0415  the same

    document = tomlkit.document()
    for line in _NOTE.splitlines():
        document.add(tomlkit.comment(line))
    blocks = tomlkit.table(is_super_table=True)
    for slug, named in data.items():
        kind = tomlkit.table(is_super_table=True)
        for name, fields in named.items():
            table = tomlkit.table()
            for field, value in fields.items():
                if _has_none(value):
                    raise BlockFileError(
                        f"{slug}/{name}.{field} is null somewhere, and TOML has no word for that; write YAML:"
                        f" {path.with_suffix('.yaml')}",
                        path=str(path),
                    )
                try:
                    table.add(field, _inline(value))
                except TOMLKitError as error:
                    raise BlockFileError(
                        f"{slug}/{name}.{field} cannot be written as TOML ({type(error).__name__}); write YAML:"
                        f" {path.with_suffix('.yaml')}",
                        path=str(path),
                    ) from None
            kind.add(name, table)
        blocks.add(slug, kind)
    document.add("blocks", blocks)
    return tomlkit.dumps(document)


def _inline(value: object) -> Any:
    """Return a value on one line, so that a field of tables does not end the table that it is in."""
    import tomlkit  # noqa: PLC0415  as above

    if isinstance(value, dict):
        table = tomlkit.inline_table()
        for key, each in value.items():
            table.add(key, _inline(each))
        return table
    if isinstance(value, list):
        array = tomlkit.array()
        for each in value:
            array.append(_inline(each))
        return array
    return value


def _has_none(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_has_none, value.values()))
    return any(map(_has_none, value)) if isinstance(value, list) else value is None


# --- YAML -------------------------------------------------------------------------------------------------------------


def _parse_yaml(text: str, path: Path) -> Any:
    yaml = _yaml()

    class Loader(yaml.SafeLoader):  # type: ignore[misc, name-defined]
        """Refuses a key that is there twice: PyYAML would take the last one, and a block would be lost.

        What its constructors stumble over (`2024-13-45`, a number of 5,000 digits) is an error of YAML, too.
        """

        def construct_object(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002  as PyYAML has it
            try:
                return super().construct_object(node, deep)
            except (yaml.YAMLError, RecursionError):
                raise
            except Exception as error:  # noqa: BLE001  whatever it is: it quotes the value
                kind = type(error).__name__
            raise yaml.constructor.ConstructorError(
                None, None, f"a value is none of its kind ({kind})", node.start_mark
            )

        def construct_mapping(self, node: Any, *, deep: bool = False) -> Any:
            seen = set()
            for each, _ in node.value if isinstance(node, yaml.MappingNode) else ():
                key = self.construct_object(each, deep=True)
                if not isinstance(key, Hashable):
                    break  # which PyYAML refuses itself
                if key in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {str(key)[:80]!a} is there twice", node.start_mark
                    )
                seen.add(key)
            return super().construct_mapping(node, deep=deep)

    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        # Not its own text: that quotes the line, and a person may have written a secret there.
        where = "" if mark is None else f" at line {mark.line + 1}, column {mark.column + 1}"
        problem = f"{getattr(error, 'problem', None) or 'it cannot be parsed'}{where}"
    raise BlockFileError(f"{path} is no YAML: {problem}", path=str(path))


def _yaml_text(data: object) -> str:
    yaml = _yaml()

    class Dumper(yaml.SafeDumper):  # type: ignore[misc, name-defined]
        """Quotes what a reader would not give back as it is: PyYAML writes the line ends of Unicode as they are."""

    def represent(dumper: Any, value: str) -> Any:
        style = None if value.isprintable() else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, represent)
    text: str = yaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False)
    return text


def _yaml() -> Any:
    try:
        import yaml  # noqa: PLC0415  an extra: TOML needs nothing that is not there
    except ImportError:
        raise BlockFileError(
            "YAML files need PyYAML: pip install 'entrepot[yaml]'; or use a .toml file", path=""
        ) from None
    return yaml
