"""An event as a mail: plain text and HTML, from templates. Pure but for reading the templates at the start.

A template `KIND.txt` begins with a line `Subject: …`; `KIND.html` is escaped by itself. Those of an operator's folder
come before ours. They get `facts`, `kind`, `at`, `site_name` and `site_url`, and the filter `dollars`.
"""

from decimal import Decimal
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path

import jinja2

from accounts.notices.signing import Event
from runtime.mail_address import split_sender
from runtime.settings.notices import EVENT_KINDS

_SUBJECT = "Subject:"
# Mail programs show about 60.
_MAX_SUBJECT_CHARS = 150


class Templates:
    """Raises jinja2.TemplateError for a template that is missing or cannot be read."""

    def __init__(self, folder: Path | None, site_name: str, site_url: str | None) -> None:
        ours = jinja2.PackageLoader("accounts.notices", "templates")
        loader = ours if folder is None else jinja2.ChoiceLoader([jinja2.FileSystemLoader(folder), ours])
        self._jinja = jinja2.Environment(
            loader=loader,
            autoescape=jinja2.select_autoescape(("html",)),
            undefined=jinja2.StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._jinja.filters["dollars"] = dollars
        self._jinja.globals |= {"site_name": site_name, "site_url": site_url}
        for kind in EVENT_KINDS:
            for form in ("txt", "html"):
                self._jinja.get_template(f"{kind}.{form}")

    def render(self, event: Event) -> tuple[str, str, str]:
        """Subject, plain text, HTML. Raises jinja2.TemplateError, or what a template of the operator's raises."""
        # a key's name is its owner's: no line break of it may end the line of the subject
        facts = {name: one_line(value) if isinstance(value, str) else value for name, value in event.facts.items()}
        given = {"kind": event.kind, "facts": facts, "at": event.created_at}
        head, _, text = self._jinja.get_template(f"{event.kind}.txt").render(given).partition("\n")
        html = self._jinja.get_template(f"{event.kind}.html").render(given)
        return one_line(head.removeprefix(_SUBJECT)), text.strip() + "\n", html.strip() + "\n"


def compose(event: Event, sender: str, to: str, templates: Templates) -> EmailMessage:
    """The message, the same at every attempt, `Message-ID` included: a server that sees it twice may tell."""
    subject, text, html = templates.render(event)
    name, address = split_sender(sender)
    message = EmailMessage(policy=SMTP)
    message["Subject"] = subject
    message["From"] = Address(name, addr_spec=address)
    message["To"] = Address(addr_spec=to)
    message["Date"] = format_datetime(event.created_at)
    message["Message-ID"] = f"<{event.id}@{address.rpartition('@')[2]}>"
    # RFC 3834: whoever is on holiday does not answer.
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text, cte="quoted-printable")
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    message.set_boundary(f"=_{event.id.hex}")
    return message


def one_line(text: str) -> str:
    """What can stand in a header: no line breaks, nothing invisible, not endless."""
    words = " ".join(text.split())
    return "".join(char for char in words if char.isprintable())[:_MAX_SUBJECT_CHARS]


def dollars(amount: str) -> str:
    """`12.5` as `$12.50`; more decimals than two are shown where there are any."""
    value = Decimal(str(amount))  # str() of a fact that is not there raises
    whole = f"{abs(value):,f}"
    _, _, fraction = whole.partition(".")
    padded = f"{abs(value):,.2f}" if len(fraction.rstrip("0")) <= _CENTS else whole.rstrip("0")
    return f"{'-' if value < 0 else ''}${padded}"


_CENTS = 2
