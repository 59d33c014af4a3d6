"""Training of a recipe's network: start, optimizers, loop, checkpoints and evaluation."""
