"""People are told by e-mail, over TLS."""
