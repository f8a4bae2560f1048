"""Every message that an error of the package can have, read from its source: what varies is ``…``.

A message that is put together elsewhere is followed to where its words stand: a local name to what it is given, a
function of the module to what it returns, a conditional to both its sides. What can't be followed so is named in
``tests/contract/test_troubleshooting.py``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cloudindex_provider import errors

__all__ = ["HOLE", "Raised", "raised", "words_of"]

PACKAGE = Path(errors.__file__).parents[1]
HOLE = "…"
_KINDS = {*errors.__all__, "Unusable", "saying"}
# One of them, by what an answer says; Airflow's own; and why a key failed, which the page shows.
_MORE = {"cls", "kind", "AirflowFailException", "HTTPException", "Failure", "_failed", "fail"}
_SEPARATE = "local"  # the embedded server's errors are the service's
_DEEPEST = 6  # how far a name is followed


@dataclass(frozen=True)
class Raised:
    """Where an error is made, as what, and what it may say. Without texts its words couldn't be found."""

    kind: str
    module: str
    function: str
    texts: frozenset[str]


@cache
def raised() -> tuple[Raised, ...]:
    """All of them, in the order of the source."""
    modules = [path.relative_to(PACKAGE) for path in sorted(PACKAGE.rglob("*.py"))]
    ours = [module.as_posix() for module in modules if module.parts[0] != _SEPARATE]
    trees = {name: ast.parse((PACKAGE / name).read_text(encoding="utf-8")) for name in ours}
    return tuple(one for name, tree in trees.items() for one in _Module(name, tree).raised())


def words_of(module: str, *functions: str) -> set[str]:
    """Every text with something in it that varies, of functions that give a message back among other things."""
    tree = ast.parse((PACKAGE / module).read_text(encoding="utf-8"))
    read = _Module(module, tree)
    found = [node for name in functions for node in ast.walk(read.functions[name]) if isinstance(node, ast.JoinedStr)]
    texts = {_one_line(text) for node in found for text in read.texts(node, read.scope(node))}
    return {text for text in texts if _says(text)}


