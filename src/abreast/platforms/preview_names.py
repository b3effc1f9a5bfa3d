"""Names of what platforms make for previews."""

import hashlib

_DIGEST_LENGTH = 6


def preview_label(name: str, longest: int) -> str:
    """Return a name for the preview ``name`` of at most ``longest`` characters: letters, digits and single hyphens.

    A name that does not fit is cut and gets a digest, so that no two previews share one. The same name always leads to
    the same result.
    """
    label = "-".join(filter(None, name.split("-")))
    if label == name and len(name) <= longest:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST_LENGTH]
    return f"{label[: longest - _DIGEST_LENGTH - 1].rstrip('-')}-{digest}"
