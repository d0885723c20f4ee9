"""One file of model code for the Hub: the files of modeling/ that a model needs, joined in the order they build on.

`push` writes it beside the weights as modeling_chromhub.py, and `auto_map` names its classes, so that transformers
alone loads the model (with `trust_remote_code=True`). Within chromhub a model folder needs no code.
"""

import ast
import json
import re
import symtable
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from io import StringIO
from itertools import pairwise
from pathlib import Path

from ..inference.model_files import BUNDLE

# What transformers finds in the bundle, by the architecture that config.json names.
_CLASSIFIER = "AutoModelForSequenceClassification"
AUTO_CLASSES = {
    "AtacForTrackPrediction": {"AutoConfig": "AtacConfig", "AutoModel": "AtacForTrackPrediction"},
    "AtacForSequenceClassification": {"AutoConfig": "AtacConfig", _CLASSIFIER: "AtacForSequenceClassification"},
    "ChromTransferModel": {"AutoConfig": "ChromTransferConfig", "AutoModel": "ChromTransferModel"},
    "ChromTransferForSequenceClassification": {
        "AutoConfig": "ChromTransferConfig",
        "AutoModel": "ChromTransferModel",
        _CLASSIFIER: "ChromTransferForSequenceClassification",
    },
    "ClasterForProfileRegression": {"AutoConfig": "ClasterConfig", "AutoModel": "ClasterForProfileRegression"},
}
MODELING = Path(__file__).parent.parent / "modeling"
_LINE = 120  # characters


