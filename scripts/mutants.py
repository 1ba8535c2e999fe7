"""Mutants of a source: one place in it changed, so that a test ought to fail.

Comparisons, conditions, orders and constants, in Python and in the SQL of its strings. Left out is what
cannot matter or is no behaviour: documentation, annotations, decorators, log lines and metrics, the words
of exceptions, assertions for the type checker.
"""

import ast
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import unified_diff

_COMPARISONS: dict[type[ast.cmpop], tuple[str, ...]] = {
    ast.Lt: ("<=", ">="),
    ast.LtE: ("<", ">"),
    ast.Gt: (">=", "<="),
    ast.GtE: (">", "<"),
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
}

# What is written to a log, counted, or only says a type.
_QUIET_CALLS = frozenset(
    {
        *("Counter", "Gauge", "Histogram", "Summary", "TypeVar", "cast", "get_logger", "labels"),
        *("debug", "info", "warning", "error", "exception", "critical"),
    }
)

# Arguments that are passed along everywhere and are like no other.
_SERVICE = re.compile(
    r"(self|self\._?)?\.?_?(tx|connection|db|database|vault|clock|client|log|actor)|self"
)

_ANY_ORDER = frozenset({"isinstance", "min", "max", "zip", "gather", "compare_digest"})

_STATEMENT = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|WHERE|ORDER BY|FOR UPDATE)\b")

# Each pattern of SQL, and what may stand in its place.
_SQL: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"\bORDER BY [\w.]+(?:, [\w.]+)*(?: DESC)?(?=\s|$|\))", ("",)),
    (r"(?<=\bORDER BY )([\w.]+), ([\w.]+)(?=\s|$|\))", (r"\2, \1",)),
    (r"(\bORDER BY [\w.]+)(?= (?:LIMIT|FOR)\b|$|\))", (r"\1 DESC",)),
    (r" DESC\b", ("",)),
    (r"\bFOR (?:NO KEY )?UPDATE(?: OF \w+)?(?: SKIP LOCKED)?", ("",)),
    (r"\bFOR (?:KEY )?SHARE(?: OF \w+)?", ("",)),
    (r" SKIP LOCKED\b", ("",)),
    (r"(?<= )<=(?= )", ("<",)),
    (r"(?<= )>=(?= )", (">",)),
    (r"(?<= )<(?= )", ("<=",)),
    (r"(?<= )>(?= )", (">=",)),
    (r"(?<= )<>(?= )", ("=",)),
    (r"\bIS NOT NULL\b", ("IS NULL",)),
    (r"\bIS NULL\b", ("IS NOT NULL",)),
    (r"\bIS DISTINCT FROM\b", ("IS NOT DISTINCT FROM",)),
    (r"(?<= )AND(?= )(?! INTERVAL)", ("OR",)),
    (r"(?<= )OR(?= )", ("AND",)),
    (r"\bgreatest\b", ("least",)),
    (r"\bleast\b", ("greatest",)),
    (r"\bmin\(", ("max(",)),
    (r"\bmax\(", ("min(",)),
    (r"(?<= )\+(?= )", ("-",)),
    (r"(?<= )-(?= )", ("+",)),
    (r"(?<![\w$'.])(\d+)(?![\w'.])", ("+1",)),
    (r"(?<=')(?=\w+')", ("x",)),
    (r"\btrue\b", ("false",)),
    (r"\bfalse\b", ("true",)),
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """`start` and `end` are places in the text, `kind` one of the four, or one of them in SQL.

    `id` stays the same while the surrounding function does, wherever in the file it moves.
    """

    id: str
    path: str
    scope: str
    line: int
    start: int
    end: int
    old: str
    new: str
    kind: str

    def applied(self, text: str) -> str:
        """The source with the mutant in it."""
        return text[: self.start] + self.new + text[self.end :]

    def diff(self, text: str) -> str:
        """As `diff -u` shows it, with a line around."""
        lines = unified_diff(
            text.splitlines(),
            self.applied(text).splitlines(),
            self.path,
            self.path,
            n=1,
            lineterm="",
        )
        return "\n".join(lines)


def mutants(path: str, text: str) -> list[Mutant]:
    """Every mutant of a source, in its order; some may not compile."""
    found = _Finder(path, text)
    found.visit(ast.parse(text))
    return found.made


def sample(sources: Mapping[str, str], count: int, seed: int) -> list[Mutant]:
    """`count` mutants of these texts by path, at most one of each place, as the seed says.

    A mutant's rank follows from its own id, so that a change elsewhere leaves the others in the sample.
    """
    found = [mutant for path, text in sources.items() for mutant in mutants(path, text)]

    def rank(mutant: Mutant) -> bytes:
        return hashlib.sha256(f"{seed} {mutant.id}".encode()).digest()

    chosen: dict[tuple[str, int], Mutant] = {}
    for item in sorted(found, key=rank):
        if len(chosen) == count:
            break
        if (item.path, item.start) not in chosen and _compiles(item.applied(sources[item.path])):
            chosen[item.path, item.start] = item
    return list(chosen.values())


