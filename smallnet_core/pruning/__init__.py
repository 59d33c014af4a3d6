"""What is taken out of a trained network, and how: weights by masks, or whole channels.

``masks`` puts weights to zero with torch.nn.utils.prune, ``channels`` removes channels with
torch-pruning.
"""
