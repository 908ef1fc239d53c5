"""Nearest neighbours between features, against a search written out."""

from __future__ import annotations

import numpy as np
import pytest

from impasto.engines.neighbors import NeighborSearch, confidence_mix


def clouds(*counts, channels=12, seed=0):
    random = np.random.default_rng(seed)
    return [random.random((channels, count), dtype=np.float32) for count in counts]


def find(picture, styles, shares, **options):
    """Return the features of the neighbours, and their similarity."""
    found = NeighborSearch(picture, styles, shares, **options).find(picture)
    return np.concatenate(styles, axis=1)[:, found.position], found.similarity


def centred_cosine(one, other):
    one, other = (each - each.mean(1, keepdims=True) for each in (one, other))
    return (one / np.linalg.norm(one, axis=0)).T @ (other / np.linalg.norm(other, axis=0))


def test_the_neighbour_is_the_most_similar_position():
    picture, style = clouds(50, 70)
    features, similarity = find(picture, [style], [1.0])
    cosine = centred_cosine(picture, style)
    np.testing.assert_array_equal(features, style[:, cosine.argmax(1)])
    np.testing.assert_allclose(similarity, cosine.max(1), atol=1e-5)


def test_parts_of_a_picture_find_what_the_whole_finds():
    picture, *styles = clouds(5000, 300, 200)
    search = NeighborSearch(picture, styles, [0.7, 0.3])
    whole, parts = search.find(picture), [search.find(picture[:, part]) for part in (slice(800), slice(800, None))]
    same = np.concatenate([part.position for part in parts]) == whole.position
    assert same.mean() > 0.999  # where two styles suit equally well, chance decides


def test_a_large_picture_finds_what_its_parts_find():
    picture, style = clouds(140_000, 20)
    search = NeighborSearch(picture, [style], [1.0])
    whole, parts = search.find(picture), [search.find(picture[:, first::2]) for first in (0, 1)]
    for first, part in enumerate(parts):
        assert np.array_equal(whole.position[first::2], part.position)


def test_as_many_components_as_there_are_find_the_same():
    mixing = np.random.default_rng(1).random((12, 5), dtype=np.float32)
    picture, style = (mixing @ each for each in clouds(40, 60, channels=5))
    exact, projected, coarse = (find(picture, [style], [1.0], dimensions=count)[0] for count in (None, 6, 1))
    np.testing.assert_array_equal(exact, projected)
    assert (exact != coarse).any()


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.8, 0.2), (0.1, 0.6, 0.3)])
def test_every_style_gets_its_share(shares):
    picture, *styles = clouds(4000, *[300] * len(shares))
    styles[0] *= 3  # more distinct than the others
    position = NeighborSearch(picture, styles, shares).find(picture).position
    np.testing.assert_allclose(np.bincount(position // 300) / 4000, shares, atol=0.02)


def test_plain_styles_share_by_chance():
    (picture,) = clouds(1000)
    plain = [np.full((12, 5), value, np.float32) for value in (0.2, 0.7)]
    features, _ = find(picture, plain, [0.3, 0.7])
    assert (features[0] == np.float32(0.2)).mean() == pytest.approx(0.3, abs=0.05)


def test_one_position_is_everybodys_neighbour():
    (picture,) = clouds(9)
    single = np.arange(12, dtype=np.float32)[:, None]
    features, similarity = find(picture, [single], [1.0])
    np.testing.assert_array_equal(features, np.repeat(single, 9, axis=1))
    assert np.isfinite(similarity).all()


def test_doubt_needs_structure_and_a_bad_neighbour():
    picture = np.ones((3, 100), np.float32)
    picture[:, 50:] += np.linspace(1, 4, 50, dtype=np.float32) * np.array([[1], [-1], [0.5]], np.float32)
    similarity = np.linspace(1, -1, 100, dtype=np.float32)
    mix = confidence_mix(picture, similarity)
    assert mix.min() == 0 and 0.5 < mix.max() <= 0.85
    assert mix.argmax() == 99, "where both are greatest"
    assert not mix[similarity.argmax()]


def test_what_is_unique_is_kept_though_its_neighbour_is_good():
    directions = np.random.default_rng(2).standard_normal((12, 4)).astype(np.float32)
    picture = np.repeat(directions, 100, axis=1) * np.linspace(0.5, 1, 400, dtype=np.float32)
    picture[:, 7] = 3 * np.random.default_rng(3).standard_normal(12)
    similarity = np.full(400, 0.5, np.float32)
    similarity[7] = 1
    mix = confidence_mix(picture, similarity)
    assert mix.argmax() == 7 and mix[7] > 0.8