class _Finder(ast.NodeVisitor):
    """Walks a source and keeps what may be changed in it."""

    def __init__(self, path: str, text: str) -> None:
        self.made: list[Mutant] = []
        self._path = path
        self._text = text
        self._starts = [0]
        for line in text.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._lines = text.splitlines(keepends=True)
        self._scope: list[str] = []
        self._times: dict[str, int] = {}

    # What is left out.

    def visit_Assert(self, node: ast.Assert) -> None:
        pass

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_arguments(self, node: ast.arguments) -> None:
        for default in (*node.defaults, *node.kw_defaults):
            if default is not None:
                self.visit(default)

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        names = {target.id for target in node.targets if isinstance(target, ast.Name)}
        if not names & {"__all__", "__slots__"}:
            self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        if isinstance(node.exc, ast.Call):
            for arg in node.exc.args:
                if not isinstance(arg, (ast.Constant, ast.JoinedStr)):
                    self.visit(arg)

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) in {"TYPE_CHECKING", "__name__ == '__main__'"}:
            return
        self._condition(node.test)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._scope.append(node.name)
        self.visit(node.args)
        for item in node.body:
            self.visit(item)
        self._scope.pop()

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - the name is ast's

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._scope.append(node.name)
        for item in node.body:
            if isinstance(item, ast.Assign) and isinstance(item.value, ast.Constant):
                self._text_constant(item.value)
            self.visit(item)
        self._scope.pop()

    # What is changed.

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._condition(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for item in node.ifs:
            self._condition(item)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        other = (" and ", " or ") if isinstance(node.op, ast.And) else (" or ", " and ")
        for left, right in zip(node.values, node.values[1:], strict=False):
            start, end = self._end(left), self._start(right)
            word = re.search(rf"\b{other[0].strip()}\b", self._text[start:end])
            if word:
                self._add(start + word.start(), start + word.end(), other[1].strip(), "condition")
        # Without its last operand, or without the first.
        first, last = node.values[0], node.values[-1]
        self._add(self._end(node.values[-2]), self._end(last), "", "condition")
        self._add(self._start(first), self._start(node.values[1]), "", "condition")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._add(self._start(node), self._start(node.operand), "", "condition")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        left = node.left
        for operator, right in zip(node.ops, node.comparators, strict=True):
            start, end = self._end(left), self._start(right)
            between = self._text[start:end]
            word = re.search(r"is\s+not|not\s+in|[<>=!]=?|\bis\b|\bin\b", between)
            if word:
                for new in _COMPARISONS[type(operator)]:
                    self._add(start + word.start(), start + word.end(), new, "comparison")
            left = right
        for comparator in (node.left, *node.comparators):
            self._text_constant(comparator)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = _called(node)
        if name in _QUIET_CALLS:
            return
        if name in {"sorted", "sort"} and not any(
            keyword.arg == "reverse" for keyword in node.keywords
        ):
            end = self._end(node) - 1
            before = self._text[:end].rstrip()
            comma = "" if before.endswith(("(", ",")) else ", "
            self._add(end, end, f"{comma}reverse=True", "order")
        if name in {"min", "max"} and isinstance(node.func, ast.Name):
            new = "max" if name == "min" else "min"
            self._replace(node.func, new, "order")
        if name in {"sorted", "reversed"} and len(node.args) == 1:
            self._replace(node, f"list({self._segment(node.args[0])})", "order")
        if len(node.args) > 1 and name not in _ANY_ORDER:
            for left, right in zip(node.args, node.args[1:], strict=False):
                self._swap(left, right)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        swapped = {ast.Add: "-", ast.Sub: "+", ast.LShift: ">>", ast.RShift: "<<", ast.BitAnd: "|"}
        new = swapped.get(type(node.op))
        if new is not None and not _is_text(node.left) and not _is_text(node.right):
            start, end = self._end(node.left), self._start(node.right)
            word = re.search(r"<<|>>|[-+&]", self._text[start:end])
            if word:
                self._add(start + word.start(), start + word.end(), new, "constant")
        if isinstance(node.op, (ast.Sub, ast.Mod, ast.FloorDiv)) and not _is_text(node.left):
            self._swap(node.left, node.right)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self._text_constant(node.slice)
        self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> None:
        for key in node.keys:
            if key is not None:
                self._text_constant(key)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self._replace(node, str(not value), "constant")
        elif isinstance(value, int):
            self._replace(node, str(value + 1), "constant")
        elif isinstance(value, float):
            self._replace(node, repr(value * 2 + 1), "constant")
        elif isinstance(value, bytes) and value:
            self._replace(node, repr(bytes([value[0] ^ 1]) + value[1:]), "constant")
        elif isinstance(value, str) and _STATEMENT.search(value):
            self._sql(self._start(node), self._end(node))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        if _STATEMENT.search(self._segment(node)):
            self._sql(self._start(node), self._end(node))

    def _condition(self, node: ast.expr) -> None:
        if not isinstance(node, (ast.Compare, ast.BoolOp)) and not _negated(node):
            self._replace(node, f"not ({self._segment(node)})", "condition")

    def _text_constant(self, node: ast.expr) -> None:
        """A name of the wire or of the database."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
            text = self._segment(node)
            self._replace(node, text[:-1] + "x" + text[-1], "constant")

    def _sql(self, start: int, end: int) -> None:
        text = self._text[start:end]
        comment = [(item.start(), item.end()) for item in re.finditer(r"--[^\n]*", text)]
        for pattern, replacements in _SQL:
            for match in re.finditer(pattern, text, re.MULTILINE):
                if any(low <= match.start() < high for low, high in comment):
                    continue
                for new in replacements:
                    made = str(int(match[0]) + 1) if new == "+1" else match.expand(new)
                    kind = "order" if "ORDER" in pattern or "FOR" in pattern else "SQL"
                    self._add(start + match.start(), start + match.end(), made, f"SQL {kind}")

    def _swap(self, left: ast.expr, right: ast.expr) -> None:
        first, second = self._segment(left), self._segment(right)
        if first != second and _alike(left, right):
            start, end = self._start(left), self._end(right)
            between = self._text[self._end(left) : self._start(right)]
            self._add(start, end, second + between + first, "order")

    def _replace(self, node: ast.AST, new: str, kind: str) -> None:
        self._add(self._start(node), self._end(node), new, kind)

    def _add(self, start: int, end: int, new: str, kind: str) -> None:
        old = self._text[start:end]
        line = self._text.count("\n", 0, start) + 1
        scope = ".".join(self._scope)
        around = f"{self._path} {scope} {self._lines[line - 1].strip()} {old} {new}"
        self._times[around] = self._times.get(around, 0) + 1
        name = hashlib.sha256(f"{around} {self._times[around]}".encode()).hexdigest()[:12]
        self.made.append(Mutant(name, self._path, scope, line, start, end, old, new, kind))

    def _start(self, node: ast.AST) -> int:
        return self._place(node.lineno, node.col_offset)  # type: ignore[attr-defined]

    def _end(self, node: ast.AST) -> int:
        return self._place(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]

    def _place(self, line: int, column: int) -> int:
        # ast counts columns in bytes of UTF-8.
        before = self._lines[line - 1].encode()[:column].decode()
        return self._starts[line - 1] + len(before)

    def _segment(self, node: ast.AST) -> str:
        return self._text[self._start(node) : self._end(node)]


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _alike(left: ast.expr, right: ast.expr) -> bool:
    """Whether two operands may be of one type: what would fail at once for any caller shows nothing."""
    if isinstance(left, ast.Starred) or isinstance(right, ast.Starred):
        return False
    if _is_text(left) or _is_text(right):
        return _is_text(left) and _is_text(right)
    if isinstance(left, ast.Constant) or isinstance(right, ast.Constant):
        return False
    return not any(_SERVICE.fullmatch(ast.unparse(item)) for item in (left, right))


def _negated(node: ast.expr) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _compiles(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def names_at(text: str, line: int) -> set[str]:
    """The names that the statement at a line of a module or a class gives: whoever uses them runs it."""
    module = ast.parse(text)
    return set(_names(module.body, line))


def _names(body: Iterable[ast.stmt], line: int) -> Iterator[str]:
    for item in body:
        if not item.lineno <= line <= (item.end_lineno or item.lineno):
            continue
        if isinstance(item, ast.ClassDef):
            yield item.name
            yield from _names(item.body, line)
        elif isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield item.name
        else:
            for each in ast.walk(item):
                if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
                    yield each.id


def lines_using(text: str, names: set[str]) -> set[int]:
    """The lines of a source that read one of the names, also as an attribute."""
    uses: Callable[[ast.AST], bool] = lambda node: (  # noqa: E731 - it is read once, here
        (isinstance(node, ast.Name) and node.id in names and isinstance(node.ctx, ast.Load))
        or (isinstance(node, ast.Attribute) and node.attr in names)
    )
    return {node.lineno for node in ast.walk(ast.parse(text)) if uses(node)}  # type: ignore[attr-defined]


def function_lines(text: str, line: int) -> range | None:
    """The lines of the innermost function around a line; None outside of functions."""
    found: ast.AST | None = None
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[0].lineno
            if body <= line <= (node.end_lineno or body):
                found = node
    if not isinstance(found, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return None
    return range(found.body[0].lineno, (found.end_lineno or found.lineno) + 1)
