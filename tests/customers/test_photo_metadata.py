"""Metadata of photos do not matter, however broken they are; damaged pixels are refused."""

from __future__ import annotations

import io
import random
import struct
import zlib

import pytest
from PIL import Image, ImageCms

from automart.customers.photo_decoder import RefusedError, make_photo
from tests.customers.pictures import BLUE, RED, chunk, encoded, halves, is_about, jpeg

SMALL = (64, 32)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# A profile that exchanges red and green.
SWAPPED = SRGB.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")
NOISE = Image.effect_noise((200, 200), 80).convert("RGB")
# All modes of PNG have chunks that belong to the pixels.
PNGS = [encoded(halves(SMALL, mode=mode), "PNG") for mode in ("RGB", "L", "RGBA")]
PNGS.append(encoded(halves(SMALL).quantize(4), "PNG"))
WEBPS = [
    encoded(halves(SMALL), "WEBP"),
    encoded(halves(SMALL, mode="RGBA"), "WEBP", lossless=True),
    encoded(halves(SMALL), "WEBP", save_all=True, append_images=[Image.new("RGB", SMALL)]),
]


def wrong_chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG with a wrong checksum."""
    return chunk(kind, content)[:-1] + b"?"


def riff(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def segment(marker: int, content: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content


def is_intact(upload: bytes) -> bool:
    """Return whether a photo of red and blue, or of two greys, is stored."""
    image = Image.open(io.BytesIO(make_photo(upload))).convert("RGB")
    left, right = image.getpixel((10, 16)), image.getpixel((54, 16))
    grey = [halves(SMALL, mode="L").convert("RGB").getpixel((x, 16)) for x in (10, 54)]
    return image.size == SMALL and (
        (is_about(left, RED) and is_about(right, BLUE))
        or (is_about(left, grey[0]) and is_about(right, grey[1]))
    )


def odd_contents() -> list[bytes]:
    """Return contents of metadata: empty, short, long, compressed, and at random."""
    numbers = random.Random(7)
    return [
        b"",
        b"\0",
        b"x\0\0" + zlib.compress(b"a" * 1_100_000),
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
        b"ICC_PROFILE\0",
        b"ICC_PROFILE\0\x09\x01" + SRGB,
        b"JFIF\0",
        b"MPF\0" + numbers.randbytes(40),
        b"Adobe",
        b"Photoshop 3.0\0008BIM\x04\x04",
        b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta><",
        *(numbers.randbytes(numbers.randrange(200)) for _ in range(10)),
    ]


def test_odd_chunks_of_a_png_do_not_matter() -> None:
    kinds = (b"zTXt", b"iTXt", b"tEXt", b"iCCP", b"eXIf", b"gAMA", b"cHRM", b"pHYs", b"tIME",
             b"acTL", b"fcTL", b"sRGB", b"xxXx")  # fmt: skip
    for number, content in enumerate(odd_contents()):
        for kind in kinds:
            png = PNGS[number % len(PNGS)]
            for odd in (chunk(kind, content), wrong_chunk(kind, content)):
                assert is_intact(png[:33] + odd + png[33:]), (kind, content[:20])
                assert is_intact(png[:-12] + odd + png[-12:]), (kind, content[:20])
    for png in PNGS:
        assert is_intact(png[:-12] + bytes(64))  # garbage instead of an end


def test_odd_segments_of_a_jpeg_do_not_matter() -> None:
    for content in odd_contents():
        for marker in (*range(0xE0, 0xF0), 0xFE):
            photo = jpeg(SMALL)
            odd = segment(marker, content[:60_000])
            assert is_intact(photo[:2] + odd + photo[2:]), (marker, content[:20])
            assert is_intact(photo[:20] + odd + b"\xff" + photo[20:]), (marker, content[:20])


def test_odd_chunks_of_a_webp_do_not_matter() -> None:
    for number, content in enumerate(odd_contents()):
        for kind in (b"EXIF", b"ICCP", b"XMP ", b"odd "):
            webp = WEBPS[number % len(WEBPS)]
            assert is_intact(webp + riff(kind, content)), (kind, content[:20])
            assert is_intact(webp[:4] + b"\xff\xff\xff\x7f" + webp[8:]), number
            if webp[12:16] == b"VP8X":
                flagged = bytes([webp[20] | 0x2C])
                odd = webp[:20] + flagged + webp[21:30] + riff(kind, content) + webp[30:]
                assert is_intact(odd), (kind, content[:20])


def turned() -> Image.Exif:
    """Return metadata with an orientation: the picture has to be turned by 90 degrees."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def is_turned_and_green(upload: bytes) -> bool:
    """Return whether `turned` and `SWAPPED` are applied to halves of red and blue."""
    image = Image.open(io.BytesIO(make_photo(upload)))
    red, green, _ = image.getpixel((100, 10))
    return image.size == (200, 400) and green > red + 100


