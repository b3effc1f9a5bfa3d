"""The runtime of deployments: the durable engine, one deployment's run, the ports."""
