"""L-BFGS for the pixels of an image, constrained to [0, 1].

Gradients can be smoothed at several scales, so that pixels move together with their surroundings. All functions take
arrays of NumPy and tensors of PyTorch.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from impasto.optimization.arrays import Memory, dot, l1_norm

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from impasto.types import FloatArray

    Weights = tuple[float, npt.NDArray[np.float32], npt.NDArray[np.float32]]
    """Weights of the gradient, of the moves, and of the changes of the gradient."""

_CURVATURE = 1e-6
_NOTHING = 1e-30

_SCALES = 5
_COARSER = 1.5 / 4
"""Weight of each scale relative to the next finer one, 1.5, divided by 4 to turn sums of 2x2 pixels into averages. With
a weight of 1, the losses fall more slowly. With 2 and more, fine details converge too slowly from a start of noise."""
_MARGIN = 2**_SCALES
"""Margin in pixels of a tile: the reach of the coarsest scale."""
_CACHE_LINE = 16
"""Size of a cache line in float32 numbers."""


class LBFGS:
    """Limited-memory BFGS (Nocedal and Wright 2006, algorithms 7.4 and 7.5), one evaluation of the loss per step.

    Differs from the textbook in these points:

    - The initial inverse Hessian is a multiple of `spread_over_scales`, called S, and not of the identity. S moves each
      pixel together with its surroundings. Measured: about a fifth fewer steps to the same loss.
    - The first step moves pixels by ``FIRST_MOVE`` on average. In the textbook, the sum of all moves is 1. Rounding in
      float32 would hide the curvature along such a short step.
    - The curvature is measured along the actual move, after clipping to [0, 1].
    - There is no line search, because a second evaluation per step costs more than it gains. The caller guards against
      an exploding loss.
    - The two loops of algorithm 7.4 use scalar products only (Chen et al. 2014, "Large-scale L-BFGS using MapReduce").
      For this purpose, a change y of the gradient is stored as S y, and the scalar products of stored vectors are kept.
      Each step reads every stored vector twice.
    """

    FIRST_MOVE = 0.01
    HISTORY = 10

    def __init__(
        self,
        image: FloatArray,
        learning_rate: float,
        *,
        steps: int | None = None,
        circular: bool = False,
        memory: Memory | None = None,
    ) -> None:
        """Prepare to change ``image`` (1, 3, H, W), float32 and contiguous, in place. Gradients are of its storage.

        Args:
            image: the initial image.
            learning_rate: factor of each step; 1 is the full step.
            steps: maximum number of steps; fewer than `HISTORY` take less memory.
            circular: True if opposite edges of the image are neighbours, as in a tile.
            memory: storage for vectors, and of ``image``.
        """
        self._shape = image.shape
        self._image = image.reshape(-1)
        size = len(self._image)
        self._learning_rate = learning_rate
        self._spread_plane = spread_over_tile if circular else spread_over_scales
        self._memory = memory or Memory()
        self._limit = min(self.HISTORY, steps or self.HISTORY)
        self._moves, self._changes = (self._memory.empty((self._limit, size)) for _ in range(2))
        self._direction = self._memory.empty((size,))
        self._products, self._bends = (np.zeros((self._limit, self._limit)) for _ in range(2))
        """Products of each move (row) with each change of the gradient (column), and of each change with each S y."""
        self._order: list[int] = []
        """Rows of the stored pairs of a move and a change, oldest first."""
        self._rows = 0
        """Number of rows that have been written."""
        self._pending: int | None = None
        """Row of the last move. It holds the gradient before the move until the change of the gradient is known."""

    def step(self, gradient: FloatArray) -> None:
        """Take a step, given the ``gradient`` (1, 3, H, W) of the loss at the current image."""
        flat = gradient.reshape(-1)
        along_moves, along_changes = self._compare(flat)
        self._spread(self._direction)
        if self._order:
            weights = self._turn(along_moves[self._order], along_changes[self._order])
        else:
            mean = l1_norm(self._memory, self._direction) / len(self._direction)
            nothing = np.zeros(self._rows, np.float32)
            weights = (self.FIRST_MOVE / max(mean, _NOTHING), nothing, nothing)
        self._move(flat, weights)

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the state on which the next steps depend, without the image."""
        pending = [] if self._pending is None else [self._pending]
        arrays: dict[str, npt.NDArray[np.generic]] = {
            "products": self._products,
            "bends": self._bends,
            "order": np.array(self._order, np.int64),
            "pending": np.array(pending, np.int64),
        }
        for row in range(self._rows):
            arrays |= {f"move{row}": self._moves[row], f"change{row}": self._changes[row]}
        return arrays

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Continue from the arrays that `state` returned."""
        self._products[...], self._bends[...] = state["products"], state["bends"]
        self._order = [int(row) for row in state["order"]]
        self._pending = next((int(row) for row in state["pending"]), None)
        self._rows = sum(name.startswith("move") for name in state)
        for row in range(self._rows):
            self._memory.copy(state[f"move{row}"], self._moves[row])  # type: ignore[arg-type]  # float32 as saved
            self._memory.copy(state[f"change{row}"], self._changes[row])  # type: ignore[arg-type]

    def _compare(self, gradient: FloatArray) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Set the direction to ``gradient``, and store the change of the gradient since the last move.

        Returns:
            Products of the direction with each row of moves and of changes.
        """
        moves, changes = self._moves[: self._rows], self._changes[: self._rows]
        # Products of the change and of the direction (rows) with all moves and with all changes.
        with_moves, with_changes = (np.zeros((2, self._rows)) for _ in range(2))
        length = 0.0
        for part in self._memory.blocks(len(self._image)):
            given, direction = gradient[part], self._direction[part]
            # Pixels that the gradient holds at a bound must not affect the direction of the others. Otherwise the steps
            # miss the minimum (Bertsekas 1982, "Projected Newton methods").
            direction[...] = given
            direction *= ~_held(self._image[part], given)
            if self._pending is None:
                continue
            change, move = changes[self._pending, part], moves[self._pending, part]
            change *= -1
            change += given
            length += float(move @ move)
            for index, vector in enumerate((change, direction)):
                with_moves[index] += (moves[:, part] @ vector).tolist()
                with_changes[index] += (changes[:, part] @ vector).tolist()
        if self._pending is not None:
            row, (change_size, _) = self._pending, with_changes[:, self._pending]
            # A pair without positive curvature would make the approximation indefinite (section 6.1).
            if with_moves[0, row] > _CURVATURE * np.sqrt(length * change_size):
                bend, with_changes[1, row] = self._spread(changes[row], self._direction)
                self._products[: self._rows, row] = with_moves[0]
                self._bends[: self._rows, row] = self._bends[row, : self._rows] = with_changes[0]
                self._bends[row, row] = bend
                self._order.append(row)
        return with_moves[1], with_changes[1]

    def _spread(self, vector: FloatArray, *others: FloatArray) -> list[float]:
        """Apply S to ``vector`` in place.

        Returns:
            Products of the result with the original ``vector``, and with the ``others``.
        """
        products = np.zeros(1 + len(others))
        for plane in self._planes():
            spread = self._spread_plane(vector[plane].reshape(self._shape[2:])).reshape(-1)
            if others:
                products += [dot(self._memory, spread, other[plane]) for other in (vector, *others)]
            vector[plane] = spread
            self._memory.release()
        return products.tolist()

    def _turn(self, along_moves: npt.NDArray[np.float64], along_changes: npt.NDArray[np.float64]) -> Weights:
        """Multiply the direction by the approximate inverse Hessian, with the two-loop recursion on scalar products.

        Returns:
            Weights of the result as a sum of three terms: the spread direction, the moves and the spread changes.
        """
        order = self._order
        products, bends = (matrix[np.ix_(order, order)] for matrix in (self._products, self._bends))
        curvatures = np.diag(products)
        count = len(order)
        shares, missing = np.zeros(count), np.zeros(count)
        for i in reversed(range(count)):
            shares[i] = (along_moves[i] - products[i, i + 1 :] @ shares[i + 1 :]) / curvatures[i]
        scale = curvatures[-1] / bends[-1, -1]
        across = scale * (along_changes - bends @ shares)
        for i in range(count):
            missing[i] = shares[i] - (across[i] + products[:i, i] @ missing[:i]) / curvatures[i]
        of_moves, of_changes = (np.zeros(self._rows, np.float32) for _ in range(2))
        of_moves[order], of_changes[order] = missing, -scale * shares
        return scale, of_moves, of_changes

    def _move(self, gradient: FloatArray, weights: Weights) -> None:
        """Move the image against the weighted sum of vectors, and store the move and the ``gradient``."""
        scale, of_moves, of_changes = weights[0], *map(self._memory.beside, weights[1:])
        rows, row = self._rows, self._free_row()
        for part in self._memory.blocks(len(self._image)):
            given, image = gradient[part], self._image[part]
            step = self._direction[part]
            step *= float(scale)
            if rows:
                step += of_moves @ self._moves[:rows, part]
                step += of_changes @ self._changes[:rows, part]
            step *= ~_held(image, given)
            step *= -self._learning_rate
            moved = (image + step).clip(0, 1)
            self._moves[row, part] = moved - image
            image[...] = moved
            self._changes[row, part] = given
        self._pending = row
        self._rows = max(rows, row + 1)

    def _free_row(self) -> int:
        """Return an unused row, or drop the oldest pair and return its row if there is none."""
        free = next((row for row in range(self._limit) if row not in self._order), None)
        return self._order.pop(0) if free is None else free

    def _planes(self) -> Iterator[slice]:
        size = len(self._image) // 3
        for channel in range(3):
            yield slice(channel * size, (channel + 1) * size)


