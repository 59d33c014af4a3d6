"""AdaBound against the authors' package and its definition, Muon against both of its own."""

from __future__ import annotations

import copy
import io
import math
import pickle
import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import adabound
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from smallnet_core.models import build_model
from smallnet_core.training.optimizers import (
    OPTIMIZER_NAMES,
    AdaBound,
    Muon,
    build_optimizer,
    learning_rate_factor,
    load_state,
    orthogonalised,
)

SHAPES = ((7, 3), (5,), (2, 3, 3, 3), ())
STEPS = 250  # past 1 / (1 - beta2) / 4, with gamma 0.02: the band has narrowed to 20 %


def draw(seed: int, dtype: torch.dtype = torch.float64) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [
        nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype))
        for shape in SHAPES
    ]


class Gradients:
    """The same sequence for everyone: of very different sizes, so that both bounds are hit."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def next(self, *lists: list[nn.Parameter]) -> None:
        for params in zip(*lists, strict=True):
            noise = torch.randn((2, *params[0].shape), generator=self.generator).double()
            grad = 0.01 * noise[0] * torch.exp(2 * noise[1])
            for p in params:
                p.grad = grad.to(p.dtype)


def assert_agree(ours: list[nn.Parameter], theirs: list[nn.Parameter], tolerance: float) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=tolerance, atol=tolerance)


def half(params: list[nn.Parameter]) -> list[dict[str, Any]]:
    """Two groups that differ in every setting."""
    other = {"lr": 3e-3, "betas": (0.8, 0.95), "final_lr": 0.03, "gamma": 0.1, "eps": 1e-6}
    return [{"params": params[:2]}, {"params": params[2:], "weight_decay": 0.2, **other}]


# --- AdaBound against the package ---------------------------------------------------------------


@pytest.mark.parametrize("amsbound", [False, True], ids=["adabound", "amsbound"])
@pytest.mark.parametrize("weight_decay", [0.0, 5e-2], ids=["plain", "decayed"])
@pytest.mark.parametrize("scheduled", [False, True], ids=["constant", "scheduled"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-12), (torch.float32, 1e-6)],
    ids=["float64", "float32"],
)
def test_adabound_agrees_with_the_package(
    amsbound: bool, weight_decay: float, scheduled: bool, dtype: torch.dtype, tolerance: float
) -> None:
    ours, theirs, gradients = draw(0, dtype), draw(0, dtype), Gradients(1)
    setup = {"gamma": 0.02, "weight_decay": weight_decay, "amsbound": amsbound}
    optimizers = [AdaBound(ours, **setup), adabound.AdaBound(theirs, **setup)]
    for step in range(STEPS):
        gradients.next(ours, theirs)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * (math.cos(step / 40) ** 2 if scheduled else 1.0)
            optimizer.step()
    assert_agree(ours, theirs, tolerance)
    assert all((p - start).abs().max() > 1e-2 for p, start in zip(ours, draw(0), strict=True))


def test_adabound_agrees_with_the_package_on_groups_of_their_own_settings() -> None:
    ours, theirs, gradients = draw(0), draw(0), Gradients(2)
    optimizers = [AdaBound(half(ours)), adabound.AdaBound(half(theirs))]
    for step in range(STEPS):
        gradients.next(ours, theirs)
        for optimizer in optimizers:
            if step == 100:
                for group in optimizer.param_groups:
                    group["lr"] *= 0.1
            optimizer.step()
    assert_agree(ours, theirs, 1e-12)


def test_adabound_counts_steps_by_parameter() -> None:
    """As the package does: a parameter without a gradient skips the step and its counter."""
    ours, theirs, gradients = draw(0), draw(0), Gradients(3)
    optimizers = [AdaBound(ours, gamma=0.1), adabound.AdaBound(theirs, gamma=0.1)]
    for step in range(30):
        gradients.next(ours, theirs)
        for params in (ours, theirs):
            for place, p in enumerate(params):
                if (step + place) % (place + 2) == 0:
                    p.grad = None
        for optimizer in optimizers:
            optimizer.step()
    steps = [optimizers[0].state[p]["step"] for p in ours]
    assert steps == [optimizers[1].state[p]["step"] for p in theirs] and len(set(steps)) > 2
    assert_agree(ours, theirs, 1e-12)


values = st.floats(-1e3, 1e3, width=32)
shapes = st.lists(st.integers(1, 4), max_size=3).map(tuple)


@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_adabound_agrees_with_the_package_whatever_the_settings(data: st.DataObject) -> None:
    setup = {
        "lr": data.draw(st.floats(1e-5, 1.0), "lr"),
        "final_lr": data.draw(st.floats(1e-4, 10.0), "final_lr"),
        "betas": data.draw(st.tuples(st.floats(0, 0.99), st.floats(0, 0.9999)), "betas"),
        "gamma": data.draw(st.floats(1e-4, 0.9), "gamma"),
        "eps": data.draw(st.floats(1e-10, 1e-2), "eps"),
        "weight_decay": data.draw(st.floats(0, 1.0), "weight_decay"),
        "amsbound": data.draw(st.booleans(), "amsbound"),
    }

    def tensor(shape: tuple[int, ...]) -> Tensor:
        count = math.prod(shape)
        drawn = data.draw(st.lists(values, min_size=count, max_size=count))
        return torch.tensor(drawn, dtype=torch.float64).reshape(shape)

    starts = [tensor(shape) for shape in data.draw(st.lists(shapes, min_size=1, max_size=3))]
    ours, theirs = ([nn.Parameter(start.clone()) for start in starts] for _ in range(2))
    optimizers = [AdaBound(ours, **setup), adabound.AdaBound(theirs, **setup)]
    for _ in range(3):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = tensor(tuple(p.shape))
            q.grad = p.grad.clone()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "This overload of")
            for optimizer in optimizers:
                optimizer.step()
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-9)


# --- AdaBound by its definition -----------------------------------------------------------------


def test_adabound_rates_lie_in_a_band_that_narrows_onto_final_lr() -> None:
    params, gradients = draw(0), Gradients(4)
    final_lr, gamma = 0.05, 0.1
    optimizer = AdaBound(params, lr=1e-2, final_lr=final_lr, gamma=gamma, betas=(0.0, 0.999))
    hits = {"lower": 0, "inside": 0, "upper": 0}
    for t in range(1, 301):
        gradients.next(params)
        before = [p.detach().clone() for p in params]
        optimizer.step()
        lower = final_lr * (1 - 1 / (gamma * t + 1))
        upper = final_lr * (1 + 1 / (gamma * t))
        # With beta1 = 0 the average is the gradient itself.
        rates = torch.cat(
            [((b - p) / p.grad).flatten() for b, p in zip(before, params, strict=True)]
        )
        assert (rates >= lower * (1 - 1e-6)).all() and (rates <= upper * (1 + 1e-6)).all()
        hits["lower"] += int((rates <= lower * (1 + 1e-6)).sum())
        hits["upper"] += int((rates >= upper * (1 - 1e-6)).sum())
        hits["inside"] += int(((rates > lower * 1.001) & (rates < upper * 0.999)).sum())
    assert (rates / final_lr - 1).abs().max() <= 1.001 / (gamma * 300)
    assert min(hits.values()) > 20, hits  # each bound was tested, and so was what lies between


def test_adabound_before_its_bounds_bite_is_adam() -> None:
    ours, theirs, gradients = draw(0), draw(0), Gradients(5)
    optimizers = [
        AdaBound(ours, gamma=1e-15, eps=0.0, final_lr=1.0),
        torch.optim.Adam(theirs, eps=0.0),
    ]
    for _ in range(50):
        gradients.next(ours, theirs)
        for optimizer in optimizers:
            optimizer.step()
    assert_agree(ours, theirs, 1e-9)


def test_a_schedule_moves_the_bounds_with_the_rate() -> None:
    p = nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = AdaBound([p], lr=1e-3, final_lr=0.1, gamma=0.999, betas=(0.0, 0.999))
    for _ in range(1000):
        p.grad = torch.full_like(p, 1e-9)  # far beyond the upper bound
        optimizer.step()
    optimizer.param_groups[0]["lr"] = 1e-4
    before = p.detach().clone()
    p.grad = torch.ones_like(p)
    optimizer.step()
    torch.testing.assert_close(before - p, torch.full_like(p, 0.01), rtol=2e-3, atol=0)


def test_adabound_converges_on_a_quadratic() -> None:
    curvature = torch.logspace(-1, 1, 10, dtype=torch.float64)
    x = nn.Parameter(torch.ones(10, dtype=torch.float64))
    optimizer = AdaBound([x], lr=1e-2, final_lr=0.1, gamma=1e-2)
    for _ in range(1000):
        optimizer.zero_grad()
        loss = 0.5 * (curvature * x * x).sum()
        loss.backward()
        optimizer.step()
    assert float(x.detach().abs().max()) < 1e-3


def test_adabound_is_deterministic() -> None:
    results = []
    for _ in range(2):
        params, gradients = draw(0, torch.float32), Gradients(6)
        optimizer = AdaBound(half(params))
        for _ in range(20):
            gradients.next(params)
            optimizer.step()
        results.append(params)
    assert all(torch.equal(p, q) for p, q in zip(*results, strict=True))


# --- AdaBound where the package fails -----------------------------------------------------------


def through_state_dict(optimizer: AdaBound, params: list[nn.Parameter]) -> AdaBound:
    buffer = io.BytesIO()
    torch.save(optimizer.state_dict(), buffer)
    buffer.seek(0)
    again = AdaBound(half(params), lr=0.7)  # whatever it is built with, the state's rates count
    again.load_state_dict(torch.load(buffer, weights_only=True))
    return again


@pytest.mark.parametrize("amsbound", [False, True], ids=["adabound", "amsbound"])
def test_a_resumed_training_goes_on_as_if_uninterrupted(amsbound: bool) -> None:
    whole, parted = draw(0), draw(0)
    gradients = Gradients(7)
    uninterrupted, resumed = AdaBound(half(whole)), AdaBound(half(parted))
    for optimizer in (uninterrupted, resumed):
        for group in optimizer.param_groups:
            group["amsbound"] = amsbound
    for step in range(40):
        gradients.next(whole, parted)
        if step == 17:
            resumed = through_state_dict(resumed, parted)
        for optimizer in (uninterrupted, resumed):
            for group, base in zip(optimizer.param_groups, (1e-3, 3e-3), strict=True):
                group["lr"] = base * (1 - step / 40)
            optimizer.step()
    assert all(torch.equal(p, q) for p, q in zip(whole, parted, strict=True))


def test_a_state_saved_under_a_lowered_rate_keeps_its_base() -> None:
    params = draw(0)
    optimizer = AdaBound(half(params))
    for group in optimizer.param_groups:
        group["lr"] *= 0.1
    again = through_state_dict(optimizer, params)
    assert [group["base_lr"] for group in again.param_groups] == [1e-3, 3e-3]
    assert [group["lr"] for group in again.param_groups] == pytest.approx([1e-4, 3e-4])


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))],
    ids=["deepcopy", "pickle"],
)
def test_a_copy_steps_as_the_original(copied: Callable[[Any], Any]) -> None:
    params, gradients = draw(0), Gradients(8)
    optimizer = AdaBound(half(params))
    gradients.next(params)
    optimizer.step()
    for group in optimizer.param_groups:
        group["lr"] *= 0.1
    params_again, again = copied((params, optimizer))
    assert [group["base_lr"] for group in again.param_groups] == [1e-3, 3e-3]
    for _ in range(5):
        gradients.next(params, params_again)
        optimizer.step()
        again.step()
    assert all(torch.equal(p, q) for p, q in zip(params, params_again, strict=True))


def test_parameters_added_later_are_updated_with_a_base_rate_of_their_own() -> None:
    first, later, alone = draw(0), draw(1), draw(1)
    optimizer = AdaBound(first, final_lr=0.2)
    optimizer.param_groups[0]["lr"] *= 0.1
    optimizer.add_param_group({"params": later, "lr": 5e-3})
    assert [group["base_lr"] for group in optimizer.param_groups] == [1e-3, 5e-3]
    reference = AdaBound(alone, lr=5e-3, final_lr=0.2)
    gradients = Gradients(9)
    for _ in range(10):
        gradients.next(first, later, alone)
        optimizer.step()
        reference.step()
    assert all(torch.equal(p, q) for p, q in zip(later, alone, strict=True))
    assert not torch.equal(later[0], draw(1)[0])


INVALID = [
    ("lr", 0.0, "0.0"),
    ("lr", -1e-3, "-0.001"),
    ("lr", math.nan, "nan"),
    ("final_lr", 0.0, "0.0"),
    ("final_lr", -0.1, "-0.1"),
    ("eps", -1e-8, "-1e-08"),
    ("weight_decay", -0.5, "-0.5"),
    ("betas", (1.0, 0.999), "(1.0, 0.999)"),
    ("betas", (0.9, -0.1), "(0.9, -0.1)"),
    ("gamma", 0.0, "0.0"),
    ("gamma", 1.0, "1.0"),
]


@pytest.mark.parametrize(
    ("name", "value", "shown"), INVALID, ids=[f"{n}={s}" for n, _, s in INVALID]
)
def test_settings_out_of_range_are_refused(name: str, value: Any, shown: str) -> None:
    for build in (
        lambda params: AdaBound(params, **{name: value}),
        lambda params: AdaBound([{"params": params, name: value}]),
        lambda params: AdaBound(draw(1)).add_param_group({"params": params, name: value}),
    ):
        with pytest.raises(ValueError, match=f"AdaBound: {name} must .*") as caught:
            build(draw(0))
        assert shown in str(caught.value)


def test_a_rate_of_zero_later_on_stands_still() -> None:
    """The last step of a schedule that ends at zero; as a base rate it would divide by zero."""
    params, gradients = draw(0), Gradients(10)
    optimizer = AdaBound(params)
    optimizer.param_groups[0]["lr"] = 0.0
    gradients.next(params)
    optimizer.step()
    assert all(torch.equal(p, q) for p, q in zip(params, draw(0), strict=True))


def test_the_closure_runs_with_gradients_and_its_loss_is_returned() -> None:
    x = nn.Parameter(torch.tensor([3.0]))
    optimizer = AdaBound([x])

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (x * x).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 9.0
    assert x.item() == pytest.approx(3.0 - 1e-3, abs=1e-6)
    assert optimizer.step() is None


def test_a_parameter_without_a_gradient_is_left_alone() -> None:
    with_grad, without = draw(0)[:2]
    optimizer = AdaBound([with_grad, without], weight_decay=0.1)
    with_grad.grad = torch.ones_like(with_grad)
    optimizer.step()
    assert not torch.equal(with_grad, draw(0)[0]) and torch.equal(without, draw(0)[1])
    assert without not in optimizer.state


def test_sparse_gradients_are_refused() -> None:
    table = nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(ValueError, match="sparse"):
        AdaBound(table.parameters()).step()


def test_the_step_leaves_the_gradients_as_they_were() -> None:
    params, gradients = draw(0), Gradients(11)
    optimizer = AdaBound(params, weight_decay=0.3)
    gradients.next(params)
    before = [p.grad.clone() for p in params]
    optimizer.step()
    assert all(torch.equal(p.grad, grad) for p, grad in zip(params, before, strict=True))


# --- AdaBound for CUDA graphs, on the CPU -------------------------------------------------------


def rates_as_tensors(optimizer: torch.optim.Optimizer) -> None:
    for group in optimizer.param_groups:
        group["lr"] = torch.full((), group["lr"])


def set_rates(optimizer: torch.optim.Optimizer, bases: tuple[float, ...], factor: float) -> None:
    for group, base in zip(optimizer.param_groups, bases, strict=True):
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(base * factor)
        else:
            group["lr"] = base * factor


@pytest.mark.parametrize("amsbound", [False, True], ids=["adabound", "amsbound"])
@pytest.mark.parametrize("weight_decay", [0.0, 5e-2], ids=["plain", "decayed"])
@pytest.mark.parametrize("gamma", [0.02, 1e-3, 1e-15], ids=["narrow", "wide", "as_adam"])
@pytest.mark.parametrize("rate", ["float", "tensor"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-12), (torch.float32, 2e-6)],
    ids=["float64", "float32"],
)
def test_capturable_adabound_is_the_ordinary_one(
    amsbound: bool,
    weight_decay: float,
    gamma: float,
    rate: str,
    dtype: torch.dtype,
    tolerance: float,
) -> None:
    """Over a schedule that ends at 0, where a bound that is divided by would show."""
    ours, theirs, gradients = draw(0, dtype), draw(0, dtype), Gradients(1)
    setup = {"gamma": gamma, "weight_decay": weight_decay, "amsbound": amsbound}
    optimizers = [AdaBound(ours, **setup, capturable=True), AdaBound(theirs, **setup)]
    if rate == "tensor":
        optimizers[0].param_groups[0]["lr"] = torch.tensor(1e-3, dtype=dtype)
    for step in range(51):
        gradients.next(ours, theirs)
        for optimizer in optimizers:
            set_rates(
                optimizer, (1e-3,), math.cos(step / 50 * math.pi / 2) ** 2 if step < 50 else 0
            )
            optimizer.step()
    assert_agree(ours, theirs, tolerance)
    assert all((p - start).abs().max() > 1e-3 for p, start in zip(ours, draw(0), strict=True))


def test_capturable_adabound_agrees_on_groups_of_their_own_settings() -> None:
    ours, theirs, gradients = draw(0), draw(0), Gradients(2)
    for group in (groups := half(ours)):
        group["capturable"] = True
    optimizers = [AdaBound(groups), AdaBound(half(theirs))]
    for step in range(50):
        gradients.next(ours, theirs)
        for optimizer in optimizers:
            set_rates(optimizer, (1e-3, 3e-3), 1 - step / 50)
            optimizer.step()
    assert_agree(ours, theirs, 1e-12)


def test_capturable_adabound_counts_steps_by_parameter() -> None:
    ours, theirs, gradients = draw(0), draw(0), Gradients(3)
    optimizers = [AdaBound(ours, gamma=0.1, capturable=True), AdaBound(theirs, gamma=0.1)]
    for step in range(30):
        gradients.next(ours, theirs)
        for params in (ours, theirs):
            for place, p in enumerate(params):
                if step > 4 and (step + place) % (place + 2) == 0:
                    p.grad = None
        for optimizer in optimizers:
            optimizer.step()
        if step == 4:  # until then one tensor counts for all: a few kernels update them
            assert len({id(optimizers[0].state[p]["step"]) for p in ours}) == 1
    steps = [int(optimizers[0].state[p]["step"]) for p in ours]
    assert steps == [optimizers[1].state[p]["step"] for p in theirs] and len(set(steps)) > 2
    assert_agree(ours, theirs, 1e-12)


def step_on_meta(optimizer: torch.optim.Optimizer) -> None:
    """A tensor there has no numbers: whatever fetches one to the host raises."""
    for group in optimizer.param_groups:
        group["lr"] = torch.empty((), device="meta")
        for p in group["params"]:
            p.grad = torch.empty_like(p)
    for _ in range(2):
        optimizer.step()


def on_meta() -> list[nn.Parameter]:
    return [nn.Parameter(torch.empty(shape, device="meta")) for shape in SHAPES]


@pytest.mark.parametrize("amsbound", [False, True], ids=["adabound", "amsbound"])
def test_a_capturable_step_fetches_nothing_from_the_device(amsbound: bool) -> None:
    step_on_meta(AdaBound(on_meta(), weight_decay=0.1, amsbound=amsbound, capturable=True))
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        torch._foreach_sub_(on_meta(), torch.empty((), device="meta"))


def test_a_tensor_rate_needs_capturable_and_the_parameters_device() -> None:
    with pytest.raises(ValueError, match="tensor as lr needs capturable=True"):
        AdaBound(draw(0), lr=torch.tensor(1e-3))
    params = draw(0)
    optimizer = AdaBound(params, lr=torch.tensor(1e-3), capturable=True)
    assert type(optimizer.param_groups[0]["base_lr"]) is float
    Gradients(1).next(params)
    optimizer.param_groups[0]["lr"] = torch.empty((), device="meta")
    with pytest.raises(ValueError, match="lr is on meta, its parameters on cpu"):
        optimizer.step()


def saved(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(optimizer.state_dict(), buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize("amsbound", [False, True], ids=["adabound", "amsbound"])
@pytest.mark.parametrize("through", ["load_state_dict", "load_state", "deepcopy", "pickle"])
def test_a_capturable_state_goes_on_as_if_uninterrupted(amsbound: bool, through: str) -> None:
    whole, parted, gradients = draw(0), draw(0), Gradients(7)
    setup = {"amsbound": amsbound, "capturable": True}
    uninterrupted, resumed = AdaBound(whole, **setup), AdaBound(parted, **setup)
    for step in range(30):
        gradients.next(whole, parted)
        if step == 17:
            if through == "deepcopy":
                parted, resumed = copy.deepcopy((parted, resumed))
            elif through == "pickle":
                parted, resumed = pickle.loads(pickle.dumps((parted, resumed)))
            else:
                state = saved(resumed)
                resumed = AdaBound(parted, lr=0.7, **setup)
                if through == "load_state":
                    load_state(resumed, state)
                else:
                    resumed.load_state_dict(state)
            gradients.next(whole, parted)  # copies have no gradients
            assert len({id(resumed.state[p]["step"]) for p in parted}) == 1
        for optimizer in (uninterrupted, resumed):
            set_rates(optimizer, (1e-3,), 1 - step / 40)
            optimizer.step()
    assert all(torch.equal(p, q) for p, q in zip(whole, parted, strict=True))
    assert {resumed.state[p]["step"].dtype for p in parted} == {torch.float32}


def test_a_state_from_before_there_was_capturable_loads() -> None:
    params, gradients = draw(0), Gradients(7)
    optimizer = AdaBound(params)
    gradients.next(params)
    optimizer.step()
    state = saved(optimizer)
    del state["param_groups"][0]["capturable"]
    for load in (lambda o: o.load_state_dict(state), lambda o: load_state(o, state)):
        again = AdaBound(params)
        load(again)
        assert again.param_groups[0]["capturable"] is False
        assert [again.state[p]["step"] for p in params] == [1] * len(params)
        again.step()


@pytest.mark.parametrize("capturable", [False, True], ids=["to ordinary", "to capturable"])
@pytest.mark.parametrize("name", ["sgdm", "adam", "adabound", "muon"])
def test_load_state_takes_a_state_of_the_other_mode(name: str, capturable: bool) -> None:
    """The mode and the tensors that a graph reads stay; everything else is the saved one's."""
    whole, parted = network(), network()
    uninterrupted = build_optimizer(name, whole, lr=0.01, weight_decay=0.1)
    resumed = build_optimizer(name, parted, lr=0.01, weight_decay=0.1, capturable=not capturable)
    bases = tuple(group["lr"] for group in uninterrupted.param_groups)
    gradients = Gradients(7)
    for step in range(12):
        gradients.next(list(whole.parameters()), list(parted.parameters()))
        if step == 5:
            state = saved(resumed)
            resumed = build_optimizer(name, parted, lr=0.7, weight_decay=0.0, capturable=capturable)
            own = [group["lr"] for group in resumed.param_groups]
            load_state(resumed, state)
            for group, rate, base in zip(resumed.param_groups, own, bases, strict=True):
                assert isinstance(group["lr"], Tensor if capturable else float)
                assert not capturable or group["lr"] is rate
                assert float(group["lr"]) == pytest.approx(base * (1 - 4 / 12))
                assert group.get("capturable", False) is (capturable and name == "adabound")
        for optimizer in (uninterrupted, resumed):
            set_rates(optimizer, bases, 1 - step / 12)
            optimizer.step()
    assert_agree(list(whole.parameters()), list(parted.parameters()), 2e-6)


