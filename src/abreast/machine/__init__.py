"""Access to the operating system: processes, threads, sockets, TLS. Linux only."""
