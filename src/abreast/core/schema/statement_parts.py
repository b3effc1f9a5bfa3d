"""The statements inside a statement: each action of an ALTER TABLE, and each statement of a DO block."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from sqlglot import parse_one
from sqlglot.errors import ParseError, TokenError

from abreast.core.schema.migration_outline import Statement
from abreast.core.schema.sql_statements import DIALECTS, sql_tokens

_BLOCK = re.compile(
    r"\s*DO\s+(?:LANGUAGE\s+'?plpgsql'?\s+)?\$(\w*)\$(?P<body>.*)\$\1\$(?:\s+LANGUAGE\s+'?plpgsql'?)?\s*",
    re.IGNORECASE | re.DOTALL,
)
_UP_TO = {"IF": "THEN", "ELSIF": "THEN", "ELSEIF": "THEN", "WHEN": "THEN", "FOR": "LOOP", "FOREACH": "LOOP",
          "WHILE": "LOOP"}  # fmt: skip
"""Control words of PL/pgSQL, and the word after which statements follow."""
_OPENING = frozenset({"BEGIN", "ELSE", "LOOP", "EXCEPTION"})
_INERT = frozenset({"END", "RAISE", "RETURN", "NULL", "EXIT", "CONTINUE", "GET", "OPEN", "FETCH", "CLOSE", "ASSERT",
                    "PERFORM", "<<", "MOVE"})  # fmt: skip
"""First words of what changes nothing by itself."""
_HARMLESS_TEXT = re.compile(
    r"\s*(grant|comment on|analyze|select|alter default privileges"
    r"|create (role|user|extension|schema|publication|index concurrently|(or replace )?(function|trigger|view)))\b",
    re.IGNORECASE,
)
"""Beginnings of computed statements that remove nothing, whatever follows."""


def parse_statement(text: str, engine: str) -> Any:  # noqa: ANN401 (a sqlglot expression, None for invalid SQL)
    """Return the syntax tree of a statement."""
    try:
        return parse_one(text, read=DIALECTS[engine])
    except (ParseError, TokenError, ValueError):
        return None


def statement_parts(line: int, text: str, engine: str) -> Iterator[Statement]:
    """Yield the statements of which a statement consists, each with its line: most are one."""
    if engine == "postgresql" and (block := _BLOCK.fullmatch(text)):
        try:
            yield from _block_statements(block["body"], line + text.count("\n", 0, block.start("body")), engine)
            return
        except TokenError:
            pass
    for part in _single_actions(text, engine):
        yield Statement(line, part, parse_statement(part, engine))


def _single_actions(text: str, engine: str) -> Iterator[str]:
    """Yield an ALTER TABLE once for each of its actions, and any other statement as it is."""
    tokens = sql_tokens(text, engine)
    if [token.text.upper() for token in tokens[:2]] != ["ALTER", "TABLE"]:
        yield text
        return
    begin = _action_start(tokens)
    prefix, depth = text[tokens[0].start : tokens[begin].start] if begin < len(tokens) else "", 0
    for at, token in enumerate(tokens[begin:], begin):
        depth += (token.text in {"(", "["}) - (token.text in {")", "]"})
        if token.text == "," and not depth:
            yield prefix + text[tokens[begin].start : tokens[at - 1].end + 1]
            begin = at + 1
    yield prefix + text[tokens[begin].start : tokens[-1].end + 1] if begin < len(tokens) else text


def _action_start(tokens: Sequence[Any]) -> int:
    """Return where the actions of an ALTER TABLE begin: after the table's name."""
    at = 2
    while at < len(tokens) and tokens[at].text.upper() in {"IF", "EXISTS", "ONLY"}:
        at += 1
    while at + 1 < len(tokens) and tokens[at + 1].text == ".":
        at += 2
    return at + 1 + (at + 1 < len(tokens) and tokens[at + 1].text == "*")


def _block_statements(body: str, line: int, engine: str) -> Iterator[Statement]:
    is_declaring = False
    for tokens in _chunks(body, engine):
        word = tokens[0].text.upper()
        is_declaring = (is_declaring or word == "DECLARE") and word != "BEGIN"
        own = [] if is_declaring else _without_control(tokens)
        if own:
            text = body[own[0].start : own[-1].end + 1]
            yield from _part_of_block(own, text, line + body.count("\n", 0, own[0].start), engine)


def _chunks(body: str, engine: str) -> Iterator[list[Any]]:
    """Yield the tokens between semicolons."""
    chunk: list[Any] = []
    # The tokenizer takes all after these words for one text.
    plain = re.sub(r"\b(EXECUTE|CALL)\b", lambda word: "_" * len(word[0]), body, flags=re.IGNORECASE)
    for token in sql_tokens(plain, engine):
        if token.text == ";":
            if chunk:
                yield chunk
            chunk = []
        else:
            chunk.append(token)
    if chunk:
        yield chunk


def _without_control(tokens: list[Any]) -> list[Any]:
    """Return a chunk without the control words before its statement; nothing if it is none."""
    while tokens:
        word = tokens[0].text.upper()
        if word in _OPENING:
            tokens = tokens[1:]
        elif word in _UP_TO:
            tokens = tokens[_position(tokens, _UP_TO[word]) + 1 :]
        elif word in _INERT or (len(tokens) > 1 and tokens[1].text in {":=", "="}):
            return []
        else:
            return tokens
    return []


def _position(tokens: Sequence[Any], word: str) -> int:
    """Return where a control word stands, outside of parentheses and CASE expressions."""
    depth = 0
    for at, token in enumerate(tokens):
        text = token.text.upper()
        depth += (text in {"(", "CASE"}) - (text in {")", "END"})
        if text == word and not depth:
            return at
    return len(tokens)


def _part_of_block(tokens: Sequence[Any], text: str, line: int, engine: str) -> Iterator[Statement]:
    if text[:7].upper() != "EXECUTE":
        yield from statement_parts(line, text, engine)
        return
    first = next((token for token in tokens if token.token_type.name in {"STRING", "HEREDOC_STRING"}), None)
    literal = first.text.replace("_______", "EXECUTE") if first else ""
    after = tokens[2].text.upper() if len(tokens) > 2 else "USING"
    if first is tokens[1] and after in {"USING", "INTO"}:
        yield from statement_parts(line, literal, engine)
    elif not _HARMLESS_TEXT.match(literal):
        yield Statement(line, text, None)