# --- Muon ---------------------------------------------------------------------------------------


def matrix(rows: int, columns: int, seed: int = 0, smallest: float = 0.02) -> Tensor:
    """With singular values from 1 down to ``smallest``, in double precision."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    u, s, vh = torch.linalg.svd(noise, full_matrices=False)
    return u @ torch.diag(torch.logspace(0, math.log10(smallest), len(s)).double()) @ vh


def by_svd(update: Tensor, steps: int) -> Tensor:
    """The definition: the quintic on each singular value, whose vectors stay."""
    u, s, vh = torch.linalg.svd(update.flatten(1), full_matrices=False)
    s = s / s.square().sum().sqrt()
    for _ in range(steps):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return (u @ torch.diag(s) @ vh).view(update.shape)


@pytest.mark.parametrize("shape", [(8, 30), (30, 8), (12, 12)], ids=["lying", "standing", "square"])
@pytest.mark.parametrize("steps", [1, 3, 5])
def test_newton_schulz_is_its_polynomial_on_the_singular_values(
    shape: tuple[int, int], steps: int
) -> None:
    matrices = torch.stack([matrix(*shape, seed=seed) for seed in range(3)])
    found = orthogonalised(matrices, steps=steps)
    expected = torch.stack([by_svd(m, steps) for m in matrices])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("shape", [(8, 30), (30, 8), (12, 12)], ids=["lying", "standing", "square"])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_orthogonalised_has_singular_values_near_one(
    dtype: torch.dtype | None, shape: tuple[int, int], scale: float
) -> None:
    given = scale * matrix(*shape).float()
    found = orthogonalised(given[None], dtype=dtype)[0]
    assert found.dtype == torch.float32 and found.shape == shape
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.6 and values.max() < 1.25
    # The same singular vectors: U^T found V is diagonal and positive.
    u, _, vh = torch.linalg.svd(given, full_matrices=False)
    core = u.T @ found @ vh.T
    off_diagonal = core - torch.diag(core.diagonal())
    assert (core.diagonal() > 0.5).all()
    assert off_diagonal.abs().max() < (0.1 if dtype else 1e-3)


def test_orthogonalised_leaves_nothing_of_nothing() -> None:
    assert not orthogonalised(torch.zeros(2, 3, 4)).any()


MUON_SHAPES = ((4, 3, 3, 3), (6, 4, 3, 3), (6, 4, 3, 3), (9, 5), (5, 9))
VECTORS = ((4,), (6,), (2, 7))


def drawn(shapes: tuple[tuple[int, ...], ...], seed: int = 0) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [
        nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64))
        for shape in shapes
    ]


def two_parts(body: list[nn.Parameter], rest: list[nn.Parameter], **setup: Any) -> Muon:
    sgd = {"orthogonal": False, "lr": 0.05, "momentum": 0.8, "weight_decay": 0.1}
    return Muon([{"params": body, **setup}, {"params": rest, **sgd}])


@pytest.mark.parametrize("nesterov", [False, True], ids=["plain", "nesterov"])
@pytest.mark.parametrize("normalised", [False, True], ids=["free", "normalised"])
def test_muon_agrees_with_its_definition(nesterov: bool, normalised: bool) -> None:
    """One tensor after another, by singular value decomposition; the rest by torch's SGD."""
    ours, body = drawn(MUON_SHAPES), [p.detach().clone() for p in drawn(MUON_SHAPES)]
    rest, theirs = drawn(VECTORS), drawn(VECTORS)
    setup = {"lr": 0.1, "momentum": 0.7, "weight_decay": 0.2, "ns_steps": 4}
    muon = two_parts(ours, rest, nesterov=nesterov, normalised=normalised, **setup)
    sgd = torch.optim.SGD(theirs, lr=0.05, momentum=0.8, nesterov=True, weight_decay=0.1)
    velocities = [torch.zeros_like(p) for p in body]
    gradients = Gradients(1)
    for step in range(20):
        factor = 1 - step / 20
        gradients.next(ours)
        gradients.next(rest, theirs)
        set_rates(muon, (0.1, 0.05), factor)
        set_rates(sgd, (0.05,), factor)
        muon.step()
        sgd.step()
        lr = 0.1 * factor
        for p, w, velocity in zip(ours, body, velocities, strict=True):
            velocity.mul_(0.7).add_(p.grad)
            update = p.grad + 0.7 * velocity if nesterov else velocity
            w *= len(w) ** 0.5 / w.norm() if normalised else 1 - lr * 0.2
            w -= lr * by_svd(update, 4)
    for p, w in zip(ours, body, strict=True):
        torch.testing.assert_close(p.detach(), w, rtol=1e-9, atol=1e-9)
    assert_agree(rest, theirs, 1e-12)


