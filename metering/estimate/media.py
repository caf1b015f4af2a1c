"""Pictures, recordings and files in a body, as each API writes them; sizes and beginnings are looked at, no more.

Known by the name of the field that holds them, as servers that are lenient about `type` know them; what such a field
holds beside its source is read by nobody.
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct, field


class Image(Struct, frozen=True):
    """`source`: base64, a data URL, an address, or the first bytes of a file; empty where it is only referred to.
    `is_low`: the client asked for little detail.
    """

    source: str | bytes = ""
    is_low: bool = False


class Recording(Struct, frozen=True):
    """`source`: base64 or a data URL, or the first bytes of a file. `is_upload`: it is what a request is about, and
    may be billed by the minute.
    """

    source: str | bytes
    file_bytes: int
    is_upload: bool = False


class Media(Struct):
    """`hidden`: how many things are referred to that only the server knows: earlier answers, uploaded files, films."""

    images: list[Image] = field(default_factory=list)
    recordings: list[Recording] = field(default_factory=list)
    file_bytes: int = 0
    hidden: int = 0


Part = Mapping[str, Any]
# Takes the value of a field of a part; False: it is none of what we know, and stays text.
Taker = Callable[[Part, Any, Media], bool]


def taken(part: Part, media: Media) -> Part:
    """What is left of a part when its media are out."""
    gone = [name for name in part if name in NAMES and _TAKERS[name](part, part[name], media)]
    return {name: value for name, value in part.items() if name not in gone} if gone else part


def _address(value: Any) -> str | None:
    """`"image_url": "…"` (Responses) or `"image_url": {"url": "…"}` (chat)."""
    found = value.get("url") if isinstance(value, dict) else value
    return found if isinstance(found, str) else None


def _image_url(part: Part, value: Any, media: Media) -> bool:
    source = _address(value)
    if source is None:
        return False
    detail = value.get("detail") if isinstance(value, dict) else part.get("detail")
    media.images.append(Image(source, is_low=detail == "low"))
    return True


def _image(part: Part, value: Any, media: Media) -> bool:
    """A form's picture, or the fields of open models' own templates."""
    if _is_file(value):
        media.images.append(Image(value["head"]))
        return True
    if isinstance(value, str) and (part.get("type") == "image" or value.startswith("data:image/")):
        media.images.append(Image(value))
        return True
    return False


def _images(_: Part, value: Any, media: Media) -> bool:
    """Ollama's, and a form's."""
    if not isinstance(value, list) or not all(isinstance(each, str) or _is_file(each) for each in value):
        return False
    media.images += [Image(each if isinstance(each, str) else each["head"]) for each in value]
    return True


def _source(part: Part, value: Any, media: Media) -> bool:
    """Anthropic's pictures and documents. A document of text or of blocks is walked as such."""
    kind = part.get("type")
    if kind not in ("image", "document") or not isinstance(value, dict):
        return False
    data = value.get("data") if value.get("type") == "base64" else None
    if kind == "image":
        media.images.append(Image(data if isinstance(data, str) else ""))
        return True
    if value.get("type") in ("text", "content"):
        return False
    _add_file(data, media)
    return True


def _input_audio(_: Part, value: Any, media: Media) -> bool:
    data = value.get("data") if isinstance(value, dict) else None
    return isinstance(data, str) and _add_recording(data, media)


def _audio_url(_: Part, value: Any, media: Media) -> bool:
    source = _address(value)
    return source is not None and _add_recording(source, media)


def _audio(_: Part, value: Any, media: Media) -> bool:
    """A reference to what was said before; at the top of a request it is how to speak."""
    if not isinstance(value, dict) or "id" not in value:
        return False
    media.hidden += 1
    return True


def _video(_: Part, value: Any, media: Media) -> bool:
    if _address(value) is None:
        return False
    media.hidden += 1
    return True


def _file(_: Part, value: Any, media: Media) -> bool:
    """A form's recording, or the file of a chat."""
    if _is_file(value):
        media.recordings.append(Recording(value["head"], value["file_bytes"], is_upload=True))
        return True
    if not isinstance(value, dict) or _FILE_FIELDS.isdisjoint(value):
        return False
    _add_file(value.get("file_data"), media)
    return True


def _file_field(part: Part, value: Any, media: Media) -> bool:
    """Responses: a file, or a picture that was uploaded before."""
    kind = part.get("type")
    if kind not in ("input_file", "input_image", "file") or not isinstance(value, str):
        return False
    if kind == "input_image":
        media.images.append(Image())
    else:
        _add_file(value, media)
    return True


def _add_file(data: Any, media: Media) -> None:
    """By its size, where it came inline."""
    if isinstance(data, str) and not _is_remote(data) and not data.startswith("file-"):
        media.file_bytes += _decoded_bytes(data)
    else:
        media.hidden += 1


def _add_recording(source: str, media: Media) -> bool:
    if _is_remote(source):
        media.hidden += 1
    else:
        media.recordings.append(Recording(source, _decoded_bytes(source)))
    return True


def _decoded_bytes(encoded: str) -> int:
    return len(encoded) * 3 // 4


def _is_remote(source: str) -> bool:
    return "://" in source[:16]


def _is_file(value: Any) -> bool:
    """A file in a form, as proxy.http.form hands it over."""
    return isinstance(value, dict) and isinstance(value.get("head"), bytes)


_FILE_FIELDS = frozenset(("file_data", "file_id", "file_url"))
_TAKERS: dict[str, Taker] = {
    "image_url": _image_url,
    "image": _image,
    "mask": _image,
    "images": _images,
    "image[]": _images,
    "source": _source,
    "input_audio": _input_audio,
    "audio_url": _audio_url,
    "audio": _audio,
    "video_url": _video,
    "video": _video,
    "file": _file,
    **dict.fromkeys(_FILE_FIELDS, _file_field),
}
NAMES = frozenset(_TAKERS)
