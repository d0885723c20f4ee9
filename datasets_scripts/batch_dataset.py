"""Windows as a torch dataset that gathers a whole batch at once, and gives single ones where a DataLoader wants those.

torch's DataLoader and transformers' Trainer collate a list of examples, which `__getitems__` returns. The package's own
loader (loader.py) asks for `batch` instead, which copies nothing.
"""

from collections.abc import Sequence

import numpy as np
from torch.utils.data import Dataset


class BatchDataset(Dataset):
    """A dataset that has `batch` and a length."""

    def batch(self, indices: Sequence[int]) -> dict[str, np.ndarray]:
        """Return a batch: arrays whose first axis runs over `indices`."""
        raise NotImplementedError

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Return one example: as a batch, without the first axis."""
        return {name: array[0] for name, array in self.batch([index]).items()}

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, np.ndarray]]:
        """Return a list of examples, gathered as a batch."""
        batch = self.batch(indices)
        return [{name: array[i] for name, array in batch.items()} for i in range(len(indices))]
