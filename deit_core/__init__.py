"""Distilled vision transformers: models, losses, data, trainer. Importing it is torch-free."""
