"""Sources and targets become ids, splits, batches and a LightningDataModule."""
