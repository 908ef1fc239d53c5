"""Delivery of results by e-mail."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from impasto.service.delivery import NotDeliveredError

if TYPE_CHECKING:
    from collections.abc import Callable

    from impasto.service.jobs import Delivery
    from impasto.service.settings import Settings
    from impasto.service.signing import Signer

_LARGEST_ATTACHMENT = 5 << 20
_PERMANENT = range(500, 600)


@dataclass(frozen=True)
class EmailSender:
    """Sends messages through one SMTP server."""

    settings: Settings
    signer: Signer
    seconds: float = 30.0
    """Time limit for each answer of the server."""

    def send(self, delivery: Delivery, picture: Callable[[], bytes | None]) -> None:
        """See `impasto.service.delivery.Sender`."""
        settings = self.settings
        message = self._message(delivery, picture())
        try:
            with smtplib.SMTP(settings.smtp_host or "", settings.smtp_port, timeout=self.seconds) as server:
                if settings.smtp_starttls:
                    server.starttls(context=ssl.create_default_context())
                if settings.smtp_user is not None:
                    server.login(settings.smtp_user, (settings.smtp_password or "").strip())
                server.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            code, text = next(iter(error.recipients.values()))
            raise NotDeliveredError(str(code), _said(text), permanent=code in _PERMANENT) from error
        except smtplib.SMTPResponseException as error:
            # Errors about this service, such as a wrong password, can be corrected; errors about the message cannot.
            about_us = isinstance(error, (smtplib.SMTPAuthenticationError, smtplib.SMTPConnectError))
            permanent = error.smtp_code in _PERMANENT and not about_us
            said = _said(error.smtp_error)
            raise NotDeliveredError(str(error.smtp_code), said, permanent=permanent) from error
        except (smtplib.SMTPException, OSError) as error:
            raise NotDeliveredError(type(error).__name__, str(error)) from error

    def _message(self, delivery: Delivery, picture: bytes | None) -> EmailMessage:
        job, settings = delivery.job, self.settings
        message = EmailMessage()
        message["From"] = settings.mail_from
        message["To"] = delivery.destination
        message["Date"] = formatdate(job.finished)
        host = urlsplit(settings.public_url).hostname or "localhost"
        message["Message-ID"] = f"<{delivery.identity}@{host}>"  # lets the recipient recognise a duplicate
        message["Auto-Submitted"] = "auto-generated"
        link = self.signer.result(job)
        if link is None:
            message["Subject"] = "Your picture could not be painted"
            lines = [f"Your picture could not be painted: {job.error_text or job.error_code}."]
        else:
            message["Subject"] = "Your picture is painted"
            lines = ["Your picture is painted."]
        attached = picture is not None and len(picture) <= _LARGEST_ATTACHMENT
        if link is not None:
            lines.append(f"{'It is attached, and also here' if attached else 'It is here'} until it is deleted:")
        address = settings.public_url + (link or "")
        message.set_content("\n\n".join([*lines, *([address] if link else [])]) + "\n")
        html = "".join(f"<p>{escape(line)}</p>" for line in lines)
        if link is not None:
            html += f'<p><a href="{escape(address)}">{escape(address)}</a></p>'
        message.add_alternative(f"<!DOCTYPE html><html><body>{html}</body></html>", subtype="html")
        if attached and picture is not None and job.result_key is not None:
            form = job.result_key.rpartition(".")[2]
            subtype = "jpeg" if form == "jpg" else "tiff" if form == "tif" else form
            message.add_attachment(picture, maintype="image", subtype=subtype, filename=job.file_name)
        return message


def _said(text: bytes | str) -> str:
    return text.decode(errors="replace") if isinstance(text, bytes) else text
