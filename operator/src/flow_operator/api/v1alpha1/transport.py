"""What keeps credentials where they belong: out of URLs, and off unencrypted connections."""

from typing import Annotated, Any

from pydantic import Field

from flow_operator.api.rules import Rule, without

HOST_NAME = r"([A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]+\])"
"""A host's name or address in a URL."""

HOST = HOST_NAME + "(:[0-9]{1,5})?"
"""A host's name or address in a URL, with or without a port."""

Insecure = Annotated[
    bool | None,
    Field(
        description=(
            "Allows sending the credentials of secretRef over plain HTTP, where anybody on the "
            "way can read them."
        )
    ),
]


def no_credentials(field: str) -> Rule:
    """Build the rule that a URL holds no user and no password."""
    return without(
        r"^[^/]*//[^/]*@|^[^/]*@",
        f"{field} must not contain credentials (user@ or user:password@): put them into a Secret "
        "and name it in secretRef",
        forbidden=True,
    )


def encrypted(field: str) -> Rule:
    """Build the rule that a Secret's credentials go over plain HTTP only on purpose."""

    def check(source: dict[str, Any]) -> bool:
        return (
            "secretRef" not in source
            or not source.get(field, "https://").startswith("http://")
            or source.get("insecure", False)
        )

    return Rule(
        cel=(
            f"!has(self.secretRef) || !has(self.{field}) || !self.{field}.startsWith('http://') "
            "|| (has(self.insecure) && self.insecure)"
        ),
        message=(
            f"{field} is plain HTTP and secretRef is set: the credentials could be read on the "
            "way. Use https://, or set insecure: true"
        ),
        check=check,
        field=field,
        forbidden=True,
    )
