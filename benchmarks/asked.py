"""The requests that a load is made of."""

import base64
import json
import random
from typing import Any
from urllib.parse import urlsplit

MODEL = "tiny"
IMAGE_BYTES = 1 << 20


def body(**fields: Any) -> bytes:
    """A chat completion with a prompt of 80 bytes."""
    return _body("word " * 16, fields)


def image_body(**fields: Any) -> bytes:
    """One whose prompt is an image of 1 MiB in base64; the same each time."""
    noise = random.Random(1).randbytes(IMAGE_BYTES * 3 // 4)  # noqa: S311 -- nothing secret
    url = "data:image/png;base64," + base64.b64encode(noise).decode()
    content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    return _body(content, fields)


def _body(content: Any, fields: dict[str, Any]) -> bytes:
    return json.dumps({"model": MODEL, "messages": [{"role": "user", "content": content}], **fields}).encode()


def request(url: str, key: str, sent: bytes) -> bytes:
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {urlsplit(url).netloc}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(sent)}\r\n\r\n"
    )
    return head.encode() + sent
