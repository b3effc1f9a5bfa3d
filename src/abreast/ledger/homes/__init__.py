"""Homes of ledgers that outlive the machine: a git ref of the project's remote, or a PostgreSQL database."""
