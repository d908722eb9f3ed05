"""Numbers of bfloat16 without torch: the upper halves of float32."""

import numpy as np

from calibkit._checks import BFloat16Array


def bfloat16(values):
    """Numbers rounded towards 0 to bfloat16."""
    return BFloat16Array((np.asarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16))


def rounded(values, dtype):
    """Numbers in a type, be it one that NumPy does not have."""
    return bfloat16(values) if dtype == "bfloat16" else np.asarray(values).astype(dtype)
