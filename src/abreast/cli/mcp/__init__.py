"""The commands that an agent may give, as tools of the Model Context Protocol."""
