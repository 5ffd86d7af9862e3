"""Pictures to upload, and the upload itself."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import TestResponse

RED, BLUE = (200, 30, 30), (30, 30, 200)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return `image` as a file of this kind."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def halves(size: tuple[int, int] = (400, 200), mode: str = "RGB") -> Image.Image:
    """Return an image that is red on the left and blue on the right."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, *size))
    return image.convert(mode)


def jpeg(size: tuple[int, int] = (400, 200), **options: Any) -> bytes:
    """Return `halves` as a JPEG."""
    return encoded(halves(size), "JPEG", quality=95, **options)


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG."""
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def black_png(width: int, height: int) -> bytes:
    """Return a small PNG file of a large black image."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    # A row is compressed once, because zlib takes seconds for all of them.
    row, deflate = bytes(1 + 3 * width), zlib.compressobj(9, wbits=-15)
    compressed = deflate.compress(row) + deflate.flush(zlib.Z_FULL_FLUSH)
    adler32 = (len(row) * height % 65521 << 16) + 1
    pixels = b"\x78\xda" + height * compressed + deflate.flush() + struct.pack(">I", adler32)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def form(*files: tuple[str, str, bytes]) -> dict[str, Any]:
    """Return the arguments of a request with a form.

    Each of `files` has the name of a field, the name of a file, and its content.
    """
    parts = [
        f'--boundary\r\nContent-Disposition: form-data; name="{field}"{name}\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for field, file, content in files
        for name in [f'; filename="{file}"' if file else ""]
    ]
    body = b"".join(parts) + b"--boundary--\r\n"
    return {"data": body, "content_type": "multipart/form-data; boundary=boundary"}


def upload(
    client: FlaskClient, customer_id: int, content: bytes, name: str = "me.jpg", **options: Any
) -> TestResponse:
    """Upload the photo of a customer."""
    body = form(("photo", name, content))
    return client.put(f"/v1/customers/{customer_id}/photo", **body, **options)


def files_in(folder: Path) -> list[str]:
    """Return the names of all files below `folder`, including temporary ones."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def loaded(client: FlaskClient, url: str) -> Image.Image:
    """Return the picture at `url`."""
    response = client.get(url)
    assert response.status_code == 200, response.get_json()
    return Image.open(io.BytesIO(response.data))


def is_about(pixel: Any, colour: tuple[int, int, int]) -> bool:
    """Return whether a pixel has this colour, up to losses of the compression."""
    return all(abs(found - wanted) < 25 for found, wanted in zip(pixel, colour, strict=False))
