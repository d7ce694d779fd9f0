"""Rules of the code that no linter of ours knows."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LONGEST_HANDLER = 6


def handlers() -> Iterator[Any]:
    for path in sorted(ROOT.glob("services/*/handlers.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.AsyncFunctionDef):
                yield pytest.param(node, id=f"{path.parent.name}.{node.name}")


@pytest.mark.parametrize("handler", list(handlers()))
def test_a_handler_maps_calls_and_returns(handler: ast.AsyncFunctionDef) -> None:
    body = handler.body[1:] if ast.get_docstring(handler) else handler.body
    lines = body[-1].end_lineno - body[0].lineno + 1
    assert lines <= LONGEST_HANDLER, f"{handler.name} has {lines} lines: let the service do it"


def test_the_contract_imports_pydantic_and_the_standard_library_only() -> None:
    allowed = {*sys.stdlib_module_names, "schemas", "pydantic", "pydantic_core"}
    for path in sorted(ROOT.glob("schemas/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            foreign = [name for name in names if name.split(".")[0] not in allowed]
            assert not foreign, f"{path.relative_to(ROOT)} imports {foreign}"
