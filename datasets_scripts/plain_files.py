"""Small files of plain values, JSON and YAML: read whole, once it is sure that reading them ends.

A file that comes with a run, a store or a recipe may be damaged or hostile: a pipe that never ends, gigabytes under
the name of a description, a few lines of YAML whose aliases unfold to billions of values.
"""

import itertools
import json
import stat
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

MAX_BYTES = 1 << 26  # 64 MiB; the records of a run take kilobytes, the intervals of a large genome a few megabytes
_MAX_DEPTH = 100  # of brackets in YAML
MAX_VALUES = 100_000  # of a YAML file with its aliases unfolded; a recipe has about a hundred


class PlainRecord(BaseModel):
    """A file's fields, typed and bounded; what a later version adds is passed over."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)

    @classmethod
    def check(cls, values: Any, where: str, *, remedy: str = "restore the file") -> Self:
        """Return the fields of plain values.

        Raises:
            ValueError: one is missing, or of another type or size.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            fault = error.errors()[0]
            key = ".".join(str(part) for part in fault["loc"]) or "it"
            if fault["type"] == "missing":
                raise ValueError(f"{where} is damaged: it lacks {key}; {remedy}") from None
            got, why = f"{fault['input']!r:.60}", fault["msg"].removeprefix("Value error, ")
            raise ValueError(f"{where} is damaged: {key} is {got} ({why}); {remedy}") from None


def check_regular(path: Path) -> int:
    """Return the size of a file in bytes.

    Raises:
        FileNotFoundError: there is none.
        ValueError: a folder, a pipe, a device: nothing that can be read to its end.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{path} must be a regular file, got {_kind(found.st_mode)}; put a plain file there")
    return found.st_size


def read_text(path: str | Path, *, max_bytes: int = MAX_BYTES) -> str:
    """Read a text file in UTF-8.

    Raises:
        FileNotFoundError: there is none.
        ValueError: no regular file, larger than `max_bytes`, or no text.
    """
    path = Path(path)
    if (size := check_regular(path)) > max_bytes:
        raise ValueError(f"{path} must be at most {max_bytes:,} bytes, got {size:,}: is it another file?")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is damaged: it is no text ({error})") from None


def read_json(
    path: str | Path, kind: type | tuple[type, ...] = dict, *, remedy: str = "restore the file", finite: bool = True
) -> Any:
    """Read a JSON file.

    Args:
        path: of the file.
        kind: what it must hold: dict, list, or several.
        remedy: what to do about a damaged one, for the error.
        finite: refuse NaN and infinity.

    Raises:
        FileNotFoundError: there is none.
        ValueError: no regular file, no JSON, a key twice, a number that is not finite, or a value of another kind.
    """
    text = read_text(path)
    try:
        numbers: Any = {"parse_constant": _not_finite, "parse_float": _finite} if finite else {}
        value = json.loads(text, object_pairs_hook=_without_repeats, **numbers)
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else error
        raise ValueError(f"{path} is damaged: it is not JSON ({why}); {remedy}") from None
    if not isinstance(value, kind):
        names = {dict: "an object", list: "a list", type(None): "null"}
        wanted = " or ".join(names.get(one, one.__name__) for one in (kind if isinstance(kind, tuple) else (kind,)))
        got = names.get(type(value), f"{value!r:.40}")
        raise ValueError(f"{path} must hold {wanted}, got {got}; {remedy}")
    return value


def read_yaml(path: str | Path) -> Any:
    """Read a YAML file as `parse_yaml` does its text.

    Raises:
        FileNotFoundError: there is none.
        ValueError: no regular file, too large, or what `parse_yaml` refuses.
    """
    return parse_yaml(read_text(path, max_bytes=1 << 20), str(path))


def parse_yaml(text: str, where: str) -> Any:
    """Return the plain values of a YAML text.

    Args:
        text: of one document.
        where: name for errors.

    Raises:
        ValueError: no YAML, a key twice, or aliases that unfold to more than `MAX_VALUES` values or to themselves.
    """
    if _depth(text) > _MAX_DEPTH:  # the library takes time that grows with its square
        raise ValueError(f"{where} is not YAML: nested too deeply")
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _check_nodes(root, where)
        return loader.construct_document(root)
    except (yaml.YAMLError, RecursionError, AttributeError, TypeError, ArithmeticError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise ValueError(f"{where} is not YAML: {why}") from None
    except ValueError as error:  # of a date that does not exist, or of the checks
        raise ValueError(str(error) if where in str(error) else f"{where} is not YAML: {error}") from None
    finally:
        loader.dispose()


def _depth(text: str) -> int:
    """Return how deep brackets are nested in a text, those inside words too."""
    steps = itertools.accumulate(1 if letter in "[{" else -1 for letter in text if letter in "[]{}")
    return max(steps, default=0)


def _check_nodes(root: yaml.Node, where: str) -> None:
    """Refuse repeated keys, and aliases that unfold to too much; each node is looked at once, however often named."""
    sizes: dict[int, int] = {}
    above: set[int] = set()

    def size_of(node: yaml.Node) -> int:
        if id(node) in sizes:
            return sizes[id(node)]
        if id(node) in above:
            raise ValueError(f"{where} has an alias inside what it stands for; write the value out")
        above.add(id(node))
        total = 1
        if isinstance(node, yaml.MappingNode):
            seen: set[Hashable] = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in seen:
                        line = key.start_mark.line + 1
                        raise ValueError(f"{where}, line {line}: the key {key.value!r} comes twice; keep one")
                    seen.add(key.value)
                total += size_of(key) + size_of(value)
        elif isinstance(node, yaml.SequenceNode):
            total += sum(size_of(item) for item in node.value)
        above.discard(id(node))
        if total > MAX_VALUES:
            raise ValueError(f"{where} unfolds to more than {MAX_VALUES:,} values; write it without aliases")
        sizes[id(node)] = total
        return total

    size_of(root)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} comes twice")
    return found


def _not_finite(text: str) -> float:
    raise ValueError(f"{text} is no finite number")


def _finite(text: str) -> float:
    value = float(text)
    return value if abs(value) != float("inf") else _not_finite(text)


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    return next((name for is_kind, name in kinds if is_kind(mode)), "a device")