def spread_over_scales(plane: FloatArray, scales: int = _SCALES) -> FloatArray:
    """Add to ``plane`` (H, W) its averages over about 2x2, 4x4, ... pixels: a linear, symmetric and positive map.

    Style transfer shifts the colours of whole areas, but plain gradients move each pixel independently.

    Returns:
        A new array, or ``plane`` itself if there is only one scale.
    """
    if scales == 1:
        return plane
    height, width = plane.shape
    # Adding rows is much faster than adding columns, so coarse planes are kept transposed.
    coarse = _halved(_transposed(_halved(plane)))
    coarse *= _COARSER / 4**4  # a factor of 4 for each call of `_halved` and of `_doubled`
    wide = _doubled(spread_over_scales(coarse, scales - 1), width)
    spread = _doubled(_transposed(wide), height)
    spread += plane
    return spread


def spread_over_tile(plane: FloatArray) -> FloatArray:
    """Do the same as `spread_over_scales`, if opposite edges of ``plane`` (H, W) are neighbours.

    The plane is seen with a margin of its own copies. Original and copy fade into each other: the squares of their
    weights add up to 1, which keeps the map symmetric and positive.
    """
    rows, columns, weights = _fading(plane.shape)
    if not isinstance(plane, np.ndarray):
        weights = plane.new_tensor(weights)
    spread = spread_over_scales(plane[rows[:, None], columns] * weights)
    spread *= weights
    return _folded(_folded(spread, plane.shape[0]).T, plane.shape[1]).T


