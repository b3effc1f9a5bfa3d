"""Load and validate abreast.yml. Every error has its file:line:column."""
