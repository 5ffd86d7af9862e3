"""Makes of one upload the photo that is stored: `python -I photo_decoder.py < upload > photo.webp`

A program of its own, which `photos` runs: what a file from outside does to a decoder, in time, in
memory or worse, it does not do to the web process. It imports nothing of ours, and so starts fast.
With exit status 3 it says on standard error what is wrong, as JSON with `status` and `detail`.
"""

from __future__ import annotations

import json
import resource
import sys
import warnings
from io import BytesIO

from PIL import Image, ImageCms
from PIL.Image import Resampling, Transpose

REFUSED = 3  # and not 1, with which Python ends where anything else goes wrong
LARGEST_SIDE = 1024
MOST_PIXELS = 40_000_000
# As many as a JPEG can have. A PNG of one column would need more memory for its rows than for what
# is in them.
LONGEST_SIDE = 65_535
QUALITY = 80
SRGB = ImageCms.createProfile("sRGB")

# The largest WebP takes 625 MB, for Pillow decodes all of them as animations: four copies of all
# pixels. JPEG and PNG take less than 300. The rest is the address space of libraries.
MEMORY = 1 << 30
CPU_SECONDS = 20

# A part that is worked on at once has a 64th of the pixels on each side that the result has.
PARTS = 64
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
    """It cannot be made a photo; `status` is what the client is answered."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


TOO_MANY_PIXELS = RefusedError(422, f"It has more than {MOST_PIXELS // 1_000_000} megapixels.")


def photo_of(upload: bytes) -> bytes:
    """The WebP to store: upright, in sRGB, at most `LARGEST_SIDE` a side, nothing but pixels.

    Of an animation it is the first frame.
    """
    kind = _kind_of(upload)
    try:
        with Image.open(BytesIO(upload), formats=[kind]) as image:
            _check_size(image)
            return _encoded(_plain(image))
    except RefusedError:
        raise
    except Image.DecompressionBombError:
        raise TOO_MANY_PIXELS from None
    except MemoryError:
        raise RefusedError(422, "Decoding it takes too much memory.") from None
    except Exception as error:
        # Pillow has no common error: a damaged file can end in any, from EOFError to struct.error.
        raise RefusedError(422, f"It is not a complete and undamaged {kind} file.") from error


def _kind_of(upload: bytes) -> str:
    if upload.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if upload.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if upload[:4] == b"RIFF" and upload[8:12] == b"WEBP":
        return "WEBP"
    raise RefusedError(415, "It is neither JPEG nor PNG nor WebP.")


def _check_size(image: Image.Image) -> None:
    if max(image.size) > LONGEST_SIDE:
        raise RefusedError(422, f"It has more than {LONGEST_SIDE} pixels on a side.")
    if image.width * image.height > MOST_PIXELS:
        raise TOO_MANY_PIXELS


def _plain(image: Image.Image) -> Image.Image:
    # A JPEG can be decoded at a half, a quarter or an eighth of its size in the first place.
    image.draft(image.mode, _bounded(image.size, 2 * LARGEST_SIDE))
    image.load()
    profile, orientation = image.info.get("icc_profile"), _orientation(image)
    small = _in_srgb(_shrunk(image), profile)
    small.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Resampling.LANCZOS)
    if orientation in UPRIGHT:
        small = small.transpose(UPRIGHT[orientation])
    fresh = Image.new(small.mode, small.size)  # without what stands in `small.info`
    fresh.paste(small)
    return fresh


def _bounded(size: tuple[int, int], side: int) -> tuple[int, int]:
    scale = side / max(size)
    return (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # of a broken EXIF block, whichever way; the picture itself may be well
        return 1


def _shrunk(image: Image.Image) -> Image.Image:
    """`image` as it is stored, not more than some three times too large.

    Done part by part: there is never a second copy of all its pixels.
    """
    factor = max(1, max(image.size) // (2 * LARGEST_SIDE))
    width, height = (-(-side // factor) for side in image.size)
    small = Image.new(_stored_mode(image), (width, height))
    step = factor * PARTS
    for top in range(0, image.height, step):
        for left in range(0, image.width, step):
            box = (left, top, min(left + step, image.width), min(top + step, image.height))
            part = _converted(image.crop(box), small.mode)
            small.paste(part.reduce(factor), (left // factor, top // factor))
    return small


def _stored_mode(image: Image.Image) -> str:
    if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow would cut off for RGBA
        return "I"
    if image.has_transparency_data:
        return "RGBA"
    return image.mode if image.mode in ("L", "CMYK") else "RGB"


def _converted(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    if image.mode == "I":
        image = image.point(lambda value: value * (1 / 256)).convert("L")
    if profile:
        try:
            found = ImageCms.profileToProfile(image, BytesIO(profile), SRGB, outputMode=mode)
        except (ImageCms.PyCMSError, OSError, ValueError):
            return image.convert(mode)  # a profile that is broken, or of another kind of picture
        if found is not None:
            return found
    return image.convert(mode)


def _encoded(image: Image.Image) -> bytes:
    encoded = BytesIO()
    image.save(encoded, "WEBP", quality=QUALITY)
    return encoded.getvalue()


def main() -> int:
    """Standard input to standard output. Answers the exit status."""
    if sys.platform == "linux":  # other kernels know the limit, but do not keep it
        _allow_at_most(resource.RLIMIT_AS, MEMORY)
    _allow_at_most(resource.RLIMIT_CPU, CPU_SECONDS)
    warnings.simplefilter("ignore")
    # Pillow refuses at twice this number, before it sets any memory aside.
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2
    try:
        sys.stdout.buffer.write(photo_of(sys.stdin.buffer.read()))
    except RefusedError as error:
        json.dump({"status": error.status, "detail": str(error)}, sys.stderr)
        return REFUSED
    return 0


def _allow_at_most(kind: int, limit: int) -> None:
    """Limit this process; where less is allowed already, that stays."""
    _soft, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(kind, (limit, limit))


if __name__ == "__main__":
    sys.exit(main())
