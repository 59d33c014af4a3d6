"""Pruning of trained networks: single weights or whole channels.

``masks`` sets weights to zero as torch.nn.utils.prune does, ``channels`` removes channels with
torch-pruning, and ``curve`` holds accuracies by pruned proportion.
"""
