"""What we take for a mail address: one that can stand in a header and in SMTP as it is; and for a sender."""

import re

# RFC 5321, section 4.5.3.1, less the two brackets of a path.
MAX_ADDRESS_CHARS = 254
# As HTML has it for `<input type=email>`, with a dot in the domain: nothing in it ends a header or begins another one.
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_LOCAL = r"[A-Za-z0-9_!#$%&'*+/=?^`{|}~-]+"
ADDRESS_PATTERN = rf"^(?=.{{1,64}}@){_LOCAL}(?:\.{_LOCAL})*@{_LABEL}(?:\.{_LABEL})+$"
_ADDRESS = re.compile(ADDRESS_PATTERN, re.ASCII)
# A name without what has a meaning in a header, and an address in brackets.
_NAMED = re.compile(r"([^<>@\",;:\\]+)<([^<>]+)>")


def is_mail_address(text: str) -> bool:
    return len(text) <= MAX_ADDRESS_CHARS and _ADDRESS.fullmatch(text) is not None


def split_sender(text: str) -> tuple[str, str]:
    """`Example <billing@example.com>`, or the address alone -> name and address. Raises ValueError."""
    match = _NAMED.fullmatch(text)
    name, address = (match[1].strip(" "), match[2]) if match else ("", text)
    if not is_mail_address(address) or not name.isprintable():
        raise ValueError("must be an address, or a name and an address: Example <billing@example.com>")
    return name, address
