"""Transcodes an upload to the photo that is stored: `python -I photo_decoder.py < in > out.webp`.

`photos` runs it as a process of its own, so that a malicious file cannot exhaust the memory or the
time of the web process. It imports no other module of Automart, so that it starts fast. For an
invalid upload the exit status is 3, and standard error has JSON with `status` and `detail`.
"""

from __future__ import annotations

import json
import resource
import sys
import warnings
from io import BytesIO

from PIL import Image, ImageCms
from PIL.Image import Resampling, Transpose

REFUSED = 3  # not 1, with which Python ends after any uncaught exception
MAX_SIDE = 1024
MAX_INPUT_PIXELS = 40_000_000
# The limit of JPEG. For a PNG with a single column, pointers to its rows would take more memory
# than its pixels.
MAX_INPUT_SIDE = 65_535
QUALITY = 80
SRGB = ImageCms.createProfile("sRGB")

# The largest WebP takes 625 MB, because Pillow decodes every WebP as an animation, with four copies
# of all pixels. JPEG and PNG take less than 300 MB. The rest is the address space of libraries.
MEMORY_BYTES = 1 << 30
CPU_SECONDS = 20

TILE_SIDE = 64
"""The side of a tile, in pixels of the reduced image."""
ORIENTATION = 0x0112
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


TOO_MANY_PIXELS = RefusedError(422, f"It has more than {MAX_INPUT_PIXELS // 1_000_000} megapixels.")


def make_photo(upload: bytes) -> bytes:
    """Return the WebP to store: upright, in sRGB, at most `MAX_SIDE` per side, without metadata.

    Of an animation it is the first frame. Raises `RefusedError`.
    """
    image_format = _detect_format(upload)
    try:
        with Image.open(BytesIO(upload), formats=[image_format]) as image:
            _check_size(image)
            return _encode_webp(_normalize_image(image))
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


def _detect_format(upload: bytes) -> str:
    if upload.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if upload.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if upload[:4] == b"RIFF" and upload[8:12] == b"WEBP":
        return "WEBP"
    raise RefusedError(415, "It is neither JPEG nor PNG nor WebP.")


def _check_size(image: Image.Image) -> None:
    if max(image.size) > MAX_INPUT_SIDE:
        raise RefusedError(422, f"It has more than {MAX_INPUT_SIDE} pixels on a side.")
    if image.width * image.height > MAX_INPUT_PIXELS:
        raise TOO_MANY_PIXELS


def _normalize_image(image: Image.Image) -> Image.Image:
    # A JPEG can be decoded directly at a half, a quarter or an eighth of its size.
    image.draft(image.mode, _scaled_size(image.size, 2 * MAX_SIDE))
    image.load()
    profile, orientation = image.info.get("icc_profile"), _orientation(image)
    small = _to_srgb(_reduce(image), profile)
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


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
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


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
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
