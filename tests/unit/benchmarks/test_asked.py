"""The requests that a load is made of."""

import json

from benchmarks.asked import IMAGE_BYTES, body, image_body, request


def test_a_request_is_whole() -> None:
    sent = body(max_tokens=20)
    head, _, rest = request("http://127.0.0.1:81", "sk-1", sent).partition(b"\r\n\r\n")
    assert rest == sent
    assert f"content-length: {len(sent)}".encode() in head.split(b"\r\n")
    assert b"host: 127.0.0.1:81" in head.split(b"\r\n") and b"authorization: Bearer sk-1" in head.split(b"\r\n")
    assert json.loads(sent)["max_tokens"] == 20


def test_an_image_has_its_size_and_is_the_same_each_time() -> None:
    made = image_body(max_tokens=20)
    assert made == image_body(max_tokens=20)
    url = json.loads(made)["messages"][0]["content"][1]["image_url"]["url"]
    assert len(url.partition(",")[2]) == IMAGE_BYTES
