"""The only place that names concrete classes: plug-ins by name, and the parts of abreast put together for a project."""
