"""What runs chapters: the durable engine, one deployment's run, the ports."""
