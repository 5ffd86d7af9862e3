"""The decoder of photos: which files are accepted, and what is stored of them."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from PIL import Image, ImageCms

from automart.customers.photo_decoder import RefusedError, make_photo
from automart.customers.photos import DECODER
from tests.customers.pictures import (
    BLUE,
    RED,
    black_png,
    chunk,
    encoded,
    halves,
    is_about,
    jpeg,
)

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
NOISE = Image.effect_noise((300, 300), 50)
OTHER_FORMAT = (415, "It is neither JPEG nor PNG nor WebP.")
DAMAGED_JPEG = (422, "It is not a complete and undamaged JPEG file.")
DAMAGED_PNG = (422, "It is not a complete and undamaged PNG file.")
DAMAGED_WEBP = (422, "It is not a complete and undamaged WEBP file.")
TOO_MANY_PIXELS = (422, "It has more than 40 megapixels.")
REFUSED: dict[str, tuple[tuple[int, str], bytes]] = {
    "a text": (OTHER_FORMAT, b"This is not a picture."),
    "an SVG with script": (OTHER_FORMAT, SVG),
    "a GIF": (OTHER_FORMAT, encoded(halves(), "GIF")),
    "a TIFF": (OTHER_FORMAT, encoded(halves(), "TIFF")),
    "a RIFF file of sound": (OTHER_FORMAT, b"RIFF\x04\0\0\0WAVE"),
    "a JPEG cut in the middle": (DAMAGED_JPEG, jpeg()[:1500]),
    "a JPEG of only a header": (DAMAGED_JPEG, b"\xff\xd8\xff\xe0"),
    "a PNG cut in the middle": (DAMAGED_PNG, encoded(NOISE, "PNG")[:20_000]),
    "a PNG without pixels": (DAMAGED_PNG, encoded(halves(), "PNG")[:60]),
    "a PNG with a wrong checksum": (
        DAMAGED_PNG,
        encoded(halves(), "PNG").replace(b"IDAT", b"IDAX"),
    ),
    "a WebP cut in the middle": (DAMAGED_WEBP, encoded(NOISE, "WEBP")[:4000]),
    "a PNG of no width": (DAMAGED_PNG, black_png(0, 5)),
    "a bomb": (TOO_MANY_PIXELS, black_png(8001, 5000)),
    "a bomb with a single row": (
        (422, "It has more than 65535 pixels on a side."),
        black_png(70_000, 1),
    ),
    "a bomb with a huge size in its header": (
        TOO_MANY_PIXELS,
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", b"\x7f\xff\xff\xff\x7f\xff\xff\xff\x08\x02\0\0\0")
        + chunk(b"IDAT", b""),
    ),
}


def stored(upload: bytes) -> Image.Image:
    """Return the picture that is stored for `upload`."""
    return Image.open(io.BytesIO(make_photo(upload)))


def pixel(image: Image.Image, *place: int) -> Any:
    return image.getpixel((place[0], place[1]))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_photo_is_stored_as_webp(kind: str) -> None:
    image = stored(encoded(halves(), kind))
    assert (image.format, image.size) == ("WEBP", (400, 200))
    assert is_about(pixel(image, 100, 100), RED)
    assert is_about(pixel(image, 300, 100), BLUE)


@pytest.mark.parametrize(
    ("size", "made"),
    [
        ((4000, 2000), (1024, 512)),
        ((2500, 5000), (512, 1024)),
        ((12_345, 700), (1024, 58)),
        ((65_000, 1), (1024, 1)),
        ((1025, 1), (1024, 1)),
        ((1, 1), (1, 1)),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_photo_is_reduced_and_never_enlarged(
    kind: str, size: tuple[int, int], made: tuple[int, int]
) -> None:
    image = stored(encoded(halves(size), kind))
    assert image.size == made
    if made[0] > 1 < made[1]:
        assert is_about(pixel(image, 0, made[1] - 1), RED)
        assert is_about(pixel(image, made[0] - 1, made[1] - 1), BLUE)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("size", [(400, 200), (9000, 300)])
def test_grey_is_kept_in_every_mode_of_png(mode: str, size: tuple[int, int]) -> None:
    if mode == "I;16":
        picture = Image.new("I;16", size, 0x8000)
    else:
        picture = Image.new("L", size, 128).convert(mode)
    average = stored(encoded(picture, "PNG")).convert("L").resize((1, 1), Image.Resampling.BOX)
    assert average.getpixel((0, 0)) == pytest.approx(128, abs=3)


def test_16_bits_of_grey_are_kept_with_a_transparent_value() -> None:
    image = stored(encoded(Image.new("I;16", (40, 20), 0x8000), "PNG", transparency=0))
    assert is_about(pixel(image, 20, 10), (128, 128, 128))


def test_transparency_is_kept() -> None:
    clear = Image.new("RGBA", (5000, 100), (*RED, 0))
    clear.paste((*BLUE, 255), (0, 0, 2500, 100))
    image = stored(encoded(clear, "PNG"))
    assert image.mode == "RGBA"
    assert pixel(image, 1000, 10)[3] == 0
    assert pixel(image, 10, 10)[3] == 255
    palette = halves().quantize(4)
    image = stored(encoded(palette, "PNG", transparency=palette.getpixel((0, 0))))
    assert pixel(image, 10, 10)[3] == 0
    assert is_about(pixel(image, 390, 10), BLUE)


@pytest.mark.parametrize(
    ("orientation", "place_of_red"),
    [
        (1, (10, 100)),
        (2, (390, 100)),
        (3, (390, 100)),
        (5, (100, 10)),
        (6, (100, 10)),
        (8, (100, 390)),
        (99, (10, 100)),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_photo_is_rotated_by_its_exif_orientation(
    kind: str, orientation: int, place_of_red: tuple[int, int]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = stored(encoded(halves(), kind, exif=exif))
    assert image.size == ((200, 400) if orientation in (5, 6, 8) else (400, 200))
    assert is_about(pixel(image, *place_of_red), RED)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # the decoder ignores warnings
def test_a_broken_exif_block_is_ignored() -> None:
    assert stored(jpeg(exif=b"Exif\0\0MM\0*\xff\xff\xff\xff nonsense")).size == (400, 200)


def test_a_cmyk_jpeg_keeps_its_colours() -> None:
    image = stored(encoded(halves(mode="CMYK"), "JPEG", quality=95))
    assert is_about(pixel(image, 10, 100), RED)
    assert is_about(pixel(image, 390, 100), BLUE)


def test_a_colour_profile_is_applied_and_removed_and_a_broken_one_is_ignored() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"nonsense", srgb[:200]):
        image = stored(jpeg(icc_profile=profile))
        assert is_about(pixel(image, 10, 100), RED)
        assert "icc_profile" not in image.info
    cmyk = encoded(halves(mode="CMYK"), "JPEG", quality=95, icc_profile=srgb)
    assert is_about(pixel(stored(cmyk), 10, 100), RED)
    # This profile swaps red and green.
    swapped = srgb.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")
    image = stored(jpeg(icc_profile=swapped))
    red, green, _blue = pixel(image, 10, 100)
    assert green > red + 100


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "MPO"])
def test_the_first_frame_of_an_animation_is_stored(kind: str) -> None:
    first, second = Image.new("RGB", (50, 50), RED), Image.new("RGB", (50, 50), BLUE)
    image = stored(encoded(first, kind, save_all=True, append_images=[second], duration=100))
    assert getattr(image, "n_frames", 1) == 1
    assert is_about(pixel(image, 25, 25), RED)


def test_metadata_is_removed() -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker of cameras"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 14.0), 3: "E", 4: (11.0, 34.0, 31.0)})
    xmp = b"<x:xmpmeta>secret place</x:xmpmeta>"
    for upload in (
        jpeg(exif=exif, comment=b"secret place", xmp=xmp),
        encoded(halves(), "WEBP", exif=exif, xmp=xmp),
        encoded(halves(), "PNG", exif=exif),
    ):
        assert b"Maker" in upload
        made = make_photo(upload)
        image = Image.open(io.BytesIO(made))
        assert not image.getexif()
        assert not {"exif", "xmp", "icc_profile", "comment"} & image.info.keys()
        assert b"secret" not in made
        assert b"Maker" not in made


def test_only_the_picture_of_a_polyglot_file_is_stored() -> None:
    html = b"<script>alert(1)</script>"
    for upload in (
        jpeg() + html + b"PK\x03\x04",
        jpeg(comment=html),
        encoded(halves(), "PNG") + html,
        encoded(halves(), "WEBP") + html,
    ):
        made = make_photo(upload)
        assert made.startswith(b"RIFF")
        assert b"script" not in made


@pytest.mark.parametrize("what", REFUSED)
def test_an_invalid_upload_is_refused(what: str) -> None:
    status_and_detail, upload = REFUSED[what]
    with pytest.raises(RefusedError) as refused:
        make_photo(upload)
    assert (refused.value.status, str(refused.value)) == status_and_detail


def test_a_file_that_takes_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhaust_memory(*_: Any, **_options: Any) -> NoReturn:
        raise MemoryError

    monkeypatch.setattr(Image, "open", exhaust_memory)
    with pytest.raises(RefusedError, match=r"^Decoding it takes too much memory\.$") as refused:
        make_photo(encoded(halves(), "PNG"))
    assert refused.value.status == 422


@pytest.mark.filterwarnings("ignore")  # the decoder ignores warnings
@pytest.mark.parametrize("content", [jpeg(), encoded(NOISE, "PNG"), encoded(NOISE, "WEBP")])
def test_a_damaged_file_is_stored_or_refused_wherever_the_damage_is(content: bytes) -> None:
    outcomes = set()
    for place in range(1, len(content), len(content) // 60):
        for damaged in (content[:place], content[:place] + b"\xff\x00" + content[place + 2 :]):
            try:
                outcomes.add(stored(damaged).format)
            except RefusedError as refused:
                outcomes.add(str(refused.status))
    assert outcomes <= {"WEBP", "415", "422"}
    assert "422" in outcomes


@pytest.mark.processes
@pytest.mark.parametrize(
    "make_upload",
    [
        lambda: black_png(8000, 5000),
        lambda: encoded(Image.new("RGB", (8000, 5000)), "JPEG"),
        lambda: encoded(Image.new("CMYK", (8000, 5000)), "JPEG"),
        lambda: encoded(Image.new("RGBA", (8000, 5000)), "PNG", compress_level=1),
        lambda: encoded(Image.new("P", (8000, 5000)), "PNG", compress_level=1),
        lambda: black_png(8001, 5000),
        lambda: black_png(20_000, 20_000),
    ],
    ids=["png", "jpeg", "cmyk", "rgba", "palette", "bomb", "large bomb"],
)
def test_the_largest_jpeg_and_png_take_less_than_300_megabytes(
    make_upload: Callable[[], bytes],
) -> None:
    upload = make_upload()
    assert len(upload) < 5_000_000
    assert _peak_megabytes(upload) < 300


@pytest.mark.processes
def test_the_largest_webp_takes_less_than_650_megabytes() -> None:
    upload = encoded(Image.new("RGBA", (8000, 5000)), "WEBP", method=0)
    assert _peak_megabytes(upload) < 650


LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (9, 9))
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_a_lower_limit_of_processor_time_is_kept() -> None:
    program = [sys.executable, "-I", str(DECODER)]
    limited = [sys.executable, "-I", "-c", LIMITED, *program]
    done = subprocess.run(limited, input=jpeg(), capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"RIFF")


# ru_maxrss of a new process includes the memory of its parent, so the parent must be small.
LAUNCHER = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def _peak_megabytes(upload: bytes) -> float:
    """Return the peak memory of the decoder for `upload`."""
    command = [sys.executable, "-I", "-c", LAUNCHER, sys.executable, "-I", str(DECODER)]
    printed = subprocess.run(command, input=upload, capture_output=True, check=True).stdout.split()
    assert printed[0] in (b"0", b"3")
    return int(printed[1]) / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def test_a_progressive_jpeg_of_very_many_scans_is_refused() -> None:
    """Each scan takes as long as the whole picture, and a few bytes."""
    upload = jpeg((64, 64), progressive=True)
    last_scan = upload[upload.rindex(b"\xff\xda") : -2]
    make_photo(upload[:-2] + 80 * last_scan + upload[-2:])
    with pytest.raises(RefusedError, match="more than 100 scans"):
        make_photo(upload[:-2] + 100 * last_scan + upload[-2:])
