"""Distilled vision transformers: models, losses, data and the trainer. Importing it is torch-free."""
