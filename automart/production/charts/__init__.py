"""The charts of factories: how points are stored, downsampled and drawn."""