@dataclass(frozen=True)
class SourceFile:
    """A file of modeling/.

    Attributes:
        name: without its ending.
        text: its source.
    """

    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax."""
        return ast.parse(self.text)

    @cached_property
    def imports(self) -> list[ast.Import | ast.ImportFrom]:
        """Its import statements.

        Raises:
            ValueError: one of them stands within a function or a condition, renames what a file beside it has, or takes
                all names.
        """
        at_top = [node for node in self.tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import | ast.ImportFrom) and node not in at_top:
                raise ValueError(f"{self.name}.py line {node.lineno}: import at the top of the file, for the bundle")
        for node in at_top:
            renamed = any(alias.asname for alias in node.names)
            if isinstance(node, ast.ImportFrom) and node.level and (node.level > 1 or not node.module or renamed):
                raise ValueError(f"{self.name}.py line {node.lineno}: write `from .file import name`, for the bundle")
            if any(alias.name == "*" for alias in node.names):
                raise ValueError(f"{self.name}.py line {node.lineno}: name what is imported, for the bundle")
        return at_top

    @property
    def siblings(self) -> dict[str, list[str]]:
        """The files that it imports from, and the names."""
        names = defaultdict(list)
        for node in self.imports:
            if isinstance(node, ast.ImportFrom) and node.level:
                names[str(node.module)] += [alias.name for alias in node.names]
        return names

    @cached_property
    def defined(self) -> set[str]:
        """The names that it binds at its top level, but for imports and `__all__`."""
        table = symtable.symtable(self.text, f"{self.name}.py", "exec")
        names = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned()}
        return {name for name in names if not table.lookup(name).is_imported()} - {"__all__", "_"}

    @property
    def external_imports(self) -> list[ast.Import | ast.ImportFrom]:
        """Its imports of other packages."""
        return [node for node in self.imports if not (isinstance(node, ast.ImportFrom) and node.level)]

    def body(self, renamed: dict[str, str]) -> str:
        """Return the source without its docstring, imports and `__all__`, some of its names changed."""
        left_out = [node for node in self.tree.body if node in self.imports or _is_docstring(node) or _is_all(node)]
        dropped = {line for node in left_out for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
        lines = _with_names(self, renamed).splitlines()
        return "\n".join(line for number, line in enumerate(lines, 1) if number not in dropped).strip("\n")


def bundle(classes: dict[str, str], *, folder: Path = MODELING) -> str:
    """Join the code that some classes need into one file.

    Args:
        classes: what `auto_map` gets: an Auto class and the name of the class, for instance
            {"AutoConfig": "AtacConfig", "AutoModel": "AtacForTrackPrediction"}.
        folder: where the files lie.

    Returns:
        The source: always the same for the same classes and version.

    Raises:
        ValueError: a class that no file defines, two public names that clash, or an import that cannot be joined.
    """
    files = {path.stem: SourceFile(path.stem, path.read_text(encoding="utf-8")) for path in folder.glob("[a-z]*.py")}
    ordered = list(_in_order([_home(name, files) for name in sorted(classes.values())], files))
    renamed = _renamed(ordered)
    parts = [_header(classes, ordered), *_import_lines(ordered)]
    for file in ordered:
        # A private name that another file defines, and that was renamed there, is renamed here too.
        foreign = {
            name: renamed[home][name]
            for home, names in file.siblings.items()
            for name in names
            if name in renamed[home]
        }
        parts.append(f"\n\n# {file.name}.py\n\n{file.body({**foreign, **renamed[file.name]})}")
    text = "\n".join(parts) + "\n"
    text = re.sub(r"\n{4,}", "\n\n\n", text)
    compile(text, BUNDLE, "exec")
    return text


def write_bundle(folder: Path) -> None:
    """Write the code of the model in a folder beside its weights, and name it in its configurations.

    Args:
        folder: with config.json, and preprocessor_config.json where the model reads DNA.

    Raises:
        ValueError: the architecture is none of `AUTO_CLASSES`.
    """
    architecture = (json.loads((folder / "config.json").read_text(encoding="utf-8")).get("architectures") or [""])[0]
    if architecture not in AUTO_CLASSES:
        raise ValueError(
            f"config.json must name one of {sorted(AUTO_CLASSES)} as its architecture, got {architecture!r}"
        )
    classes = {"config.json": AUTO_CLASSES[architecture]}
    if (folder / "preprocessor_config.json").exists():
        classes["preprocessor_config.json"] = {"AutoFeatureExtractor": "DnaFeatureExtractor"}
    code = bundle({auto: name for part in classes.values() for auto, name in part.items()})
    (folder / BUNDLE).write_text(code, encoding="utf-8")
    for file, named in classes.items():
        config = json.loads((folder / file).read_text(encoding="utf-8"))
        config["auto_map"] = {auto: f"{BUNDLE.removesuffix('.py')}.{name}" for auto, name in named.items()}
        (folder / file).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _home(name: str, files: dict[str, SourceFile]) -> SourceFile:
    homes = [file for file in files.values() if name in file.defined]
    if len(homes) != 1:
        raise ValueError(f"{name} is defined in {len(homes)} files of modeling/; it must be in one")
    return homes[0]


def _in_order(wanted: list[SourceFile], files: dict[str, SourceFile]) -> Iterator[SourceFile]:
    """Yield files after all that they import, each once."""
    done: set[str] = set()

    def visit(file: SourceFile) -> Iterator[SourceFile]:
        if file.name not in done:
            done.add(file.name)
            for sibling in sorted(file.siblings):
                yield from visit(files[sibling])
            yield file

    for file in wanted:
        yield from visit(file)


def _renamed(files: list[SourceFile]) -> dict[str, dict[str, str]]:
    """Return the new names of the private names that more than one file defines, by file.

    Raises:
        ValueError: a public name that clashes, or a private one that is a parameter or local variable too.
    """
    homes = defaultdict(list)
    for file in files:
        for name in file.defined:
            homes[name].append(file)
    nodes = [node for file in files for node in file.external_imports]
    imported = {alias.asname or alias.name for node in nodes for alias in node.names}
    renamed: dict[str, dict[str, str]] = {file.name: {} for file in files}
    for name, where in homes.items():
        if len(where) == 1 and name not in imported:
            continue
        if not name.startswith("_"):
            clashing = ", ".join(f"{file.name}.py" for file in where)
            raise ValueError(f"{name} of {clashing} clashes with another file's name or import; rename it")
        for file in where:
            _check_not_local(file, name)
            renamed[file.name][name] = f"_{file.name}{name}"
    return renamed


def _check_not_local(file: SourceFile, name: str) -> None:
    for node in ast.walk(file.tree):
        is_argument = isinstance(node, ast.arg | ast.keyword) and node.arg == name
        is_local = isinstance(node, ast.FunctionDef) and name in _bound_in(node)
        if is_argument or is_local:
            raise ValueError(
                f"{file.name}.py line {getattr(node, 'lineno', 0)}: {name} is a local name too; rename one"
            )


def _bound_in(function: ast.FunctionDef) -> set[str]:
    declared = {name for node in ast.walk(function) if isinstance(node, ast.Global) for name in node.names}
    stored = {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return stored - declared


def _with_names(file: SourceFile, renamed: dict[str, str]) -> str:
    """Return the source with other names; attributes of the same name stay."""
    lines = [list(line) for line in file.text.splitlines()]
    tokens = list(tokenize.generate_tokens(StringIO(file.text).readline))
    for before, token in reversed(list(pairwise([tokens[-1], *tokens]))):
        if token.type == tokenize.NAME and token.string in renamed and before.string != ".":
            (row, start), (_, end) = token.start, token.end
            lines[row - 1][start:end] = renamed[token.string]
    return "\n".join("".join(line) for line in lines)


def _import_lines(files: list[SourceFile]) -> list[str]:
    """Return the import statements of other packages, each name once.

    Raises:
        ValueError: one name for two things.
    """
    modules: dict[str, str] = {}  # how a name is written in `import`, by name
    members: dict[str, tuple[str, str]] = {}  # module and how a name is written in `from module import`, by name
    for file in files:
        for node in file.external_imports:
            for alias in node.names:
                name = alias.asname or alias.name
                written = f"{alias.name} as {alias.asname}" if alias.asname else alias.name
                if isinstance(node, ast.Import):
                    same = modules.setdefault(name, written) == written and name not in members
                else:
                    found = str(node.module), written
                    same = members.setdefault(name, found) == found and name not in modules
                if not same:
                    raise ValueError(f"{file.name}.py: {name} is the name of another import in another file")
    by_module = defaultdict(list)
    for module, written in members.values():
        by_module[module].append(written)
    lines = [f"import {written}" for written in sorted(modules.values())]
    for module, names in sorted(by_module.items()):
        line = f"from {module} import {', '.join(sorted(names))}"
        wrapped = f"from {module} import (\n    {f',{chr(10)}    '.join(sorted(names))},\n)"
        lines.append(line if len(line) <= _LINE else wrapped)
    return lines


def _header(classes: dict[str, str], files: list[SourceFile]) -> str:
    return "\n".join(
        [
            f'"""{", ".join(sorted(classes.values()))} of chromhub {version("chromhub")}, in one file for the Hub.',
            "",
            "Generated by `chromhub push` from these files of chromhub's modeling/, in this order; edit those:",
            *(f"{file.name}.py" for file in files),
            '"""',
            "",
        ]
    )


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_all(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and [t.id for t in node.targets if isinstance(t, ast.Name)] == ["__all__"]