def test_muon_agrees_with_torchs_on_lying_matrices() -> None:
    """Which computes in bfloat16 and averages gradients: the direction is the same."""
    shapes = ((5, 9), (4, 4))
    ours, theirs = ([nn.Parameter(p.detach().float()) for p in drawn(shapes)] for _ in range(2))
    setup = {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.1}
    optimizers = [
        Muon(ours, **setup, ns_dtype=torch.bfloat16),
        torch.optim.Muon(theirs, **setup),
    ]
    gradients = Gradients(4)
    for _ in range(10):
        gradients.next(ours, theirs)
        for optimizer in optimizers:
            optimizer.step()
    assert_agree(ours, theirs, 0.02 * 10 * 0.02)  # ten steps of 0.02, each rounded to 2 %


def test_a_muon_step_moves_every_direction_by_about_lr() -> None:
    params = drawn(((8, 4, 3, 3), (8, 4, 3, 3)))
    before = [p.detach().clone() for p in params]
    optimizer = Muon(params, lr=0.1)
    for seed, p in enumerate(params):
        p.grad = matrix(8, 36, seed).view(p.shape)
    optimizer.step()
    for p, start in zip(params, before, strict=True):
        values = torch.linalg.svdvals((start - p.detach()).flatten(1))
        assert values.min() > 0.06 and values.max() < 0.125


