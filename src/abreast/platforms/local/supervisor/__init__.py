"""Keeps the processes of one environment running after the command that started them has exited."""
