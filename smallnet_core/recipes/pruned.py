"""Recipes of pruned networks, by name: what is pruned, to which size, and how it is trained on.

Names are ``NETWORK-SIZE-HOW``: "resnet18-1m-channels". ``ticket-10`` is ResNet18_S with a tenth of
its parameters, rewound.

On CIFAR-10 and a core or two, after the dense network's own training: ResNet18 keeps 92.1 % with a
million parameters (40 minutes of fine-tuning), ResNet18_S 85.5 to 89.7 with 250,000 (6 to 9
minutes, by importance), ViT_S 76.7 (9 minutes), VGG16_S 82.4 (4 minutes).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from smallnet_core.recipes import (
    IMPORTANCES,
    Augmentation,
    Optimizer,
    Pruning,
    Recipe,
    Schedule,
    find_recipe,
)
from smallnet_core.records import NotMeasured

# The optimizer of the dense network that each is pruned from.
DENSE = {
    "resnet18": "adabound",
    "vgg16": "sgdm",
    "resnet18_s": "sgdm",
    "vgg16_s": "sgdm",
    "vit_s": "adam",
}

# Fine-tuning starts with small images too, as pruning undoes much of the training.
_GROWING = ((0.0, 20), (0.25, 24), (0.5, 28), (0.75, 32))
_TARGETS = {"1m": 1_000_000, "250k": 250_000}
# Processors compute 16 channels at a time: 19 take as long as 24, or longer. Layers of the small
# networks have too few channels to round.
_ROUND_TO = {"1m": 16, "250k": 1}


def _fine_tuned(parent: Recipe, epochs: int, pruning: Pruning) -> Recipe:
    """Adapt the parent's recipe: half its rate or less (Adam: the same), default initialisation."""
    optimizer = parent.optimizer
    if optimizer.name != "adam":
        # AdaBound ends as SGD, so SGD continues the training of its networks.
        optimizer = Optimizer(
            name="sgdm",
            lr=0.05 if parent.network.startswith("resnet") else 0.02,
            weight_decay=5e-4,
            decay_norms_and_biases=False,
            nesterov=True,
        )
    return replace(
        parent,
        kind="pruned",
        optimizer=optimizer,
        schedule=Schedule(name="linear", warmup_fraction=0.1),
        epochs=epochs,
        augmentation=Augmentation(crop_padding=2, padding_mode="reflect", flip="alternating"),
        initialisation="default",
        resolutions=_GROWING if parent.network.startswith("resnet") else (),
        pruning=pruning,
    )


def _pruned(
    network: str,
    size: str,
    epochs: int,
    dataset: str,
    *,
    structure: str = "channels",
    importance: str = "magnitude",
    between: tuple[int, ...] = (),
) -> Recipe:
    """Return the recipe for pruning to ``size``, at once or in rounds with sizes ``between``.

    Each intermediate round has one epoch, at full image size, and all rounds together have
    ``epochs``.
    """
    parent = dense = find_recipe("tuned", dataset, network, DENSE[network])
    pruning = Pruning(
        parent=dense,
        structure=structure,
        max_params=_TARGETS[size],
        importance=importance,
        round_to=_ROUND_TO[size] if structure == "channels" else 1,
    )
    for max_params in between:
        step = replace(pruning, parent=parent, max_params=max_params)
        parent = replace(_fine_tuned(dense, 1, step), resolutions=())
    return _fine_tuned(dense, epochs - len(between), replace(pruning, parent=parent))


def _from_scratch(dataset: str) -> Recipe:
    """Return the recipe for training the shape of the pruned ResNet18_S from fresh weights.

    Its epochs take as many multiply-adds as dense training and fine-tuning together: 15.9 full-size
    epochs at 35.0 million per image, and 5.4 at 11.3 million.
    """
    pruning = _pruned("resnet18_s", "250k", 8, dataset).pruning
    assert pruning is not None
    fresh = replace(pruning, weights="fresh")
    return replace(pruning.parent, kind="pruned", epochs=86, pruning=fresh)


# Lottery tickets: percent of the parameters left after each round, and epochs of each training.
TICKET_SHARES = (50, 25, 10, 5)
_TICKET_EPOCHS = 6
_TICKET_PARAMS = 701_466


def _ticket_dense(dataset: str) -> Recipe:
    tuned = find_recipe("tuned", dataset, "resnet18_s", "sgdm")
    return replace(
        tuned,
        kind="pruned",
        epochs=_TICKET_EPOCHS,
        augmentation=replace(tuned.augmentation, crop_padding=2),
    )


def _ticket(share: int, dataset: str, importance: str = "magnitude") -> Recipe:
    """Return the recipe of a ticket with ``share`` percent of the parameters.

    Weights are pruned by magnitude in rounds, each rewound to the end of the dense network's first
    epoch (Frankle et al. 2020, arXiv:1912.05671); a random ticket is pruned in one round.
    """
    dense = parent = _ticket_dense(dataset)
    early = replace(dense, stop_epoch=1)
    shares = TICKET_SHARES[: TICKET_SHARES.index(share) + 1]
    for percent in shares if importance == "magnitude" else (share,):
        pruning = Pruning(
            parent=parent,
            structure="weights",
            max_params=_TICKET_PARAMS * percent // 100,
            importance=importance,
            weights="rewound",
            rewind_to=early,
        )
        parent = replace(dense, first_epoch=1, pruning=pruning)
    return parent


_BUILDERS: dict[str, Callable[[str], Recipe]] = {
    "resnet18-1m-channels": partial(_pruned, "resnet18", "1m", 30),
    "resnet18-1m-channels-iterative": partial(
        _pruned, "resnet18", "1m", 30, between=(4_000_000, 2_000_000)
    ),
    "resnet18-1m-weights": partial(_pruned, "resnet18", "1m", 3, structure="weights"),
    "vgg16-1m-channels": partial(_pruned, "vgg16", "1m", 12),
    **{
        f"resnet18_s-250k-channels{'' if importance == 'magnitude' else '-' + importance}": partial(
            _pruned, "resnet18_s", "250k", 8, importance=importance
        )
        for importance in IMPORTANCES
    },
    "resnet18_s-250k-channels-iterative": partial(
        _pruned, "resnet18_s", "250k", 8, between=(500_000, 350_000)
    ),
    "resnet18_s-250k-scratch": _from_scratch,
    "vgg16_s-250k-channels": partial(_pruned, "vgg16_s", "250k", 10),
    "vit_s-250k-channels": partial(_pruned, "vit_s", "250k", 5),
    "ticket-dense": _ticket_dense,
    **{f"ticket-{share}": partial(_ticket, share) for share in TICKET_SHARES},
    **{
        f"random_ticket-{share}": partial(_ticket, share, importance="random")
        for share in TICKET_SHARES[-2:]
    },
}

PRUNED_NAMES = tuple(_BUILDERS)


def find_pruned(name: str, dataset: str = "cifar10", seed: int = 0) -> Recipe:
    """Find the recipe called ``name``; ``seed`` is for its own training, not for its ancestors.

    Raises ValueError for an unknown name, and NotMeasured for a dataset without such a recipe.
    """
    if name not in _BUILDERS:
        raise ValueError(f"unknown pruned network {name!r}; known: {', '.join(PRUNED_NAMES)}")
    if dataset == "digits":
        raise NotMeasured(f"no recipe for {name} on digits")
    return replace(_BUILDERS[name](dataset), seed=seed)