def test_normalised_weights_start_each_step_at_one_norm() -> None:
    params = drawn(((8, 4, 3, 3),))
    optimizer = Muon(params, lr=0.0, normalised=True, weight_decay=0.5)
    direction = params[0].detach() / params[0].detach().norm()
    params[0].grad = torch.ones_like(params[0])
    optimizer.step()
    torch.testing.assert_close(params[0].detach(), direction * 8**0.5)


def test_muon_converges() -> None:
    """Two linear layers find a product of matrices, with rates that fall to nothing."""
    goal = matrix(6, 10, smallest=0.2)
    params = drawn(((6, 8), (8, 10)))
    optimizer = Muon(params, lr=0.1)
    for step in range(200):
        set_rates(optimizer, (0.1,), 1 - step / 200)
        optimizer.zero_grad()
        loss = (params[0] @ params[1] - goal).square().sum()
        loss.backward()
        optimizer.step()
    assert loss.item() < 1e-3


def test_muon_is_deterministic_and_does_not_depend_on_the_memory_format() -> None:
    results = []
    for memory_format in (torch.contiguous_format, torch.contiguous_format, torch.channels_last):
        params = [
            nn.Parameter(p.detach().contiguous(memory_format=memory_format))
            for p in drawn(MUON_SHAPES[:3])
        ]
        optimizer, gradients = Muon(params, normalised=True), Gradients(6)
        for _ in range(10):
            gradients.next(params)
            optimizer.step()
        assert all(p.is_contiguous(memory_format=memory_format) for p in params)
        results.append(params)
    assert all(torch.equal(p, q) for p, q in zip(results[0], results[1], strict=True))
    assert_agree(results[0], results[2], 1e-12)


