"""Whom the images that lateen builds run as. Pure."""

NOBODY = "65532:65532"
"""User and group: `nonroot`, as images without a root user have it. By number, so that everybody can see it is not root."""


def user_of(base: str) -> str:
    """The base's user, unless that is root."""
    return NOBODY if base.partition(":")[0] in ("", "0", "root") else base
