"""The networks of bnnengine.zoo once more, as PyTorch modules, channels first: what tests compare with.

Each leaf module has the name of the zoo's layer, and parameters have the names of the zoo's weights.
"""