def test_a_resumed_muon_goes_on_as_if_uninterrupted() -> None:
    whole, parted = drawn(MUON_SHAPES + VECTORS), drawn(MUON_SHAPES + VECTORS)
    split = len(MUON_SHAPES)
    uninterrupted = two_parts(whole[:split], whole[split:])
    resumed = two_parts(parted[:split], parted[split:])
    gradients = Gradients(7)
    for step in range(12):
        gradients.next(whole, parted)
        if step == 5:
            state = saved(resumed)
            resumed = two_parts(parted[:split], parted[split:], lr=0.7)
            resumed.load_state_dict(state)
        for optimizer in (uninterrupted, resumed):
            set_rates(optimizer, (0.1, 0.05), 1 - step / 12)
            optimizer.step()
    assert all(torch.equal(p, q) for p, q in zip(whole, parted, strict=True))


def test_a_muon_step_fetches_nothing_from_the_device() -> None:
    weights, others = on_meta()[:3:2], on_meta()[1::2]
    optimizer = Muon(
        [
            {"params": weights, "normalised": True},
            {"params": on_meta()[:1], "weight_decay": 0.1},
            {"params": others, "orthogonal": False, "weight_decay": 0.1},
        ]
    )
    step_on_meta(optimizer)


@pytest.mark.parametrize(
    ("name", "value"),
    [("lr", -0.1), ("momentum", 1.0), ("weight_decay", -0.5), ("ns_steps", 0)],
)
def test_muons_settings_out_of_range_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"Muon: {name} must .*{value}"):
        Muon(drawn(((2, 3),)), **{name: value})


