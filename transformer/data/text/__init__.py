"""A text becomes ids, splits, batches and a LightningDataModule."""
