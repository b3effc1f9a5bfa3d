"""The published schema of bills of materials."""


def sbom_faults(text: str) -> str | None:
    """Return how a document breaks CycloneDX 1.6, or None."""
    # here, not above: it prepares all the formats that any schema knows, which takes seconds in each process
    from cyclonedx.schema import SchemaVersion  # noqa: PLC0415
    from cyclonedx.validation.json import JsonStrictValidator  # noqa: PLC0415

    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    return None if fault is None else repr(fault)
