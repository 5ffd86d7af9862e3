"""Transcodes an upload to the photo that is stored: `python -I photo_decoder.py < in > out.webp`.

`photos` runs it as a process of its own, so that a malicious file cannot exhaust the memory or the
time of the web process. It imports no other module of Automart, so that it starts fast. For an
invalid upload the exit status is 3, and standard error has JSON with `status` and `detail`.
"""

from __future__ import annotations

import json
import re
import resource
import struct
import sys
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageCms
from PIL.Image import Resampling, Transpose

REFUSED = 3  # not 1, with which Python ends after any uncaught exception
MAX_SIDE = 1024
MAX_INPUT_PIXELS = 40_000_000
# The limit of JPEG. For a PNG with a single column, pointers to its rows would take more memory
# than its pixels.
MAX_INPUT_SIDE = 65_535
# A progressive JPEG has about ten. Each one takes time, however few bytes it has.
MAX_JPEG_SCANS = 100
QUALITY = 80
SRGB = ImageCms.createProfile("sRGB")

# The largest WebP takes 625 MB, because Pillow decodes every WebP as an animation, with four copies
# of all pixels. JPEG and PNG take less than 300 MB. The rest is the address space of libraries.
MEMORY_BYTES = 1 << 30
CPU_SECONDS = 20

