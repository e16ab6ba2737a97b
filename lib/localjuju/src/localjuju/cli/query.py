"""The language of `juju wait-for --query`: parse once, evaluate on plain data.

`life=="alive" && status=="active"`, `forEach(units, unit => unit.workload-status=="active")`,
`len(units) >= 3`, `startsWith(name, "key")`. Names are those of the entity's data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>-?\d+(?:\.\d+)?)
    | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<name>[A-Za-z_][\w-]*)
    | (?P<mark>=>|==|!=|<=|>=|&&|\|\||[-<>!().,\[\]])
    )""",
    re.VERBOSE,
)
_KEYWORDS = {"true": True, "false": False}

Scope = Mapping[str, Any]
Expression = Callable[[Scope], Any]


class QueryError(Exception):
    """A query cannot be read, or does not fit the data; the text says where."""


class _Token(NamedTuple):
    kind: str
    text: str
    place: int


def parse(query: str) -> Expression:
    """Return a query as a function of an entity's data.

    Raises:
        QueryError: It is no query; the function raises it when a name is unknown.
    """
    parser = _Parser(query)
    expression = parser.either()
    parser.end()
    return expression


class _Parser:
    """Recursive descent, one method for each level of binding, from loose to tight."""

    def __init__(self, query: str) -> None:
        self._query = query
        self._tokens = list(_tokens(query))
        self._next = 0

    def either(self) -> Expression:
        return self._joined("||", self.both, lambda a, b: lambda s: bool(a(s)) or bool(b(s)))

    def both(self) -> Expression:
        return self._joined(
            "&&", self.comparison, lambda a, b: lambda s: bool(a(s)) and bool(b(s))
        )

    def _joined(
        self,
        mark: str,
        tighter: Callable[[], Expression],
        join: Callable[[Expression, Expression], Expression],
    ) -> Expression:
        left = tighter()
        while self._take(mark):
            left = join(left, tighter())
        return left

    def comparison(self) -> Expression:
        left = self.negation()
        for mark, compare in _COMPARISONS.items():
            if self._take(mark):
                return _compared(left, self.negation(), compare)
        return left

    def negation(self) -> Expression:
        if self._take("!"):
            inner = self.negation()
            return lambda scope: not inner(scope)
        return self.value()

    def value(self) -> Expression:
        token = self._token()
        if token.kind == "number":
            number = float(token.text)
            return lambda _: number
        if token.kind == "text":
            text = re.sub(r"\\(.)", r"\1", token.text[1:-1])
            return lambda _: text
        if token.text == "(":
            inner = self.either()
            self._expect(")")
            return inner
        if token.kind != "name":
            raise self._error(token)
        if token.text in _KEYWORDS:
            fixed = _KEYWORDS[token.text]
            return lambda _: fixed
        if self._take("("):
            return self._call(token)
        return self._members(token)

    def _members(self, token: _Token) -> Expression:
        found = _named(token.text)
        while True:
            if self._take("."):
                member = self._token()
                if member.kind != "name":
                    raise self._error(member)
                found = _member(found, lambda _, name=member.text: name)
            elif self._take("["):
                key = self.either()
                self._expect("]")
                found = _member(found, key)
            else:
                return found

    def _call(self, token: _Token) -> Expression:
        if token.text == "forEach":
            items = self.either()
            self._expect(",")
            variable = self._token()
            self._expect("=>")
            body = self.either()
            self._expect(")")
            return _for_each(items, variable.text, body)
        function = _FUNCTIONS.get(token.text)
        if function is None:
            raise self._error(token)
        arguments: list[Expression] = []
        while not self._take(")"):
            if arguments:
                self._expect(",")
            arguments.append(self.either())
        return lambda scope: function(*(argument(scope) for argument in arguments))

    def _take(self, mark: str) -> bool:
        if self._next < len(self._tokens) and self._tokens[self._next].text == mark:
            self._next += 1
            return True
        return False

    def _expect(self, mark: str) -> None:
        if not self._take(mark):
            raise self._error(self._token(), f"expected {mark}")

    def _token(self) -> _Token:
        if self._next == len(self._tokens):
            raise QueryError(f"query ends too early: {self._query}")
        self._next += 1
        return self._tokens[self._next - 1]

    def end(self) -> None:
        if self._next < len(self._tokens):
            raise self._error(self._tokens[self._next])

    def _error(self, token: _Token, hint: str = "") -> QueryError:
        more = f", {hint}" if hint else ""
        return QueryError(
            f"syntax error at {token.place}: unexpected {token.text!r}{more} in {self._query}"
        )


def _tokens(query: str) -> list[_Token]:
    found: list[_Token] = []
    place = 0
    end = len(query.rstrip())
    while place < end:
        match = _TOKEN.match(query, place)
        if match is None or match.lastgroup is None:
            raise QueryError(f"syntax error at {place}: {query}")
        kind = match.lastgroup
        found.append(_Token(kind, match[kind], match.start(kind)))
        place = match.end()
    return found


def _named(name: str) -> Expression:
    def evaluate(scope: Scope) -> Any:
        if name not in scope:
            known = ", ".join(sorted(scope))
            raise QueryError(f'identifier "{name}" not found; there are: {known}')
        return scope[name]

    return evaluate


def _member(whole: Expression, key: Expression) -> Expression:
    def evaluate(scope: Scope) -> Any:
        found, name = whole(scope), key(scope)
        if not isinstance(found, Mapping) or name not in found:
            raise QueryError(f'field "{name}" not found')
        return cast(Mapping[Any, Any], found)[name]

    return evaluate


def _for_each(items: Expression, variable: str, body: Expression) -> Expression:
    def evaluate(scope: Scope) -> bool:
        found = items(scope)
        values = cast(Mapping[Any, Any], found).values() if isinstance(found, Mapping) else found
        return all(bool(body({**scope, variable: item})) for item in cast(list[Any], values))

    return evaluate


def _compared(
    left: Expression, right: Expression, compare: Callable[[Any, Any], bool]
) -> Expression:
    def evaluate(scope: Scope) -> bool:
        a, b = left(scope), right(scope)
        try:
            return compare(a, b)
        except TypeError as error:
            raise QueryError(f"cannot compare {a!r} and {b!r}") from error

    return evaluate


def _starts_with(text: Any, start: Any) -> bool:
    return str(text).startswith(str(start))


def _ends_with(text: Any, end: Any) -> bool:
    return str(text).endswith(str(end))


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "len": len,
    "startsWith": _starts_with,
    "endsWith": _ends_with,
}
