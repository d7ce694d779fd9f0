"""Which chat services may be asked, by the names that Apprise gives them."""

from typing import Final

PUBLIC: Final = frozenset(
    {
        "discord",
        "gchat",
        "line",
        "pbul",
        "pover",
        "slack",
        "tgram",
        "threema",
        "twilio",
        "vonage",
        "whatsapp",
        "wxteams",
    }
)
"""Services whose messages go to one host of theirs, whatever the address says. Read from the source of Apprise 2.3."""

SELF_HOSTED: Final = frozenset(
    {
        *("apprise", "apprises", "form", "forms", "gotify", "gotifys", "json", "jsons", "matrix", "matrixs"),
        *("mmost", "mmosts", "nctalk", "nctalks", "ntfy", "ntfys", "rocket", "rockets", "signal", "signals"),
        *("workflows", "xml", "xmls", "zulip"),
    }
)
"""Services at a host that the address names: it may be one of our own network. Nothing else is ever asked."""


def service_of(address: str) -> str:
    """Return the service that an address names."""
    return address.partition("://")[0].lower()


def services_in(names: str) -> frozenset[str]:
    """Return the services of a list with commas.

    Raises:
        ValueError: one of them is not public.
    """
    named = frozenset(filter(None, (name.strip() for name in names.split(","))))
    if named - PUBLIC:
        raise ValueError(f"expected some of {', '.join(sorted(PUBLIC))}; not among them: {', '.join(named - PUBLIC)}")
    return named