def test_a_vector_cannot_be_orthogonal() -> None:
    with pytest.raises(ValueError, match="a vector is no matrix"):
        Muon(drawn(((2, 3), (4,))))
    optimizer = Muon(drawn(((2, 3),)))
    with pytest.raises(ValueError, match="a vector is no matrix"):
        optimizer.add_param_group({"params": nn.Parameter(torch.ones(4))})
    assert len(optimizer.param_groups) == 1


def test_muon_leaves_alone_what_has_no_gradient_and_the_gradients_of_what_has() -> None:
    params = drawn(((2, 3), (4, 5)))
    optimizer = Muon(params, weight_decay=0.1)
    params[0].grad = torch.ones_like(params[0])
    optimizer.step()
    assert torch.equal(params[0].grad, torch.ones_like(params[0]))
    assert torch.equal(params[1], drawn(((2, 3), (4, 5)))[1]) and params[1] not in optimizer.state


def test_muon_returns_the_closures_loss_and_takes_no_sparse_gradients() -> None:
    x = nn.Parameter(torch.eye(2))
    optimizer = Muon([x])

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (x * x).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 2.0
    x.grad = torch.eye(2).to_sparse()
    with pytest.raises(ValueError, match="sparse"):
        optimizer.step()


# --- build_optimizer ----------------------------------------------------------------------------


def network() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


KINDS = {
    "sgdm": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adabound": AdaBound,
    "adabound_package": adabound.AdaBound,
    "muon": Muon,
}
SINGLE_RATE = [name for name in KINDS if name != "muon"]


def test_every_optimizer_has_its_class() -> None:
    assert set(OPTIMIZER_NAMES) == set(KINDS)
    for name, kind in KINDS.items():
        optimizer = build_optimizer(name, network(), lr=0.01, weight_decay=0.1)
        assert type(optimizer) is kind
        assert optimizer.param_groups[0]["lr"] == (0.1 if name == "muon" else 0.01)


@pytest.mark.parametrize("name", SINGLE_RATE)
def test_norms_and_biases_are_decayed_unless_told_otherwise(name: str) -> None:
    model = network()
    (group,) = build_optimizer(name, model, lr=0.01, weight_decay=0.1).param_groups
    assert group["weight_decay"] == 0.1
    assert [id(p) for p in group["params"]] == [id(p) for p in model.parameters()]

    decayed, rest = build_optimizer(
        name, model, lr=0.01, weight_decay=0.1, decay_norms_and_biases=False
    ).param_groups
    assert (decayed["weight_decay"], rest["weight_decay"]) == (0.1, 0.0)
    assert [id(p) for p in decayed["params"]] == [id(model[0].weight), id(model[3].weight)]
    others = (model[0].bias, model[1].weight, model[1].bias, model[3].bias)
    assert [id(p) for p in rest["params"]] == [id(p) for p in others]
    assert (decayed["lr"], rest["lr"]) == (0.01, 0.01)


def test_a_model_of_matrices_only_needs_no_second_group() -> None:
    (group,) = build_optimizer(
        "sgdm", nn.Linear(2, 2, bias=False), lr=0.1, weight_decay=0.1, decay_norms_and_biases=False
    ).param_groups
    assert group["weight_decay"] == 0.1


def test_frozen_parameters_are_left_out() -> None:
    model = network()
    model[0].requires_grad_(False)
    (group,) = build_optimizer("adam", model, lr=0.1, weight_decay=0.0).param_groups
    assert len(group["params"]) == 4


def test_an_unknown_optimizer_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown optimizer 'sgd'; known: sgdm, adam, adabound"):
        build_optimizer("sgd", network(), lr=0.1, weight_decay=0.0)


