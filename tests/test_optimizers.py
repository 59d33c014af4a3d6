"""AdaBound against the authors' package and its definition, Muon against both of its own."""

import copy
import math
from collections.abc import Sequence
from typing import Any

import adabound
import pytest
import torch
from torch import Tensor, nn

from smallnet_core.models import build_model
from smallnet_core.recipes import Optimizer
from smallnet_core.training.adabound import AdaBound
from smallnet_core.training.muon import Muon, orthogonalised
from smallnet_core.training.optimizers import build_optimizer, set_rates

SHAPES = ((7, 3), (2, 3, 3, 3), (5,), ())  # two that Muon takes as matrices, two that it does not
STEPS = 250  # past 1 / (1 - beta2) / 4, with gamma 0.02: the band has narrowed to 20 %
Params = list[nn.Parameter]


def draw(
    seed: int = 0, shapes: Sequence[tuple[int, ...]] = SHAPES, dtype: torch.dtype = torch.float64
) -> Params:
    generator = torch.Generator().manual_seed(seed)
    return [
        nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype))
        for shape in shapes
    ]


class Gradients:
    """The same sequence for everyone: of very different sizes, so that both bounds are hit."""

    def __init__(self, seed: int = 1) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def next(self, *lists: Params) -> None:
        for params in zip(*lists, strict=True):
            noise = torch.randn((2, *params[0].shape), generator=self.generator).double()
            for p in params:
                p.grad = (0.01 * noise[0] * torch.exp(2 * noise[1])).to(p.dtype)


def equal(ours: Params, theirs: Params) -> bool:
    return all(torch.equal(p, q) for p, q in zip(ours, theirs, strict=True))


def scale_rates(optimizer: torch.optim.Optimizer, bases: Sequence[float], factor: float) -> None:
    set_rates(optimizer, [base * factor for base in bases])


def halves(params: Params) -> list[dict[str, Any]]:
    """Two groups of AdaBound that differ in every setting."""
    other = {"lr": 3e-3, "betas": (0.8, 0.95), "final_lr": 0.03, "gamma": 0.1, "eps": 1e-6}
    return [
        {"params": params[:2], "lr": 1e-3},
        {"params": params[2:], "weight_decay": 0.2, **other},
    ]


def eager(params: Params) -> AdaBound:
    return AdaBound(halves(params))


def capturable(params: Params) -> AdaBound:
    return AdaBound(halves(params), capturable=True)


def muon(params: Params) -> Muon:
    sgd = {"orthogonal": False, "lr": 0.05, "momentum": 0.8, "weight_decay": 0.1}
    return Muon([{"params": params[:2]}, {"params": params[2:], **sgd}])


OURS = pytest.mark.parametrize("build", [eager, capturable, muon], ids=lambda b: b.__name__)


@OURS
def test_a_resumed_training_goes_on_as_if_uninterrupted(build):
    """Bit for bit, under a schedule, from a state that a checkpoint kept."""
    whole, parted, gradients = draw(), draw(), Gradients()
    uninterrupted, resumed = build(whole), build(parted)
    bases = [group["lr"] for group in resumed.param_groups]
    for step in range(20):
        if step == 10:
            state, resumed = copy.deepcopy(resumed.state_dict()["state"]), build(parted)
            groups = resumed.state_dict()["param_groups"]
            resumed.load_state_dict({"state": state, "param_groups": groups})
        gradients.next(whole, parted)
        for optimizer in (uninterrupted, resumed):
            scale_rates(optimizer, bases, 1 - step / 20)
            optimizer.step()
    assert equal(whole, parted)
    assert not torch.equal(whole[0], draw()[0])


@OURS
def test_only_parameters_with_gradients_change_and_none_at_a_rate_of_zero(build):
    params = draw()
    optimizer = build(params)
    bases = [group["lr"] for group in optimizer.param_groups]
    for p in params[::2]:
        p.grad = torch.ones_like(p)
    scale_rates(optimizer, bases, 0.0)  # the last step of a schedule that ends at zero
    optimizer.step()
    assert equal(params, draw())
    scale_rates(optimizer, bases, 1.0)
    optimizer.step()
    for p, start in zip(params, draw(), strict=True):
        assert torch.equal(p, start) == (p.grad is None) == (p not in optimizer.state)
        assert p.grad is None or torch.equal(p.grad, torch.ones_like(p))


@pytest.mark.parametrize(
    "build",
    [lambda params: AdaBound(params, 0.03, final_lr=0.5), lambda params: Muon(params, 0.1)],
    ids=["adabound", "muon"],
)
def test_it_converges(build):
    """Two matrices find a product, with rates that fall to nothing."""
    goal = matrix(6, 10, smallest=0.2)
    params = draw(shapes=((6, 8), (8, 10)))
    optimizer = build(params)
    base = optimizer.param_groups[0]["lr"]
    for step in range(800):
        scale_rates(optimizer, (base,), 1 - step / 800)
        optimizer.zero_grad()
        loss = (params[0] @ params[1] - goal).square().sum()
        loss.backward()
        optimizer.step()
    assert loss.item() < 1e-3


