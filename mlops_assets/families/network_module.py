"""The network itself: raw columns in, logits out. Imports torch: only for code that fits or exports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_EMBEDDING_MAX = 16
_CLIP = 6.0  # standard deviations: a value far outside the training's range shall not rule the sum


class TabularNetwork(nn.Module):
    """Embeddings of the codes and standardised numbers, with a flag for each missing one, into an MLP.

    Input: float32 (rows, numeric + categorical) as ``Examples.x``. Output: logits (rows,).
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        numeric: NDArray[np.float32],
        cardinalities: Sequence[int],
        hidden: Sequence[int],
        dropout: float,
    ) -> None:
        super().__init__()
        self.width = numeric.shape[1]
        mean, scale = _moments(numeric)
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        dims = [min(_EMBEDDING_MAX, 1 + round(size**0.5)) for size in cardinalities]
        self.embeddings = nn.ModuleList(
            nn.Embedding(size, dim) for size, dim in zip(cardinalities, dims, strict=True)
        )
        layers: list[nn.Module] = []
        width = 2 * self.width + sum(dims)
        for units in hidden:
            layers += [nn.Linear(width, units), nn.ReLU(), nn.Dropout(dropout)]
            width = units
        self.head = nn.Sequential(*layers, nn.Linear(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        numbers = x[:, : self.width]
        missing = torch.isnan(numbers)
        # A missing number counts as the mean: 0 after standardisation.
        standard = torch.where(missing, torch.zeros_like(numbers), (numbers - self.mean) / self.scale)
        parts = [standard.clamp(-_CLIP, _CLIP), missing.to(x.dtype)]
        parts += [table(x[:, self.width + i].long()) for i, table in enumerate(self.embeddings)]
        logits: Tensor = self.head(torch.cat(parts, dim=1)).squeeze(1)
        return logits


class Probability(nn.Module):
    """The network with its logits as probabilities: what is stored."""

    def __init__(self, network: TabularNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.network(x))


def _moments(numeric: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each column without its NaN; 0 and 1 for a column of nothing else."""
    given = ~np.isnan(numeric)
    count = np.maximum(given.sum(axis=0), 1)
    values = np.where(given, numeric, 0).astype(np.float64)
    mean = values.sum(axis=0) / count
    variance = (np.where(given, values - mean, 0) ** 2).sum(axis=0) / count
    scale = np.sqrt(variance)
    scale[scale < 1e-9] = 1.0
    return torch.tensor(mean, dtype=torch.float32), torch.tensor(scale, dtype=torch.float32)