class _Module:
    def __init__(self, name: str, tree: ast.Module) -> None:
        self.name, self.tree = name, tree
        self.functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        self.parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}

    def raised(self) -> Iterator[Raised]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and (kind := _name(node.func)) in _KINDS | _MORE:
                message = _message(node, kind)
                texts = {_one_line(text) for text in self.texts(message, self.scope(node))} if message else set()
                said = frozenset(text for text in texts if _says(text))
                if said or kind in _KINDS:
                    yield Raised(kind, self.name, getattr(self.scope(node), "name", ""), said)

    def scope(self, node: ast.AST) -> ast.AST:
        while not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Module):
            node = self.parents[node]
        return node

    def texts(self, node: ast.expr, scope: ast.AST, depth: int = 0) -> set[str]:
        """What an expression may say."""
        if depth > _DEEPEST:
            return {HOLE}
        parts = _parts(node)
        if parts:
            return self._joined(parts, scope, depth)
        deeper = depth + 1
        match node:
            case ast.Constant(value=str(text)):
                return {text}
            case ast.Name(id=name):
                return self._named(name, scope, depth)
            case ast.Call():
                return self._called(node, scope, deeper)
        return {text for one in _choices(node) for text in self.texts(one, scope, deeper)} or {HOLE}

    def _called(self, node: ast.Call, scope: ast.AST, depth: int) -> set[str]:
        name = _name(node.func)
        if name == "_sentence" and len(node.args) == 1:
            return {text[:1].upper() + text[1:] for text in self.texts(node.args[0], scope, depth)}
        if isinstance(node.func, ast.Name) and name in self.functions:
            return self._given_back(self.functions[name], depth)
        return {text for one in _choices(node) for text in self.texts(one, scope, depth)} or {HOLE}

    def _given_back(self, function: ast.FunctionDef, depth: int) -> set[str]:
        """What a function of the module returns or yields."""
        found = [node.value for node in ast.walk(function) if isinstance(node, ast.Return | ast.Yield) and node.value]
        values = [value for value in found if not isinstance(value, ast.Constant) or value.value is not None]
        return {text for value in values for text in self.texts(value, function, depth + 1)} or {HOLE}

    def _joined(self, parts: list[ast.expr], scope: ast.AST, depth: int) -> set[str]:
        found = {""}
        for part in parts:
            found = {before + text for before in found for text in self.texts(part, scope, depth)}
        return found

    def _named(self, name: str, scope: ast.AST, depth: int) -> set[str]:
        """What a local or a module's own name is given, wherever that is."""
        found: set[str] = set()
        top = [node for node in self.tree.body if isinstance(node, ast.Assign | ast.AnnAssign)]
        for place, nodes in ((scope, ast.walk(scope)), (self.tree, top)):
            for node in nodes:
                if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                    found |= self._given(name, node, place, depth)
                elif isinstance(node, ast.For) and isinstance(node.target, ast.Name) and node.target.id == name:
                    found |= self.texts(node.iter, place, depth + 1)
            if found:
                return found
        return self._passed(name, scope, depth)

    def _passed(self, name: str, scope: ast.AST, depth: int) -> set[str]:
        """What callers in this module give for a parameter."""
        if not isinstance(scope, ast.FunctionDef):
            return {HOLE}
        names = [one.arg for one in (*scope.args.posonlyargs, *scope.args.args) if one.arg != "self"]
        calls = [node for node in ast.walk(self.tree) if isinstance(node, ast.Call) and _name(node.func) == scope.name]
        if name not in names or not scope.name.startswith("_"):
            return {HOLE}
        place = names.index(name)
        given = [(call.args[place], self.scope(call)) for call in calls if len(call.args) > place]
        texts = {text for value, where in given for text in self.texts(value, where, depth + 1)}
        return {text if " " in text else HOLE for text in texts} or {HOLE}  # a single word is a name that varies

    def _given(self, name: str, node: ast.Assign | ast.AnnAssign, scope: ast.AST, depth: int) -> set[str]:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            if isinstance(target, ast.Name) and target.id == name and node.value is not None:
                return self.texts(node.value, scope, depth + 1)
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = zip(target.elts, node.value.elts, strict=False)
                values = [value for one, value in pairs if isinstance(one, ast.Name) and one.id == name]
                return {text for value in values for text in self.texts(value, scope, depth + 1)}
        return set()


def _parts(node: ast.expr) -> list[ast.expr]:
    """What a text is put together from."""
    match node:
        case ast.JoinedStr(values=values):
            return values
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [left, right]
    return []


def _choices(node: ast.expr) -> list[ast.expr]:
    """The expressions of which one is the value."""
    match node:
        case ast.FormattedValue(value=ast.IfExp() | ast.Name() | ast.Call() as value, format_spec=None):
            return [value]
        case ast.IfExp(body=body, orelse=orelse):
            return [body, orelse]
        case ast.Call(func=ast.Attribute(value=ast.Dict(values=values), attr="get"), args=[_, default]):
            return [*values, default]
    return []


def _name(function: ast.expr) -> str:
    return (
        function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""
    )


def _message(call: ast.Call, kind: str) -> ast.expr | None:
    place = 1 if kind == "HTTPException" else 0  # after its status
    return call.args[place] if len(call.args) > place else _keyword(call, "message")


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((one.value for one in call.keywords if one.arg == name), None)


def _one_line(text: str) -> str:
    text = re.sub(r"(…\s?)+", lambda found: HOLE + (" " if found[0].endswith(" ") else ""), " ".join(text.split()))
    return (
        text.replace("(…: …)", "(…)")
        .replace("…; and … more", HOLE)
        .replace("… and … more", HOLE)
        .replace("()", "(…)")
        .replace(" .", " ….")
    )


def _says(text: str) -> bool:
    """Whether there are words between what varies."""
    return re.search(r"\w{2}", text.replace(HOLE, "")) is not None
