"""Backends: references, their kernels, and which of them runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest

from minprune import backends
from minprune.backends import accelerable, accelerates, backend, table
from minprune.errors import MinpruneError

WITH_KERNELS = {"numba": "minprune.kernels"}
if find_spec("numba_cuda"):
    WITH_KERNELS["cuda"] = "minprune.kernels.cuda"


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A registry of this test's own; the backend in force is put back."""
    for room in WITH_KERNELS.values():
        import_module(room)  # once, before its kernels would look for their references here
    kernels: dict[str, dict[str, Any]] = {}
    monkeypatch.setattr(backends, "_kernels", kernels)
    with backend("numpy"):
        yield kernels


@pytest.fixture
def double(registry: dict[str, Any]) -> Any:
    """A reference with a kernel that can be told apart from it."""

    @accelerable
    def double(x: int) -> str:
        """Twice x."""
        return f"numpy {2 * x}"

    @accelerates(double, "numba")
    def fast(x: int) -> str:
        return f"numba {2 * x}"

    return double


def test_numpy_runs_unless_something_else_is_chosen(double: Any) -> None:
    assert backend() == "numpy"
    assert double(2) == "numpy 4"


def test_a_chosen_backend_stays_until_another_is_chosen(double: Any) -> None:
    choice = backend("numba")
    assert repr(choice) == "<backend numba>"
    assert backend() == "numba"
    assert double(x=2) == "numba 4"
    backend("numpy")
    assert double(2) == "numpy 4"


def test_a_with_block_puts_the_backend_back(double: Any) -> None:
    with backend("numba") as name:
        assert name == "numba"
        assert double(2) == "numba 4"
        with backend("numpy"):
            assert double(2) == "numpy 4"
        assert double(2) == "numba 4"
    assert double(2) == "numpy 4"


def test_a_with_block_puts_the_backend_back_after_an_error(double: Any) -> None:
    with pytest.raises(ZeroDivisionError), backend("numba"):
        raise ZeroDivisionError
    assert backend() == "numpy"


def test_a_function_without_a_kernel_runs_its_reference(double: Any) -> None:
    @accelerable
    def lonely() -> str:
        return "reference"

    with backend("numba"):
        assert lonely() == "reference"


def test_a_reference_keeps_its_name_and_text(double: Any) -> None:
    assert double.__name__ == "double"
    assert double.__doc__ == "Twice x."


def test_threads_do_not_disturb_each_other(double: Any) -> None:
    seen: list[str] = []

    def choose_numba() -> None:
        backend("numba")
        seen.append(double(1))

    thread = threading.Thread(target=choose_numba)
    thread.start()
    thread.join()
    assert seen == ["numba 2"]
    assert double(1) == "numpy 2"


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(MinpruneError, match="unknown backend 'jax'; expected one of numpy, numba, cuda"):
        backend("jax")


@pytest.mark.parametrize("name", WITH_KERNELS)
def test_a_backend_without_kernels_is_refused(name: str, registry: dict[str, Any]) -> None:
    with pytest.raises(MinpruneError, match=f"backend '{name}' has no kernels in this version; use backend"):
        backend(name)
    assert backend() == "numpy"


def test_a_kernel_needs_a_reference() -> None:
    def plain() -> None: ...

    with pytest.raises(MinpruneError, match="plain is not @accelerable: a kernel needs a NumPy reference"):
        accelerates(plain, "numba")


@pytest.mark.parametrize("name", ["numpy", "jax"])
def test_only_backends_apart_from_numpy_take_kernels(double: Any, name: str) -> None:
    with pytest.raises(MinpruneError, match=f"backend '{name}' takes no kernels; expected one of"):
        accelerates(double, name)


def test_the_table_tells_who_has_a_kernel(double: Any) -> None:
    (row,) = [kernels for name, kernels in table().items() if name.endswith("double")]
    assert row == {"numpy": "everything", "numba": "everything"}


def test_a_kernel_gets_what_its_rule_takes_and_the_reference_all_else(double: Any) -> None:
    def even(x: int) -> bool:
        """even numbers

        Whatever else is written here.
        """
        return x % 2 == 0

    @accelerates(double, "numba", takes=even)
    def fast(x: int) -> str:
        return f"even {2 * x}"

    with backend("numba"):
        assert [double(1), double(2), double(x=3)] == ["numpy 2", "even 4", "numpy 6"]
    assert double(2) == "numpy 4"
    (row,) = [kernels for name, kernels in table().items() if name.endswith("double")]
    assert row == {"numpy": "everything", "numba": "even numbers"}


def test_the_kernel_registered_last_is_the_one_that_runs(double: Any) -> None:
    accelerates(double, "numba")(lambda x: "mine")
    with backend("numba"):
        assert double(1) == "mine"


def test_a_rule_without_words_is_shown_by_its_name(double: Any) -> None:
    def odd(x: int) -> bool:
        return x % 2 == 1

    accelerates(double, "numba", takes=odd)(lambda x: "odd")
    (row,) = [kernels for name, kernels in table().items() if name.endswith("double")]
    assert row["numba"] == "odd"


def test_the_heavy_ops_are_accelerable() -> None:
    names = {name.rpartition(".")[2] for name in table()}
    assert names >= {
        "affine",
        "affine_grad_x",
        "affine_grad_W",
        "conv",
        "conv_grad_x",
        "conv_grad_W",
        "max_pool",
        "max_pool_grad",
        "avg_pool",
    }
