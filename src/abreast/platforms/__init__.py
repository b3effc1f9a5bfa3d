"""Where services run: a port, and a folder or file for each platform."""
