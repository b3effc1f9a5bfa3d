"""Keeps the processes of one environment running, outliving the command that asked for them."""