def one_step(name: str, **setup: Any) -> Callable[[float], float]:
    """From the gradient to the weight after one step from 2, with lr 0.1 and weight decay 0.5."""

    def weight(gradient: float) -> float:
        model = nn.Linear(1, 1, bias=False).double()
        model.weight.data.fill_(2.0)
        optimizer = build_optimizer(name, model, lr=0.1, weight_decay=0.5, **setup)
        model.weight.grad = torch.full_like(model.weight, gradient)
        optimizer.step()
        return model.weight.item()

    return weight


def test_sgdm_is_the_papers_formula() -> None:
    model = nn.Linear(1, 1, bias=False).double()
    model.weight.data.fill_(2.0)
    optimizer = build_optimizer("sgdm", model, lr=0.1, weight_decay=0.5)
    w, velocity = 2.0, 0.0
    for gradient in (1.0, -3.0, 0.5):
        model.weight.grad = torch.full_like(model.weight, gradient)
        optimizer.step()
        velocity = 0.9 * velocity + gradient + 0.5 * w  # no dampening, L2 decay
        w -= 0.1 * velocity
        assert model.weight.item() == pytest.approx(w, rel=1e-12)
    g = 3.0 + 0.5 * 2.0
    assert one_step("sgdm", nesterov=True)(3.0) == pytest.approx(2.0 - 0.1 * (g + 0.9 * g))
    assert one_step("sgdm", momentum=0.5, nesterov=True)(3.0) == pytest.approx(2.0 - 0.1 * 1.5 * g)


def test_adam_decays_in_the_gradient_and_decoupled_outside_it() -> None:
    # The first step of Adam is lr times the sign of what it is given.
    assert one_step("adam")(-0.9) == pytest.approx(2.0 - 0.1)  # -0.9 + 0.5 * 2 is positive
    decoupled = one_step("adam", decoupled=True)
    assert decoupled(-0.9) == pytest.approx(2.0 * (1 - 0.1 * 0.5) + 0.1)
    assert one_step("adam", eps=1.0, betas=(0.5, 0.5))(1.0) == pytest.approx(
        2.0 - 0.1 * 2 / (2 + 1)
    )
    assert not build_optimizer("adam", network(), lr=0.1, weight_decay=0.0).defaults["amsgrad"]


def test_adabound_settings_reach_the_optimizer() -> None:
    setup = {"betas": (0.8, 0.9), "eps": 1e-3, "final_lr": 0.4, "gamma": 0.1}
    for name in ("adabound", "adabound_package"):
        (group,) = build_optimizer(name, network(), lr=0.1, weight_decay=0.0, **setup).param_groups
        assert {key: group[key] for key in setup} == setup


def named(model: nn.Module, group: dict[str, Any]) -> list[str]:
    names = {id(p): name for name, p in model.named_parameters()}
    return [names[id(p)] for p in group["params"]]


MUON = {"head_lr": 2.0, "rest_lr": 50.0, "rest_momentum": 0.8, "momentum": 0.6, "ns_steps": 3}


def test_muon_takes_the_weights_between_the_first_layer_and_the_head() -> None:
    model = build_model("speednet")
    optimizer = build_optimizer("muon", model, lr=0.2, weight_decay=0.01, normalised=True, **MUON)
    body, head, rest = optimizer.param_groups
    assert named(model, body) == [
        f"groups.{g}.convs.{i}.weight" for g in range(3) for i in range(2)
    ]
    assert named(model, head) == ["head.weight"]
    assert named(model, rest) == [
        "whitening.bias",
        *(f"groups.{g}.norms.{i}.bias" for g in range(3) for i in range(2)),
    ]
    assert [group["lr"] for group in (body, head, rest)] == [0.2, 2.0, 50.0]
    assert [group["orthogonal"] for group in (body, head, rest)] == [True, False, False]
    assert [group["momentum"] for group in (body, head, rest)] == [0.6, 0.8, 0.8]
    assert body["normalised"] and body["ns_steps"] == 3 and body["nesterov"] and rest["nesterov"]
    # What a full step takes off is the same share everywhere.
    assert [group["weight_decay"] * group["lr"] for group in (body, head, rest)] == pytest.approx(
        [0.01] * 3
    )


@pytest.mark.parametrize("name", ["resnet18_s", "vgg16_s", "vit_s"])
def test_muon_divides_the_papers_networks(name: str) -> None:
    with torch.device("meta"):
        model = build_model(name)
    body, head, rest = build_optimizer("muon", model, lr=0.2, weight_decay=0.0).param_groups
    first = {"resnet18_s": "conv1", "vgg16_s": "features.0", "vit_s": "patch_embedding"}[name]
    last = {"resnet18_s": "head", "vgg16_s": "head.6", "vit_s": "head.4"}[name]
    layers = {
        key + ".weight"
        for key, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }
    assert set(named(model, body)) == layers - {first + ".weight", last + ".weight"}
    assert named(model, head) == [last + ".weight"]
    assert first + ".weight" in named(model, rest)
    assert sum(len(group["params"]) for group in (body, head, rest)) == len(
        list(model.parameters())
    )


def test_muon_without_decay_of_norms_and_biases() -> None:
    model = build_model("speednet")
    groups = build_optimizer(
        "muon", model, lr=0.2, weight_decay=0.01, decay_norms_and_biases=False, **MUON
    ).param_groups
    assert [group["weight_decay"] > 0 for group in groups] == [True, True, False]


CAPTURABLE = {
    "sgdm": {"nesterov": True},
    "adam": {},
    "adamw": {"decoupled": True},
    "adabound": {},
    "muon": {},
}


