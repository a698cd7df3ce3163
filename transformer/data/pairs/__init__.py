"""From sources and targets to ids, splits, batches and a LightningDataModule."""
