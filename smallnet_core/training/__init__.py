"""Trains a recipe's network: the loop, its start, its optimizers, and what it leaves."""
