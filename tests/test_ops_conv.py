"""Convolution and pooling against loops that nobody can misread, on any geometry."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from op_cases import CASES, Case, eighths

from minprune.errors import ShapeError
from minprune.ops import AvgPool, Conv, MaxPool, exact, run
from minprune.ops.conv import patches, unpatch
from minprune.tensor import apply

conv_case = pytest.mark.parametrize("case", [case for case in CASES if case.op is Conv], ids=str)


def looped(x: Any, W: Any, b: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    """The definition, one product after the other."""
    rank, outputs, width = x.ndim - 2, W.shape[0], W.shape[1]
    out = [
        (x.shape[2 + a] + 2 * padding[a] - dilation[a] * (W.shape[2 + a] - 1) - 1) // stride[a] + 1 for a in range(rank)
    ]
    z = np.zeros((len(x), outputs, *out))
    for n, o, *place in np.ndindex(z.shape):
        z[(n, o, *place)] = 0.0 if b is None else b[o]
        group = o // (outputs // groups)
        for c, entry in product(range(width), np.ndindex(W.shape[2:])):
            at = [place[a] * stride[a] + entry[a] * dilation[a] - padding[a] for a in range(rank)]
            if all(0 <= at[a] < x.shape[2 + a] for a in range(rank)):
                z[(n, o, *place)] += W[(o, c, *entry)] * x[(n, group * width + c, *at)]
    return z


@st.composite
def geometries(draw: Any) -> tuple[Any, Any, Any, dict[str, Any]]:
    """Any convolution that fits: one or two axes, every setting."""
    rank = draw(st.integers(1, 2))

    def per_axis(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    kernel, stride, padding, dilation = per_axis(1, 3), per_axis(1, 3), per_axis(0, 2), per_axis(1, 2)
    least = [max(1, d * (k - 1) + 1 - 2 * p) for k, d, p in zip(kernel, dilation, padding, strict=True)]
    size = [draw(st.integers(low, low + 3)) for low in least]
    groups, width, filters = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    x = eighths(draw(st.integers(0, 2)), groups * width, *size)
    W = eighths(groups * filters, width, *kernel, seed=1)
    b = eighths(groups * filters, seed=2) if draw(st.booleans()) else None
    return x, W, b, {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}


@conv_case
def test_conv_computes_what_the_loop_computes(case: Case) -> None:
    options = Conv.options | case.options
    assert np.array_equal(case.call().out, looped(*case.args, **options))


@settings(max_examples=60, deadline=None)
@given(geometries())
def test_conv_computes_what_the_loop_computes_on_any_geometry(geometry: Any) -> None:
    x, W, b, options = geometry
    assert np.array_equal(apply(Conv, x, W, b, **options), looped(x, W, b, **options))


@settings(max_examples=60, deadline=None)
@given(geometries())
def test_the_gradients_of_conv_are_its_transposes(geometry: Any) -> None:
    """⟨conv(x), g⟩ = ⟨x, conv_grad_x(g)⟩ = ⟨W, conv_grad_W(g)⟩: small eighths, so without any rounding."""
    x, W, _, options = geometry
    call = run(Conv, (x, W, None), options)
    g = eighths(*call.out.shape, seed=5)
    inner = (call.out * g).sum()
    assert (x * Conv.grad("x")(call, g)).sum() == inner
    assert (W * Conv.grad("W")(call, g)).sum() == inner


@conv_case
def test_unpatch_is_the_transpose_of_patches_in_rationals(case: Case) -> None:
    x, W, _ = case.args
    kernel, (stride, padding, dilation) = W.shape[2:], (case.options[k] for k in ("stride", "padding", "dilation"))
    groups = case.options.get("groups", 1)
    columns = patches(exact(x), kernel, stride, padding, dilation, groups)
    g = exact(eighths(*columns.shape, seed=4))
    assert (columns * g).sum() == (exact(x) * unpatch(g, x.shape, kernel, stride, padding, dilation)).sum()


@pytest.mark.parametrize("op", [MaxPool, AvgPool], ids=lambda op: op.name)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_pools_look_at_the_windows_that_the_loop_looks_at(op: Any, data: st.DataObject) -> None:
    kernel, stride = (data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3))) for _ in range(2))
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    size = tuple(data.draw(st.integers(k, k + 3)) for k in kernel)
    x = eighths(2, 1, *size)
    fill = -np.inf if op is MaxPool else 0.0
    image = np.full((2, 1, *(s + 2 * p for s, p in zip(size, padding, strict=True))), fill)
    image[:, :, padding[0] : padding[0] + size[0], padding[1] : padding[1] + size[1]] = x
    y = apply(op, x, kernel=kernel, stride=stride, padding=padding)
    for n, c, i, j in np.ndindex(y.shape):
        top, left = i * stride[0], j * stride[1]
        window = image[n, c, top : top + kernel[0], left : left + kernel[1]]
        assert window.shape == kernel
        expected = window.max() if op is MaxPool else window.sum() / window.size
        assert y[n, c, i, j] == expected
    assert y.shape[2:] == tuple((image.shape[2 + a] - kernel[a]) // stride[a] + 1 for a in range(2))


def test_a_kernel_that_does_not_fit_is_refused() -> None:
    with pytest.raises(
        ShapeError, match=r"a kernel of \(3, 3\) \(dilation \(1, 1\)\) does not fit on \(2, 2\) padded by"
    ):
        apply(Conv, eighths(1, 1, 2, 2), eighths(1, 1, 3, 3), None)


def test_terms_of_conv_name_channel_and_place() -> None:
    case = next(case for case in CASES if case.label == "2d depthwise with multiplier 2")
    call = case.call()
    terms = Conv.terms(call, (0, 2, 0, 0))
    assert [term.tex for term in terms] == [
        "W_{2,0,0,0} x_{1,-1,-1}",
        "W_{2,0,0,1} x_{1,-1,0}",
        "W_{2,0,1,0} x_{1,0,-1}",
        "W_{2,0,1,1} x_{1,0,0}",
        "b_{2}",
    ]
    grouped = next(case for case in CASES if case.label == "1d dilation 2 groups 2 no bias").call()
    assert [term.tex for term in Conv.terms(grouped, (0, 1, 1))] == [
        "W_{1,0,0} x_{2,1}",
        "W_{1,0,1} x_{2,3}",
        "W_{1,1,0} x_{3,1}",
        "W_{1,1,1} x_{3,3}",
    ]


def test_settings_that_are_not_given_change_nothing() -> None:
    """Convolution goes step by step without padding; pools halve the image; nothing is grouped or dilated."""
    x, W = eighths(1, 2, 4, 6), eighths(2, 2, 3, 3, seed=1)
    step = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    assert np.array_equal(apply(Conv, x, W, None), apply(Conv, x, W, None, **step))
    for op in (MaxPool, AvgPool):
        assert np.array_equal(apply(op, x), apply(op, x, kernel=(2, 2), stride=(2, 2), padding=(0, 0)))
