"""bfloat16, which NumPy does not have: 16 bits, the upper half of a float32. Floor 0."""

import sys
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import DTypeLike, NDArray

BFLOAT16_EPS = 2.0**-7


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BFloat16Array(NDArrayOperatorsMixin):
    """Numbers of bfloat16 that are kept as they are, 2 bytes each, and read as float32.

    Parts of it are of the same kind and share its memory. Everything else that is asked of an array (`numpy.asarray`,
    operators, functions and methods) is asked of the float32 values, which are made anew each time: ask it of parts.

    Parameters
    ----------
    bits : ndarray of uint16
        The bits of the numbers, of any shape and strides.

    Examples
    --------
    >>> numbers = BFloat16Array(np.array([[0x3FC0, 0xC040], [0x3F80, 0x0000]], dtype=np.uint16))
    >>> numbers[:1], np.asarray(numbers[0])
    (BFloat16Array(shape=(1, 2)), array([ 1.5, -3. ], dtype=float32))
    >>> numbers.max(axis=1), numbers[0, 1] + 1
    (array([1.5, 1. ], dtype=float32), np.float32(-2.0))
    """

    bits: NDArray[np.uint16]

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """Type of the numbers as they are read."""
        return np.dtype(np.float32)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape, as of an array."""
        return self.bits.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.bits.ndim

    @property
    def size(self) -> int:
        """Number of numbers."""
        return self.bits.size

    @property
    def nbytes(self) -> int:
        """Bytes in memory: 2 a number."""
        return self.bits.nbytes

    @property
    def T(self) -> "BFloat16Array":  # noqa: N802
        """The transposed numbers, in the same memory."""
        return BFloat16Array(self.bits.T)

    def astype(self, dtype: DTypeLike, **options: Any) -> NDArray[Any]:
        """The numbers in another type."""
        return widened(self.bits).astype(dtype, **options)

    def __len__(self) -> int:
        return len(self.bits)

    def __getitem__(self, index: Any) -> Any:
        part = self.bits[index]
        return BFloat16Array(part) if isinstance(part, np.ndarray) else widened(np.asarray(part))[()]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:  # noqa: FBT001
        if copy is False:
            raise ValueError("numbers of bfloat16 are read as float32, which is a copy")
        return self.astype(np.float32 if dtype is None else dtype, copy=False)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if any(isinstance(one, BFloat16Array) for one in options.get("out", ())):
            raise ValueError("numbers of bfloat16 are read-only")
        wide = (np.asarray(one) if isinstance(one, BFloat16Array) else one for one in inputs)
        return getattr(ufunc, method)(*wide, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # a protocol would read the memory of values that are gone
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(widened(self.bits), name)

    def __repr__(self) -> str:
        return f"BFloat16Array(shape={self.shape})"


ARRAYS = (np.ndarray, BFloat16Array)
Stored = NDArray[Any] | BFloat16Array


def widened(bits: NDArray[Any]) -> NDArray[np.float32]:
    """Turn the 16 bits of bfloat16 into float32, exactly.

    Examples
    --------
    >>> widened(np.array([0x3FC0, 0xC040], dtype=np.uint16))
    array([ 1.5, -3. ], dtype=float32)
    """
    wide = bits.astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)


def narrowed(values: NDArray[Any]) -> BFloat16Array:
    """Numbers that came from bfloat16, as such again.

    Examples
    --------
    >>> np.asarray(narrowed(np.array([1.5, -3.0])))
    array([ 1.5, -3. ], dtype=float32)
    """
    return BFloat16Array((values.astype(np.float32, copy=False).view(np.uint32) >> 16).astype(np.uint16))


def is_bfloat16(values: Any) -> bool:
    """Whether an array or tensor holds numbers of bfloat16."""
    kind = str(getattr(values, "dtype", ""))
    return isinstance(values, BFloat16Array) or kind in ("bfloat16", "torch.bfloat16")


def copy_widened(block: NDArray[Any], values: BFloat16Array) -> None:
    """Copy numbers into a block of float32 or float64."""
    if block.dtype != np.float32:
        np.copyto(block, widened(values.bits))
        return
    wide = block.view(np.uint32)
    np.copyto(wide, values.bits)
    np.left_shift(wide, 16, out=wide)


def as_float32(bits: NDArray[np.uint16]) -> NDArray[Any]:
    """Numbers of bfloat16 as an array of float32; (n, k) as a `BFloat16Array`, which answers as one and is typed so."""
    return cast(NDArray[Any], BFloat16Array(bits)) if bits.ndim == 2 else widened(bits)


def bits_of(values: Any) -> object:
    """A `BFloat16Array`, or a tensor of bfloat16, which has no array, as 16-bit integers; anything else as it is.

    A tensor that cannot be read stays as it is too, for the error.
    """
    if isinstance(values, BFloat16Array):
        return values.bits
    # Told without an import of torch; where there is a tensor, it has been imported.
    is_tensor = str(getattr(values, "dtype", "")) == "torch.bfloat16"
    readable = is_tensor and values.device.type == "cpu" and not values.requires_grad
    return values.view(sys.modules["torch"].int16) if readable else values