def test_profile_and_orientation_are_still_applied() -> None:
    for kind in ("JPEG", "PNG", "WEBP"):
        upload = encoded(halves(), kind, exif=turned(), icc_profile=SWAPPED)
        assert is_turned_and_green(upload), kind


def test_the_profile_and_orientation_of_a_jpeg_may_be_anywhere_in_its_head() -> None:
    photo = jpeg(exif=turned())
    xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>")
    parts = SWAPPED[:300], SWAPPED[300:]
    profile = [
        segment(0xE2, b"ICC_PROFILE\0" + bytes([number, len(parts)]) + part)
        for number, part in enumerate(parts, 1)
    ]
    upload = b"".join(
        (photo[:2], xmp, profile[0], segment(0xFE, b"comment"), profile[1], photo[2:])
    )
    assert is_turned_and_green(upload)


def with_components(photo: bytes, names: bytes) -> bytes:
    """Return a sequential JPEG with other names of its components, one byte each."""
    frame, scan = photo.index(b"\xff\xc0"), photo.index(b"\xff\xda")
    named = bytearray(photo)
    for number, name in enumerate(names):
        named[frame + 10 + 3 * number] = named[scan + 5 + 2 * number] = name
    return bytes(named)


def test_the_segments_of_jfif_and_adobe_say_which_colours_a_jpeg_has() -> None:
    # Without these segments, decoders go by the names of the components.
    of_jfif = with_components(jpeg(SMALL), b"RGB")
    of_adobe = with_components(jpeg(SMALL, keep_rgb=True), b"\1\2\3")
    assert b"JFIF" in of_jfif
    assert b"Adobe" in of_adobe
    assert is_intact(of_jfif)
    assert is_intact(of_adobe)


@pytest.mark.parametrize("png", [*PNGS, encoded(NOISE, "PNG")])
def test_a_png_whose_pixels_are_damaged_is_refused(png: bytes) -> None:
    start, end = png.index(b"IDAT") + 4, len(png) - 16
    places = [*range(start, end, max(1, (end - start) // 40)), 17]  # 17 is in the header
    if b"PLTE" in png:
        places.append(png.index(b"PLTE") + 5)
    for place in places:
        damaged = png[:place] + bytes([png[place] ^ 0x10]) + png[place + 1 :]
        with pytest.raises(RefusedError) as refused:
            make_photo(damaged)
        assert refused.value.status == 422


def test_a_file_that_ends_early_is_refused() -> None:
    for content in (encoded(NOISE, "PNG"), encoded(NOISE, "JPEG"), encoded(NOISE, "WEBP")):
        for part in (0.2, 0.5, 0.9):
            with pytest.raises(RefusedError) as refused:
                make_photo(content[: int(len(content) * part)])
            assert refused.value.status == 422


def test_a_jpeg_that_ends_early_with_an_end_marker_is_refused() -> None:
    content = encoded(NOISE, "JPEG")
    for part in (0.3, 0.6, 0.9):
        with pytest.raises(RefusedError):
            make_photo(content[: int(len(content) * part)] + b"\xff\xd9")
