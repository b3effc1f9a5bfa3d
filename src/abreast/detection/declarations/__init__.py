"""One file for each format in which a repository already declares its services for another platform."""