def _held(image: FloatArray, gradient: FloatArray) -> npt.NDArray[np.bool_]:
    """Return a mask of the pixels of ``image`` that a step against ``gradient`` would move out of [0, 1]."""
    held: npt.NDArray[np.bool_] = ((image <= 0) & (gradient > 0)) | ((image >= 1) & (gradient < 0))
    return held


@functools.lru_cache(maxsize=2)
def _fading(shape: tuple[int, int]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], FloatArray]:
    """Return the rows and columns of a plane of this ``shape`` with its margins, and the weight of each place."""
    (rows, down), (columns, across) = (_faded(side) for side in shape)
    return rows, columns, down[:, None] * across


def _faded(side: int) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """Return the place in a side, and the weight, of each place of the side with its margins."""
    margin = min(_MARGIN, side // 2)
    fade = np.sqrt((np.arange(2 * margin, dtype=np.float32) + 0.5) / max(1, 2 * margin))
    weights = np.concatenate([fade, np.ones(side - 2 * margin, np.float32), fade[::-1]])
    return np.arange(-margin, side + margin) % side, weights


def _folded(x: FloatArray, rows: int) -> FloatArray:
    """Add the margins of ``x`` to the ``rows`` of which they are copies."""
    margin = (len(x) - rows) // 2
    folded = _empty(x, rows, x.shape[1])
    folded[...] = x[margin : margin + rows]
    folded[:margin] += x[margin + rows :]
    folded[rows - margin :] += x[:margin]
    return folded


def _empty(like: FloatArray, rows: int, columns: int) -> FloatArray:
    """Return an uninitialised plane of the kind of ``like``: an array, or a tensor of PyTorch on the same device."""
    if isinstance(like, np.ndarray):
        return np.empty((rows, columns), like.dtype)
    return like.new_empty((rows, columns))


def _halved(x: FloatArray) -> FloatArray:
    """Halve the rows of ``x`` (H, W) by weighted sums: the transpose of `_doubled`."""
    even, odd = x[0::2], x[1::2]
    pairs = len(odd)
    y = 3 * even
    y[:pairs] += 3 * odd
    y[1 : pairs + 1] += odd[: len(y) - 1]
    y[:-1] += even[1:]
    y[0] += even[0]
    if pairs == len(y):
        y[-1] += odd[-1]
    return y


def _doubled(x: FloatArray, rows: int) -> FloatArray:
    """Enlarge ``x`` (H, W) bilinearly to ``rows``, which is 2 H or 2 H - 1, and multiply it by 4."""
    y = _empty(x, rows, x.shape[1])
    even, odd = y[0::2], y[1::2]
    near = 3 * x
    even[...] = near
    even[0] += x[0]
    even[1:] += x[:-1]
    pairs = min(len(odd), len(x) - 1)
    odd[:pairs] = near[:pairs]
    odd[:pairs] += x[1 : pairs + 1]
    if len(odd) == len(x):
        odd[-1] = near[-1] + x[-1]
    return y


def _transposed(x: FloatArray) -> FloatArray:
    """Copy ``x`` (H, W) into an array (W, H), in blocks of rows that fill a cache line. A tensor is not copied."""
    if not isinstance(x, np.ndarray):
        return x.T
    y = _empty(x, *x.shape[::-1])
    for top in range(0, len(x), _CACHE_LINE):
        rows = slice(top, top + _CACHE_LINE)
        y[:, rows] = x[rows].T
    return y
