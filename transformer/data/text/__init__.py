"""From a text to ids, splits, batches and a LightningDataModule."""
