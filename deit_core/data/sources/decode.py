"""From an image file of any kind to an image in mode "L" or "RGB"."""

from __future__ import annotations

import struct
from io import BytesIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from deit_core.data.sources.base import UnreadableImageError

_DECODER_ERRORS = (
    OSError,
    SyntaxError,  # what Pillow raises for a broken PNG chunk
    ValueError,
    EOFError,
    IndexError,
    struct.error,
    Image.DecompressionBombError,
)


def read_image(path: str, mode: str) -> Image.Image:
    """Decode a file whole and convert it to `mode` ("L" or "RGB").

    The EXIF orientation is not applied, as in the reference's loader (torchvision's ImageFolder).

    Raises:
        UnreadableImageError: the file is missing, truncated, or no image.
    """
    return _read(path, mode, name=path)


def decode_image(content: bytes, mode: str, *, name: str) -> Image.Image:
    """Decode the content of a file as `read_image` does; `name` is what errors call it.

    Raises:
        UnreadableImageError: the content is truncated, or no image.
    """
    return _read(BytesIO(content), mode, name=name)


def _read(file: str | BytesIO, mode: str, *, name: str) -> Image.Image:
    try:
        with Image.open(file) as image:
            return convert(image, mode)
    except _DECODER_ERRORS as error:
        raise UnreadableImageError(name, _reason(error)) from None


def _reason(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "its content is of no known image format"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).partition("\n")[0] or type(error).__name__


def convert(image: Image.Image, mode: str) -> Image.Image:
    """The image in mode "L" or "RGB", whatever mode it has.

    Transparent images are laid on white: what hides under full transparency is arbitrary (often
    black), and white is what viewers and printed pages show. 16-bit images keep their high byte.
    The reference's loader (torchvision's ImageFolder, Pillow's `convert("RGB")`) drops the alpha
    channel and turns every 16-bit value above 255 into white.
    """
    if image.has_transparency_data:
        opaque = image.convert("RGBA")
        white = Image.new("RGBA", opaque.size, "white")
        image = Image.alpha_composite(white, opaque)
    elif image.mode == "I" or image.mode.startswith("I;16"):
        wide = np.asarray(image).astype(np.int64)
        image = Image.fromarray((wide.clip(0, 2**16 - 1) >> 8).astype(np.uint8))
    elif image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        image = image.convert("RGB")
    if image.mode == mode:
        image.load()
        return image
    return image.convert(mode)
