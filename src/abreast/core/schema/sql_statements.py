"""Split SQL into statements, each with its first line, by the parser's tokens."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlglot import tokenize
from sqlglot.errors import TokenError

from abreast.core.schema.migration_files import MigrationStep

DIALECTS = {"sqlite": "sqlite", "postgresql": "postgres"}
"""The parser's names of the engines."""


def split_statements(step: MigrationStep, engine: str) -> Iterator[tuple[int, str]]:
    """Yield the line and text of each statement. Raises ValueError if the SQL cannot be tokenized."""
    try:
        tokens = sql_tokens(step.sql, engine)
    except TokenError as error:
        raise ValueError(str(error).splitlines()[0]) from error
    pending: list[Any] = []
    for token in tokens:
        if token.token_type.name == "SEMICOLON" and not _is_in_body(pending):
            if pending:
                yield _numbered_statement(step, pending)
            pending = []
        else:
            pending.append(token)
    if pending:
        yield _numbered_statement(step, pending)


def sql_tokens(text: str, engine: str) -> Sequence[Any]:
    """Return the parser's tokens."""
    return tokenize(text, read=DIALECTS[engine])


def normalized_tokens(statement: str, engine: str) -> tuple[str, ...]:
    """Return a statement's tokens in upper case, without string literals. Quoted identifiers stay as they are."""
    tokens = sql_tokens(statement, engine)
    if tokens and tokens[0].token_type.name == "COMMAND":  # the tokenizer leaves the rest as one text
        return (tokens[0].text.upper(), *normalized_tokens(statement[tokens[0].end + 1 :], engine))
    words = (token for token in tokens if token.token_type.name != "STRING")
    return tuple(f'"{word.text}"' if word.token_type.name == "IDENTIFIER" else word.text.upper() for word in words)


def _is_in_body(tokens: Sequence[Any]) -> bool:
    """Whether the tokens are inside a body of statements, as in a trigger."""
    texts = [token.text.upper() for token in tokens]
    if not {"TRIGGER", "FUNCTION", "PROCEDURE"} & set(texts[:5]) or texts[:1] != ["CREATE"]:
        return False
    begun = sum(word in {"BEGIN", "CASE"} for word in texts)
    return begun > texts.count("END")


def _numbered_statement(step: MigrationStep, tokens: Sequence[Any]) -> tuple[int, str]:
    first, last = tokens[0], tokens[-1]
    return step.line + first.line - 1, step.sql[first.start : last.end + 1]


def transaction_end_fault(step: MigrationStep, engine: str) -> str:
    """Return the fault of a step that ends its own transaction, as ``LINE: remedy``; "" if it does not."""
    if not step.in_transaction:
        return ""
    try:
        statements = [(line, normalized_tokens(text, engine)) for line, text in split_statements(step, engine)]
    except ValueError:  # the compatibility rules report SQL that cannot be read
        return ""
    for line, tokens in statements:
        if (tokens[:1] in _TRANSACTION_ENDS or tokens[:2] == ("PREPARE", "TRANSACTION")) and "TO" not in tokens[:3]:
            return f"{line}: {tokens[0]} ends the transaction: remove it, or add -- no-transaction"
    return ""


_TRANSACTION_ENDS = {("COMMIT",), ("END",), ("ROLLBACK",), ("ABORT",)}
