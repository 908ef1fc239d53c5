"""Nearest neighbours between the features of two pictures: Kolkin et al. (2022), "Neural Neighbor Style Transfer".

Features are (C, N): C channels at N positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from impasto.types import FloatArray

_SIMILARITIES = 1 << 22
"""Number of similarities that are computed at a time."""
_POSITIONS = 1 << 16
"""Number of positions whose features are prepared at a time."""
_NOTHING = 1e-12
_TRUSTED = 0.25
"""Level of doubt below which a neighbour is used without any of the content's own features."""
_MOST_DOUBT = 0.85
"""Share of the content's own features at the highest level of doubt."""
_COMPARED = 1024
"""Number of random positions of a picture with which its positions are compared to find what repeats itself."""
_BALANCING = 60
"""Number of iterations in which the shares of several styles are adjusted to their weights."""
_BALANCED = 16384
"""Maximum number of positions of a picture that are used for this adjustment."""


@dataclass(frozen=True)
class Neighbors:
    """The nearest neighbour of every position of a picture among the positions of the styles."""

    position: npt.NDArray[np.intp]
    """Index of the neighbour in the concatenated positions of all styles: (N)."""
    similarity: FloatArray
    """Cosine similarity to the neighbour: (N)."""


class NeighborSearch:
    """Search for the style position with the smallest cosine distance to each position of a picture.

    As in the paper, section 3.2, features are centred before the comparison: the features of the picture by their mean,
    and the features of the styles by theirs.
    """

    def __init__(
        self,
        sample: FloatArray,
        styles: Sequence[FloatArray],
        shares: Sequence[float],
        *,
        dimensions: int | None = None,
    ) -> None:
        """Prepare the features of the styles and of the picture.

        Args:
            sample: features (C, N) of the picture, at all positions or at random positions.
            styles: features (C, M) of each style.
            shares: share of the positions that each style gets; their sum is 1.
            dimensions: number of principal components to which the features are projected before the comparison; None
                for no projection. Differs from the paper: it is faster and finds the same neighbours, except for near
                ties.
        """
        self._mean = sample.mean(1, keepdims=True)
        style_mean = sum(share * style.mean(1, keepdims=True) for share, style in zip(shares, styles, strict=True))
        keys = [style - style_mean for style in styles]
        lengths = [_lengths(key) for key in keys]
        self._axes = None
        if dimensions and dimensions < len(sample):
            self._axes = _principal_axes([sample - self._mean, *keys], dimensions)
            keys = [self._axes @ key for key in keys]
        self._keys = [key / length for key, length in zip(keys, lengths, strict=True)]
        self._first = np.cumsum([0, *(style.shape[1] for style in styles)])[:-1]
        self._offsets = np.zeros((len(styles), 1), np.float32)
        if len(styles) > 1:
            chosen = np.random.default_rng(0).permutation(sample.shape[1])[:_BALANCED]
            self._offsets = _balance(self._nearest_of_each(sample[:, chosen])[1], shares)

    def find(self, picture: FloatArray) -> Neighbors:
        """Find the neighbours of ``picture``, features (C, N) of all or some positions."""
        position, similarity = self._nearest_of_each(picture)
        owner = _owners(similarity, self._offsets)[None]
        position = position + self._first[:, None]
        return Neighbors(np.take_along_axis(position, owner, 0)[0], np.take_along_axis(similarity, owner, 0)[0])

    def _nearest_of_each(self, picture: FloatArray) -> tuple[npt.NDArray[np.intp], FloatArray]:
        """Return the nearest position in each of K styles, and its similarity: both (K, N)."""
        shape = (len(self._keys), picture.shape[1])
        position, similarity = np.empty(shape, np.intp), np.empty(shape, np.float32)
        for first in range(0, picture.shape[1], _POSITIONS):
            part = slice(first, first + _POSITIONS)
            query = picture[:, part] - self._mean
            lengths = _lengths(query)
            if self._axes is not None:
                query = self._axes @ query
            query = np.ascontiguousarray((query / lengths).T)
            for index, keys in enumerate(self._keys):
                position[index, part], similarity[index, part] = _nearest(query, keys)
        return position, similarity


def _lengths(features: FloatArray) -> FloatArray:
    lengths: FloatArray = np.maximum(np.linalg.norm(features, axis=0), _NOTHING)
    return lengths


