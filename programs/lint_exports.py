"""Names that modules of the package use of each other stand in ``__all__``: ``python -m programs.lint_exports``.

Reads source alone and imports nothing of it. Only the package is judged as a user: tests may look at private names.
A name reached by a string (``getattr``, Airflow's lazy commands) isn't seen.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["breaches", "main"]

PACKAGE = Path(__file__).parents[1] / "cloudindex_provider"


@dataclass(frozen=True, slots=True)
class Module:
    """One file: what it defines at its top level, and what it exports; ``None``: it has no ``__all__``."""

    name: str
    path: Path
    tree: ast.Module
    defined: frozenset[str]
    exported: tuple[str, ...] | None
    exported_at: int = 1


@dataclass(frozen=True, order=True, slots=True)
class Use:
    """A name of another module, used in a line."""

    line: int
    module: str
    name: str


def main(folder: Path = PACKAGE) -> int:
    """Print every breach; 0 when there is none."""
    found = list(breaches(folder))
    for breach in found:
        print(breach)
    if not found:
        print("Every name that modules use of each other stands in __all__.")
    return 1 if found else 0


def breaches(folder: Path) -> Iterator[str]:
    """Every breach of the package in this folder, as ``path:line: what is wrong; what to do``."""
    modules = {module.name: module for module in _read(folder)}
    for module in modules.values():
        for line, text in (*_of_exports(module), *_of_uses(module, modules)):
            yield f"{module.path.relative_to(folder.parent)}:{line}: {text}"


def _of_exports(module: Module) -> Iterator[tuple[int, str]]:
    for name in module.exported or ():
        if name not in module.defined:
            yield module.exported_at, f"`{name}` is in __all__ but not in the module; remove or define it"


def _of_uses(module: Module, modules: dict[str, Module]) -> Iterator[tuple[int, str]]:
    finder = _Uses(module, modules)
    finder.visit(module.tree)
    for use in sorted(finder.found):
        used = modules[use.module]
        if use.name.startswith("_") and not use.name.endswith("__"):
            yield use.line, f"`{use.name}` is private to {used.name}; give it a public name in __all__ there"
        elif used.exported is None:
            yield (
                use.line,
                f"`{use.name}` is used of {used.name}, which has no __all__ (a literal list); write one there",
            )
        elif use.name not in used.exported:
            yield use.line, f"`{use.name}` is not in __all__ of {used.name}; add it there"


class _Uses(ast.NodeVisitor):
    """Collects what one module uses of others. Knows scopes: a local variable may have a module's name."""

    def __init__(self, module: Module, modules: dict[str, Module]) -> None:
        self.found: set[Use] = set()
        self._module = module
        self._modules = modules
        self._scopes: list[dict[str, str | None]] = [{}]  # a name to the module it stands for; ``None``: a variable

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.asname:
                self._scopes[-1][alias.asname] = alias.name
            else:
                self._scopes[-1][alias.name.partition(".")[0]] = alias.name.partition(".")[0]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            if whole in self._modules:
                self._scopes[-1][alias.asname or alias.name] = whole
            elif node.module in self._modules and alias.name != "*":
                self._note(node, node.module, alias.name)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        for around in (*getattr(node, "decorator_list", []), node.args, getattr(node, "returns", None)):
            if around is not None:
                self.visit(around)
        inside = node.body if isinstance(node.body, list) else [node.body]
        self._scopes.append(dict.fromkeys(_local_names(node.args, inside)))
        for part in inside:
            self.visit(part)
        self._scopes.pop()

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815
    visit_Lambda = visit_FunctionDef  # noqa: N815

    def visit_Attribute(self, node: ast.Attribute) -> None:
        module = self._stands_for(node.value)
        if module in self._modules and f"{module}.{node.attr}" not in self._modules and not node.attr.startswith("__"):
            self._note(node, module, node.attr)
        self.generic_visit(node)

    def _stands_for(self, node: ast.expr) -> str | None:
        if isinstance(node, ast.Name):
            return next((scope[node.id] for scope in reversed(self._scopes) if node.id in scope), None)
        if isinstance(node, ast.Attribute) and (module := self._stands_for(node.value)):
            return f"{module}.{node.attr}"
        return None

    def _note(self, node: ast.stmt | ast.expr, module: str, name: str) -> None:
        if module != self._module.name:
            self.found.add(Use(node.lineno, module, name))


# All names that a function binds itself. Those of inner functions count too: rather a use unseen than one made up.
def _local_names(arguments: ast.arguments, body: Sequence[ast.AST]) -> Iterator[str]:
    for node in (inner for part in (arguments, *body) for inner in ast.walk(part)):
        if isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _read(folder: Path) -> Iterator[Module]:
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        tree = ast.parse(path.read_text(), str(path))
        exports = _Exports()
        exports.read(tree.body)
        yield Module(name, path, tree, frozenset(exports.defined), exports.exported, exports.line)


@dataclass(slots=True)
class _Exports:
    """The top level of a module, as far as names are concerned; branches of ``if`` and ``try`` count too."""

    defined: set[str] = field(default_factory=set)
    exported: tuple[str, ...] | None = None
    line: int = 1

    def read(self, body: list[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self.defined.add(node.name)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                self.defined |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                self._assigned(node)
            elif isinstance(node, ast.If | ast.Try):
                handled = [part for handler in getattr(node, "handlers", []) for part in handler.body]
                self.read([*node.body, *handled, *node.orelse, *getattr(node, "finalbody", [])])

    def _assigned(self, node: ast.Assign | ast.AnnAssign) -> None:
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            self.defined |= {name.id for name in ast.walk(target) if isinstance(name, ast.Name)}
            if isinstance(target, ast.Name) and target.id == "__all__" and node.value is not None:
                with suppress(ValueError):  # not a literal: as if there were none
                    self.exported, self.line = tuple(ast.literal_eval(node.value)), node.lineno


if __name__ == "__main__":
    sys.exit(main())
