"""Access to the operating system: processes, threads, sockets, TLS. ``kernel/`` chooses by platform."""