def _nearest(query: FloatArray, keys: FloatArray) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """Return, for each row of ``query`` (N, C), the index and value of the largest product with ``keys`` (C, M)."""
    position = np.empty(len(query), np.intp)
    similarity = np.empty(len(query), np.float32)
    rows = max(1, _SIMILARITIES // keys.shape[1])
    for first in range(0, len(query), rows):
        part = slice(first, first + rows)
        products = query[part] @ keys
        position[part] = products.argmax(1)
        similarity[part] = np.take_along_axis(products, position[part][:, None], 1)[:, 0]
    return position, similarity


def _principal_axes(clouds: Sequence[FloatArray], dimensions: int) -> FloatArray:
    """Return the ``dimensions`` directions (dimensions, C) in which centred ``clouds`` (C, N) vary most."""
    covariance = sum(cloud @ cloud.T / cloud.shape[1] for cloud in clouds)
    _, vectors = np.linalg.eigh(covariance)
    axes: FloatArray = vectors[:, -dimensions:].T.astype(np.float32)
    return axes


def _balance(similarity: FloatArray, shares: Sequence[float]) -> FloatArray:
    """Return offsets (K, 1) that, added to the ``similarity`` (K, N) of K styles, give each style its share.

    Each style then gets the positions that it suits best. The paper has only one style.
    """
    scores = _without_ties(similarity)
    offsets = np.zeros((len(scores), 1), np.float32)
    step = float(scores.std()) + 1e-4
    for round_ in range(_BALANCING):
        owner = (scores + offsets).argmax(0)
        found = np.bincount(owner, minlength=len(scores)) / len(owner)
        offsets += (np.float32(step * 0.95**round_) * (np.asarray(shares) - found)[:, None]).astype(np.float32)
    return offsets


def _owners(similarity: FloatArray, offsets: FloatArray) -> npt.NDArray[np.intp]:
    """Assign each position to one of K styles by its ``similarity`` (K, N) plus ``offsets``."""
    if len(similarity) == 1:
        return np.zeros(similarity.shape[1], np.intp)
    owners: npt.NDArray[np.intp] = (_without_ties(similarity) + offsets).argmax(0)
    return owners


def _without_ties(similarity: FloatArray) -> FloatArray:
    """Break ties between similarities at random. Ties occur with styles of one flat colour."""
    noise = np.random.default_rng(0).random(similarity.shape, np.float32)
    scores: FloatArray = similarity + np.float32(1e-4) * noise
    return scores


def confidence_mix(picture: FloatArray, similarity: FloatArray) -> FloatArray:
    """Return the share of the content's own features that each position should keep, (N) in [0, 0.85].

    A neighbour represents the content badly if the content has structure there, and either no position of the style
    resembles it or nothing else in the picture does. With such neighbours, eyes, mouths and small houses would
    dissolve. What repeats itself, such as leaves or waves, may be painted with any stroke. All three are measured as
    ranks among all positions: structure by the norm of the centred features (C, N), resemblance by ``similarity`` to
    the neighbour, and repetition by `_repetition`. Differs from the paper, which uses every neighbour as it is.
    """
    centred = picture - picture.mean(1, keepdims=True)
    structure = _lengths(centred)
    strangeness = np.maximum(_ranks(-similarity), _ranks(-_repetition(centred / structure)))
    doubt = strangeness * _ranks(structure)
    mix: FloatArray = _MOST_DOUBT * np.sqrt(((doubt - _TRUSTED) / (1 - _TRUSTED)).clip(0, 1))
    return mix


def _repetition(directions: FloatArray) -> FloatArray:
    """Return how similar each position is to the most similar fiftieth of the picture: (N).

    ``directions`` are the unit vectors of the features (C, N). They are compared with those of random positions.
    """
    count = directions.shape[1]
    others = directions[:, np.random.default_rng(0).permutation(count)[:_COMPARED]]
    nearer = min(max(2, others.shape[1] // 50), others.shape[1])  # one of them may be the position itself
    found = np.empty(count, np.float32)
    rows = max(1, _SIMILARITIES // others.shape[1])
    for first in range(0, count, rows):
        part = slice(first, first + rows)
        found[part] = np.partition(directions[:, part].T @ others, -nearer, axis=1)[:, -nearer]
    return found


def _ranks(values: FloatArray) -> FloatArray:
    """Return the rank of each of ``values`` (N), scaled to [0, 1)."""
    ranks = np.empty(len(values), np.float32)
    ranks[values.argsort(kind="stable")] = np.arange(len(values), dtype=np.float32) / len(values)
    return ranks