@pytest.mark.parametrize("given", ["float", "tensor"])
@pytest.mark.parametrize("kind", CAPTURABLE)
def test_rates_of_a_capturable_optimizer_are_tensors_to_be_filled(kind: str, given: str) -> None:
    name, setup = kind.removesuffix("w"), CAPTURABLE[kind]
    ours, theirs = network(), network()
    rate = torch.tensor(0.01) if given == "tensor" else 0.01
    optimizers = [
        build_optimizer(name, ours, lr=rate, weight_decay=0.1, capturable=True, **setup),
        build_optimizer(name, theirs, lr=0.01, weight_decay=0.1, **setup),
    ]
    bases = tuple(group["lr"] for group in optimizers[1].param_groups)
    tensors = [group["lr"] for group in optimizers[0].param_groups]
    assert all(t.shape == () and t.dtype == torch.float32 for t in tensors)
    assert given == "float" or name == "muon" or tensors[0] is rate
    gradients = Gradients(3)
    for step in range(10):
        gradients.next(list(ours.parameters()), list(theirs.parameters()))
        for optimizer in optimizers:
            set_rates(optimizer, bases, 1 - step / 10)
            optimizer.step()
    assert all(g["lr"] is t for g, t in zip(optimizers[0].param_groups, tensors, strict=True))
    assert_agree(list(ours.parameters()), list(theirs.parameters()), 2e-6)


def test_the_package_cannot_be_captured() -> None:
    with pytest.raises(ValueError, match="freeze its bounds in a graph: use adabound"):
        build_optimizer("adabound_package", network(), lr=0.1, weight_decay=0.0, capturable=True)


@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a GPU: torch sees none on this machine"
)
@pytest.mark.parametrize("kind", CAPTURABLE)
def test_a_graph_replays_the_step_with_new_rates_and_gradients(kind: str) -> None:
    ours, theirs = build_model("speednet").cuda(), build_model("speednet").cuda()
    theirs.load_state_dict(ours.state_dict())
    name, setup = kind.removesuffix("w"), {"lr": 0.01, "weight_decay": 0.1, **CAPTURABLE[kind]}
    optimizer = build_optimizer(name, ours, capturable=True, **setup)
    reference = build_optimizer(name, theirs, **setup)
    bases = tuple(float(group["lr"]) for group in optimizer.param_groups)
    params = [p for p in ours.parameters() if p.requires_grad]
    others = [p for p in theirs.parameters() if p.requires_grad]
    for p in params:
        p.grad = torch.zeros_like(p)
    generator = torch.Generator("cuda").manual_seed(0)
    graph = torch.cuda.CUDAGraph()
    for step in range(12):
        for p, q in zip(params, others, strict=True):
            p.grad.normal_(generator=generator)
            q.grad = p.grad.clone()
        for each in (optimizer, reference):
            set_rates(each, bases, 1 - step / 12)
        if step < 3:
            with torch.cuda.stream(torch.cuda.Stream()):
                torch.cuda.synchronize()
                optimizer.step()
                torch.cuda.synchronize()
        elif step == 3:
            with torch.cuda.graph(graph):  # which records and does not run
                optimizer.step()
        if step >= 3:
            graph.replay()
        reference.step()
    for p, q in zip(params, others, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-4)


# --- schedules ----------------------------------------------------------------------------------


def factors(name: str, total_steps: int = 100, **setup: Any) -> list[float]:
    return [
        learning_rate_factor(name, step=step, total_steps=total_steps, steps_per_epoch=10, **setup)
        for step in range(total_steps)
    ]


@pytest.mark.parametrize("name", ["linear", "cosine"])
@pytest.mark.parametrize("final_factor", [0.0, 0.1, 0.01])
@pytest.mark.parametrize("warmup_fraction", [0.0, 0.2, 0.5])
def test_a_schedule_rises_to_one_and_falls_to_its_end(
    name: str, final_factor: float, warmup_fraction: float
) -> None:
    found = factors(name, warmup_fraction=warmup_fraction, final_factor=final_factor)
    warmup = round(100 * warmup_fraction)
    assert found[:warmup] == pytest.approx([(step + 1) / warmup for step in range(warmup)])
    assert found[warmup] == 1.0 == max(found)
    after = found[warmup:]
    assert all(later < earlier for earlier, later in pairwise(after))
    assert found[-1] == pytest.approx(final_factor, rel=1e-12, abs=0.0)
    middle = (after[0] + after[-1]) / 2
    assert sum(after) / len(after) == pytest.approx(middle, rel=1e-9)  # both are symmetric


def test_the_linear_schedule_has_equal_steps_and_the_cosine_is_a_cosine() -> None:
    linear = factors("linear", total_steps=11, final_factor=0.5)
    assert linear == pytest.approx([1 - 0.05 * step for step in range(11)])
    cosine = factors("cosine", total_steps=9)
    assert cosine == pytest.approx([(1 + math.cos(math.pi * step / 8)) / 2 for step in range(9)])


@settings(deadline=None)
@given(
    name=st.sampled_from(["linear", "cosine", "constant"]),
    total_steps=st.integers(1, 60),
    warmup_fraction=st.floats(0, 1),
    final_factor=st.floats(0, 1),
)
def test_a_factor_never_leaves_its_range(
    name: str, total_steps: int, warmup_fraction: float, final_factor: float
) -> None:
    found = factors(name, total_steps, warmup_fraction=warmup_fraction, final_factor=final_factor)
    assert all(0.0 <= factor <= 1.0 for factor in found)
    assert max(found) == 1.0


def test_constant_is_one_after_its_warm_up() -> None:
    assert set(factors("constant")) == {1.0}
    assert factors("constant", warmup_fraction=0.02) == [0.5] + [1.0] * 99


def test_multistep_is_torchs_stepped_once_an_epoch() -> None:
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    reference = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[4, 7], gamma=0.1)
    expected = []
    for _ in range(10):
        expected += [reference.get_last_lr()[0]] * 10
        optimizer.step()
        reference.step()
    found = factors("multistep", milestones=(4, 7), gamma=0.1)
    assert found == pytest.approx(expected, rel=1e-12)
    assert (found[39], found[40], found[69], found[70]) == pytest.approx((1, 0.1, 0.1, 0.01))


def test_multistep_beyond_the_end_stays_at_one() -> None:
    """The paper's CIFAR-100 runs end at 100 epochs, the first milestone."""
    assert set(factors("multistep", milestones=(10, 15))) == {1.0}


@pytest.mark.parametrize("step", [0, 9], ids=["in the warm-up", "after it"])
def test_an_unknown_schedule_is_refused_at_every_step(step: int) -> None:
    with pytest.raises(ValueError, match="unknown schedule 'step'; known: multistep, linear"):
        learning_rate_factor(
            "step", step=step, total_steps=10, steps_per_epoch=1, warmup_fraction=0.5
        )