@pytest.mark.parametrize("build", [capturable, muon])
def test_what_a_graph_holds_fetches_nothing_from_the_device(build):
    """A tensor on "meta" has no numbers: whatever fetches one to the host raises."""
    params = [nn.Parameter(torch.empty(shape, device="meta")) for shape in SHAPES]
    optimizer = build(params)
    for group in optimizer.param_groups:
        group["lr"] = torch.empty((), device="meta")
    for p in params:
        p.grad = torch.empty_like(p)
    for _ in range(2):
        optimizer.step()


@pytest.mark.parametrize("capturable", [False, True], ids=["eager", "capturable"])
@pytest.mark.parametrize(
    ("weight_decay", "gamma"), [(0.0, 0.02), (5e-2, 0.02), (5e-2, 1e-15)], ids=str
)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)], ids=str
)
def test_adabound_agrees_with_the_package(capturable, weight_decay, gamma, dtype, tolerance):
    """Under a schedule that comes close to zero, read from a tensor by the capturable one."""
    ours, theirs, gradients = draw(dtype=dtype), draw(dtype=dtype), Gradients()
    setup = {"gamma": gamma, "weight_decay": weight_decay}
    lr = torch.tensor(1e-3, dtype=dtype) if capturable else 1e-3
    optimizers = [AdaBound(ours, lr, capturable=capturable, **setup)]
    optimizers.append(adabound.AdaBound(theirs, **setup))
    for step in range(STEPS):
        gradients.next(ours, theirs)
        for optimizer in optimizers:
            scale_rates(optimizer, (1e-3,), math.cos(step / 80) ** 2)
            optimizer.step()
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    assert all((p - start).abs().max() > 1e-3 for p, start in zip(ours, draw(), strict=True))


def test_a_state_of_the_package_is_refused_when_it_is_loaded():
    theirs = adabound.AdaBound(draw()).state_dict()
    with pytest.raises(ValueError, match=r"no base_lr, capturable: .*package adabound"):
        AdaBound(draw()).load_state_dict(theirs)


def test_adabound_rates_lie_in_a_band_that_narrows_onto_final_lr():
    params, gradients = draw(), Gradients(4)
    final_lr, gamma = 0.05, 0.1
    optimizer = AdaBound(params, lr=1e-2, final_lr=final_lr, gamma=gamma, betas=(0.0, 0.999))
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


def matrix(rows: int, columns: int, seed: int = 0, smallest: float = 0.02) -> Tensor:
    """With singular values from 1 down to ``smallest``, in double precision."""
    (noise,) = draw(seed, ((rows, columns),))
    u, s, vh = torch.linalg.svd(noise.detach(), full_matrices=False)
    return u @ torch.diag(torch.logspace(0, math.log10(smallest), len(s)).double()) @ vh


def by_svd(update: Tensor, steps: int) -> Tensor:
    """The definition: the quintic on each singular value, whose vectors stay."""
    u, s, vh = torch.linalg.svd(update.flatten(1), full_matrices=False)
    s = s / s.square().sum().sqrt()
    for _ in range(steps):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return (u @ torch.diag(s) @ vh).view(update.shape)


