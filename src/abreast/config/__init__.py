"""abreast.yml to frozen values; every error has its file:line:column."""
