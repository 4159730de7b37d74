"""Images: where they come from, the replayable stream, augmentation, mixing, batches."""
