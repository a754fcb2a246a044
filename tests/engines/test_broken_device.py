"""Which errors say that a process has lost its device, and which do not."""

import pytest
import torch

from backend import device
from backend.resources import is_broken_device


def chained(cause, error):
    try:
        try:
            raise cause
        except type(cause) as inner:
            raise error from inner
    except type(error) as outer:
        return outer


@pytest.mark.parametrize(
    ("error", "broken"),
    [
        (RuntimeError("CUDA error: an illegal memory access was encountered"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), True),
        (RuntimeError("CUDA error: unspecified launch failure"), True),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling cublasSgemm"), True),
        (chained(RuntimeError("CUDA error: misaligned address"), KeyError("told later")), True),
        (RuntimeError("CUDA error: out of memory"), False),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (AssertionError("a device-side assert is only spoken of"), False),
        (KeyError("x"), False),
    ],
    ids=str,
)
def test_errors_after_which_cuda_asks_for_a_new_process_are_told_from_others(error, broken):
    assert is_broken_device(error) == broken


def test_a_cpu_is_never_lost():
    assert device.is_usable("cpu")


def test_a_device_that_raises_when_it_is_waited_for_does_not_answer(monkeypatch):
    def raises(device):
        raise RuntimeError("CUDA error: unknown error")

    monkeypatch.setattr(torch.cuda, "synchronize", raises)
    assert not device.is_usable("cuda")
