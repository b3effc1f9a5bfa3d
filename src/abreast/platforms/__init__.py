"""Where services run: the port, and one folder or file per platform."""