TILE_SIDE = 64
"""The side of a tile, in pixels of the reduced image."""
ORIENTATION = 0x0112

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT")
MAX_PROFILE_BYTES = 4_000_000
JPEG_WITHOUT_LENGTH = (0x00, 0x01, *range(0xD0, 0xD8), 0xD8, 0xFF)
JPEG_SEQUENTIAL = (0xC0, 0xC1)
JPEG_SCAN, JPEG_COMMENT = 0xDA, 0xFE
JPEG_APP0, JPEG_APP1, JPEG_APP2, JPEG_APP14, JPEG_APP15 = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF
_JPEG_SCAN_START = bytes((0xFF, JPEG_SCAN))
_JPEG_SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
FILLING = bytes(range(0x15, 0xF0, 7)) * 4
JFIF = b"\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
WEBP_PIXELS = (b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")  # codespell:ignore
# Transparency and animation. The others announce metadata.
WEBP_PIXEL_FLAGS = 0b0001_0010
UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


class RefusedError(Exception):
    """The upload is invalid. `status` is the status of the response."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


TOO_MANY_SCANS = RefusedError(422, f"It has more than {MAX_JPEG_SCANS} scans.")
TOO_MANY_PIXELS = RefusedError(422, f"It has more than {MAX_INPUT_PIXELS // 1_000_000} megapixels.")


def make_photo(upload: bytes) -> bytes:
    """Return the WebP to store: upright, in sRGB, at most `MAX_SIDE` per side, without metadata.

    Of an animation it is the first frame. Raises `RefusedError`.
    """
    image_format = _detect_format(upload)
    try:
        file = STRIP[image_format](upload)
        with Image.open(BytesIO(file.pixels), formats=[image_format]) as image:
            _check_size(image)
            return _encode_webp(_normalize_image(image, file))
    except RefusedError:
        raise
    except Image.DecompressionBombError:
        raise TOO_MANY_PIXELS from None
    except MemoryError:
        raise RefusedError(422, "Decoding it takes too much memory.") from None
    except Exception as error:
        # Pillow has no common base class: a damaged file can raise anything from EOFError to
        # struct.error.
        detail = f"It is not a complete and undamaged {image_format} file."
        raise RefusedError(422, detail) from error


@dataclass(frozen=True, slots=True)
class Stripped:
    """A file without metadata, and the metadata that matter for its look, which may be broken.

    Pillow reads only `pixels`. So nothing that is wrong with metadata can spoil a photo.
    """

    pixels: bytes
    exif: bytes = b""
    profile: bytes = b""


def _strip_png(upload: bytes) -> Stripped:
    kept, exif, profile = [upload[: len(PNG_SIGNATURE)]], b"", b""
    for kind, content, is_intact in _png_chunks(upload):
        if kind in PNG_PIXELS:
            # Pillow does not check the checksums of pixels.
            if not is_intact:
                raise ValueError("wrong checksum")
            kept.append(_png_chunk(kind, content))
        elif kind == b"eXIf":
            exif = exif or content
        elif kind == b"iCCP":
            profile = profile or _inflated(content.partition(b"\0")[2][1:])
        elif not kind[0] & 0x20:
            raise ValueError("unknown critical chunk")
    kept.append(_png_chunk(b"IEND", b""))
    return Stripped(b"".join(kept), exif, profile)


def _png_chunks(upload: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Yield the kind and content of each chunk, and whether its checksum is right."""
    place, has_pixels = len(PNG_SIGNATURE), False
    while place + 8 <= len(upload):
        length, kind = struct.unpack_from(">I4s", upload, place)
        content = upload[place + 8 : place + 8 + length]
        checksum = upload[place + 8 + length : place + 12 + length]
        if kind == b"IEND":
            return
        if not kind.isalpha() and has_pixels:
            return  # garbage
        has_pixels = has_pixels or kind == b"IDAT"
        yield kind, content, checksum == struct.pack(">I", zlib.crc32(kind + content))
        place += 12 + length


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def _inflated(content: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(content, MAX_PROFILE_BYTES)
    except zlib.error:
        return b""


def _strip_jpeg(upload: bytes) -> Stripped:
    kept, exif, profile = [upload[:2]], b"", b""
    is_sequential = False
    for marker, segment in _jpeg_segments(upload):
        content = segment[4:]
        if marker == JPEG_SCAN:
            _check_scans(b"".join(kept), segment, is_sequential=is_sequential)
            kept.append(segment)
        elif marker == JPEG_APP1 and content.startswith(b"Exif\0"):
            exif = exif or content[6:]
        elif marker == JPEG_APP2 and content.startswith(b"ICC_PROFILE\0"):
            profile += content[14:]
        elif marker == JPEG_APP0 and content.startswith(b"JFIF\0"):
            kept.append(JFIF)  # says that the colours are YCbCr
        elif _is_jpeg_pixels(marker, content):
            kept.append(segment)
            is_sequential = is_sequential or marker in JPEG_SEQUENTIAL
    return Stripped(b"".join(kept), exif, profile)


def _jpeg_segments(upload: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the marker and the bytes of each segment. The last one is all from the first scan."""
    place = 2
    while True:
        place = upload.index(b"\xff", place)  # some files have garbage between segments
        marker = upload[place + 1]
        if marker in JPEG_WITHOUT_LENGTH:
            place += 1 if marker == 0xFF else 2
            continue
        if marker == JPEG_SCAN:
            yield marker, upload[place:]
            return
        (length,) = struct.unpack_from(">H", upload, place + 2)
        yield marker, upload[place : place + 2 + length]
        place += 2 + length


def _is_jpeg_pixels(marker: int, content: bytes) -> bool:
    if marker == JPEG_APP14:  # may say which colours the components are
        return content.startswith(b"Adobe") and len(content) >= 12
    return marker != JPEG_COMMENT and not JPEG_APP0 <= marker <= JPEG_APP15


def _check_scans(head: bytes, scans: bytes, *, is_sequential: bool) -> None:
    if scans.count(_JPEG_SCAN_START) > MAX_JPEG_SCANS:
        raise TOO_MANY_SCANS
    if is_sequential:
        _check_scan(head, scans)


def _check_scan(head: bytes, scan: bytes) -> None:
    """Raise `ValueError` if a JPEG has less data than its pixels need.

    libjpeg makes up the missing pixels, and Pillow does not pass on its warning. If bytes before
    the end of the scan change the picture, the decoder has needed them.
    """
    end = _JPEG_SCAN_END.search(scan, 2)
    if end is None:
        raise ValueError("no end")
    filled = scan[: end.start()] + FILLING + scan[end.start() :]
    if _preview(head + scan) != _preview(head + filled):
        raise ValueError("missing pixels")


def _preview(jpeg: bytes) -> bytes:
    with Image.open(BytesIO(jpeg), formats=["JPEG"]) as image:
        _check_size(image)
        image.draft(image.mode, (1, 1))  # an eighth of its size, which is fast
        return image.tobytes()


def _strip_webp(upload: bytes) -> Stripped:
    kept, exif, profile, place = [], b"", b"", 12
    while place + 8 <= len(upload):
        kind, length = struct.unpack_from("<4sI", upload, place)
        content = upload[place + 8 : place + 8 + length]
        if kind == b"EXIF":
            exif = exif or content.removeprefix(b"Exif\0\0")
        elif kind == b"ICCP":
            profile = profile or content
        elif kind == b"VP8X":
            kept.append(_webp_chunk(kind, bytes([content[0] & WEBP_PIXEL_FLAGS]) + content[1:]))
        elif kind in WEBP_PIXELS:
            if len(content) < length:
                raise ValueError("incomplete")
            kept.append(_webp_chunk(kind, content))
        place += 8 + length + length % 2
    body = b"WEBP" + b"".join(kept)
    return Stripped(b"RIFF" + struct.pack("<I", len(body)) + body, exif, profile)


def _webp_chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


STRIP = {"JPEG": _strip_jpeg, "PNG": _strip_png, "WEBP": _strip_webp}


def _detect_format(upload: bytes) -> str:
    if upload.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if upload.startswith(PNG_SIGNATURE):
        return "PNG"
    if upload[:4] == b"RIFF" and upload[8:12] == b"WEBP":
        return "WEBP"
    raise RefusedError(415, "It is neither JPEG nor PNG nor WebP.")


def _check_size(image: Image.Image) -> None:
    if max(image.size) > MAX_INPUT_SIDE:
        raise RefusedError(422, f"It has more than {MAX_INPUT_SIDE} pixels on a side.")
    if image.width * image.height > MAX_INPUT_PIXELS:
        raise TOO_MANY_PIXELS


def _normalize_image(image: Image.Image, file: Stripped) -> Image.Image:
    # A JPEG can be decoded directly at a half, a quarter or an eighth of its size.
    image.draft(image.mode, _scaled_size(image.size, 2 * MAX_SIDE))
    image.load()
    orientation = _orientation(file.exif)
    small = _to_srgb(_reduce(image), file.profile)
    small.thumbnail((MAX_SIDE, MAX_SIDE), Resampling.LANCZOS)
    if orientation in UPRIGHT:
        small = small.transpose(UPRIGHT[orientation])
    fresh = Image.new(small.mode, small.size)  # without the metadata in `small.info`
    fresh.paste(small)
    return fresh


def _scaled_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return `size` scaled so that its longer side is `side`."""
    scale = side / max(size)
    return (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))


def _orientation(block: bytes) -> int:
    exif = Image.Exif()
    try:
        exif.load(block)
        return int(exif.get(ORIENTATION, 1))
    except Exception:  # a broken EXIF block can raise anything, while the image may be intact
        return 1


def _reduce(image: Image.Image) -> Image.Image:
    """Return `image` in a mode that can be stored, at most about three times too large.

    It is reduced tile by tile, so that there is never a second copy of all its pixels.
    """
    factor = max(1, max(image.size) // (2 * MAX_SIDE))
    width, height = (-(-side // factor) for side in image.size)
    small = Image.new(_target_mode(image), (width, height))
    step = factor * TILE_SIDE
    for top in range(0, image.height, step):
        for left in range(0, image.width, step):
            box = (left, top, min(left + step, image.width), min(top + step, image.height))
            tile = _to_mode(image.crop(box), small.mode)
            small.paste(tile.reduce(factor), (left // factor, top // factor))
    return small


def _target_mode(image: Image.Image) -> str:
    if image.mode.startswith("I"):  # 16 bits per pixel, which Pillow would clip for RGBA
        return "I"
    if image.has_transparency_data:
        return "RGBA"
    return image.mode if image.mode in ("L", "CMYK") else "RGB"


def _to_mode(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    if image.mode == "I":
        image = image.point(lambda value: value * (1 / 256)).convert("L")
    if profile:
        try:
            converted = ImageCms.profileToProfile(image, BytesIO(profile), SRGB, outputMode=mode)
        except (ImageCms.PyCMSError, OSError, ValueError):
            return image.convert(mode)  # the profile is broken, or is for another mode
        if converted is not None:
            return converted
    return image.convert(mode)


def _encode_webp(image: Image.Image) -> bytes:
    webp = BytesIO()
    image.save(webp, "WEBP", quality=QUALITY)
    return webp.getvalue()


def main() -> int:
    """Transcode standard input to standard output. Return the exit status."""
    if sys.platform == "linux":  # other kernels accept this limit without enforcing it
        _limit(resource.RLIMIT_AS, MEMORY_BYTES)
    _limit(resource.RLIMIT_CPU, CPU_SECONDS)
    warnings.simplefilter("ignore")
    # Pillow refuses images of twice this size, before it allocates any memory.
    Image.MAX_IMAGE_PIXELS = MAX_INPUT_PIXELS // 2
    try:
        sys.stdout.buffer.write(make_photo(sys.stdin.buffer.read()))
    except RefusedError as error:
        json.dump({"status": error.status, "detail": str(error)}, sys.stderr)
        return REFUSED
    return 0


def _limit(kind: int, limit: int) -> None:
    """Limit a resource of this process, unless the present limit is lower."""
    _soft, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(kind, (limit, limit))


if __name__ == "__main__":
    sys.exit(main())
