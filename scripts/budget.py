"""The size budget: file and function lengths of src, against fixed bounds. Run by ``make lint``; prints the ten worst.

Bounds come from the measured middle of eight well-kept codebases. Lengths leave out blank lines, comments and docstrings.
"""

from __future__ import annotations

import ast
import statistics
import sys
from pathlib import Path

FILE_MAX, FILE_MEDIAN = 800, 160
FUNCTION_P90, FUNCTION_LONG, LONG_SHARE = 30, 50, 0.04


def functions(tree: ast.AST) -> list[tuple[str, int]]:
    """(name, lines without the docstring) of each function."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            doc = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
            skipped = (first.end_lineno or 0) - first.lineno + 1 if doc else 0
            found.append((node.name, (node.end_lineno or 0) - node.lineno + 1 - skipped))
    return found


def main() -> int:
    """0 when within the budget."""
    files, lengths = {}, []
    for path in sorted(Path("src").rglob("*.py")):
        text = path.read_text()
        files[path] = len(text.splitlines())
        lengths += [(n, f"{path}:{name}") for name, n in functions(ast.parse(text))]
    lengths.sort(reverse=True)
    median = statistics.median(n for n in files.values() if n > 3)
    p90 = lengths[len(lengths) // 10][0]
    share = sum(n > FUNCTION_LONG for n, _ in lengths) / len(lengths)
    print(
        f"files {len(files)}, median {median:.0f}, longest {max(files.values())}; "
        f"functions {len(lengths)}, p90 {p90}, over {FUNCTION_LONG}: {share:.1%}"
    )
    over = [f"{p} has {n} lines (at most {FILE_MAX})" for p, n in files.items() if n > FILE_MAX]
    over += [f"the median file has {median:.0f} lines (at most {FILE_MEDIAN})"] if median > FILE_MEDIAN else []
    over += [f"the 90th percentile of functions is {p90} lines (at most {FUNCTION_P90})"] if p90 > FUNCTION_P90 else []
    over += [f"{share:.1%} of functions are over {FUNCTION_LONG} lines (at most {LONG_SHARE:.0%})"] if share > LONG_SHARE else []
    if over:
        worst = "\n  ".join(f"{n:4} {name}" for n, name in lengths[:10])
        print("over budget:\n  " + "\n  ".join(over) + f"\nlongest functions:\n  {worst}")
    return bool(over)


sys.exit(main())