@pytest.mark.parametrize("shape", [(8, 30), (30, 8), (12, 12)], ids=["lying", "standing", "square"])
@pytest.mark.parametrize("dtype", [None, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_orthogonalised_has_singular_values_near_one(dtype, shape, scale):
    given = scale * matrix(*shape).float()
    found, zeros = orthogonalised(torch.stack([given, 0 * given]), dtype=dtype)
    assert not zeros.any()
    values = torch.linalg.svdvals(found)
    assert found.dtype == torch.float32 and values.min() > 0.6 and values.max() < 1.25
    # The same singular vectors: U^T found V is diagonal and positive.
    u, _, vh = torch.linalg.svd(given, full_matrices=False)
    core = u.T @ found @ vh.T
    assert (core.diagonal() > 0.5).all()
    assert (core - torch.diag(core.diagonal())).abs().max() < (0.1 if dtype else 1e-3)


@pytest.mark.parametrize("normalised", [False, True], ids=["free", "normalised"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_muon_agrees_with_its_definition(normalised, layout):
    """One tensor after another, by singular value decomposition; the rest by torch's SGD."""
    shapes = ((4, 3, 3, 3), (6, 4, 3, 3), (6, 4, 3, 3), (6, 9, 5, 1))
    ours = [nn.Parameter(p.detach().to(memory_format=layout)) for p in draw(0, shapes)]
    body = [p.detach().clone() for p in draw(0, shapes)]
    rest, theirs = draw(1, ((4,), (2, 7))), draw(1, ((4,), (2, 7)))
    setup = {"lr": 0.1, "momentum": 0.7, "weight_decay": 0.2, "ns_steps": 4}
    sgd = {"lr": 0.05, "momentum": 0.8, "weight_decay": 0.1}
    optimizer = Muon(
        [
            {"params": ours, "normalised": normalised, **setup},
            {"params": rest, "orthogonal": False, **sgd},
        ]
    )
    reference = torch.optim.SGD(theirs, nesterov=True, **sgd)
    velocities = [torch.zeros_like(p) for p in body]
    gradients = Gradients()
    for step in range(20):
        gradients.next(ours)
        gradients.next(rest, theirs)
        factor = 1 - step / 20
        scale_rates(optimizer, (0.1, 0.05), factor)
        scale_rates(reference, (0.05,), factor)
        optimizer.step()
        reference.step()
        for p, w, velocity in zip(ours, body, velocities, strict=True):
            velocity.mul_(0.7).add_(p.grad)
            update = p.grad + 0.7 * velocity
            w *= len(w) ** 0.5 / w.norm() if normalised else 1 - 0.1 * factor * 0.2
            w -= 0.1 * factor * by_svd(update, 4)
    for p, w in zip(ours, body, strict=True):
        assert p.is_contiguous(memory_format=layout)
        torch.testing.assert_close(p.detach().contiguous(), w, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(rest, theirs, rtol=1e-12, atol=1e-12)


def network() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def built(
    name: str, model: nn.Module, capturable: bool = False, **own: Any
) -> torch.optim.Optimizer:
    setup = Optimizer(**{"name": name, "lr": 0.1, "weight_decay": 0.5, **own})
    return build_optimizer(setup, model, capturable=capturable)


MOMENTS = {"betas": (0.5, 0.75), "eps": 0.25}
BOUNDS = {**MOMENTS, "final_lr": 0.4, "gamma": 0.5}
OWN: dict[str, tuple[type, dict[str, Any]]] = {
    "sgdm": (torch.optim.SGD, {"momentum": 0.5, "nesterov": True}),
    "adam": (torch.optim.Adam, MOMENTS),
    "adabound": (AdaBound, BOUNDS),
    "adabound_package": (adabound.AdaBound, BOUNDS),
}


@pytest.mark.parametrize("name", OWN)
def test_an_optimizer_has_what_its_record_says(name):
    kind, own = OWN[name]
    model = network()
    optimizer = built(name, model, **own)
    (group,) = optimizer.param_groups
    assert type(optimizer) is kind
    expected = {"lr": 0.1, "weight_decay": 0.5, **own}
    assert {key: group[key] for key in expected} == expected
    assert [id(p) for p in group["params"]] == [id(p) for p in model.parameters()]

    model[3].requires_grad_(False)
    decayed, rest = built(name, model, decay_norms_and_biases=False).param_groups
    assert (decayed["weight_decay"], rest["weight_decay"]) == (0.5, 0.0)
    assert [id(p) for p in decayed["params"]] == [id(model[0].weight)]
    others = (model[0].bias, model[1].weight, model[1].bias)
    assert [id(p) for p in rest["params"]] == [id(p) for p in others]


def test_an_unknown_optimizer_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown optimizer 'sgd'; known: sgdm, adam, adabound"):
        built("sgd", network())
    with pytest.raises(ValueError, match="would freeze adabound_package's bounds"):
        built("adabound_package", network(), capturable=True)


def named(model: nn.Module, group: dict[str, Any]) -> list[str]:
    names = {id(p): name for name, p in model.named_parameters()}
    return [names[id(p)] for p in group["params"]]


@pytest.mark.parametrize(
    ("network", "first", "last"),
    [
        ("speednet", "whitening", "head"),
        ("resnet18_s", "conv1", "head"),
        ("vgg16_s", "features.0", "head.6"),
        ("vit_s", "patch_embedding", "head.4"),
    ],
)
def test_muon_takes_the_weights_between_the_first_layer_and_the_last(network, first, last):
    with torch.device("meta"):
        model = build_model(network)
    rates = {"lr": 0.2, "head_lr": 2.0, "rest_lr": 50.0, "weight_decay": 0.01}
    own = {"momentum": 0.6, "rest_momentum": 0.8, "ns_steps": 3, "normalised": True}
    groups = built("muon", model, **rates, **own).param_groups
    body, head, _ = groups
    layers = {
        key + ".weight"
        for key, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }
    assert set(named(model, body)) == layers - {f"{first}.weight", f"{last}.weight"}
    assert named(model, head) == [f"{last}.weight"]
    trained = [key for key, p in model.named_parameters() if p.requires_grad]
    assert sorted(key for group in groups for key in named(model, group)) == sorted(trained)
    assert [group["lr"] for group in groups] == [0.2, 2.0, 50.0]
    assert [group["orthogonal"] for group in groups] == [True, False, False]
    assert [group["momentum"] for group in groups] == [0.6, 0.8, 0.8]
    assert body["normalised"] and body["ns_steps"] == 3
    # What a full step takes off is the same share everywhere.
    assert [g["weight_decay"] * g["lr"] for g in groups] == pytest.approx([0.01] * 3)
    groups = built("muon", model, **rates, decay_norms_and_biases=False).param_groups
    for group in groups:
        assert len({p.ndim >= 2 for p in group["params"]}) == 1
        assert (group["weight_decay"] > 0) == (group["params"][0].ndim >= 2)
