"""The only place that names concrete classes: it registers plug-ins and connects the parts for a project."""
