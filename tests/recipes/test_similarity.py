from __future__ import annotations

import torch

from similarity import linear_cka


def test_a_rotation_and_a_scale_change_nothing():
    random = torch.Generator().manual_seed(0)
    for shape in ((50, 8), (6, 30)):
        x = torch.randn(shape, generator=random)
        turn = torch.linalg.qr(torch.randn(shape[1], shape[1], generator=random)).Q
        assert abs(linear_cka(x, 3 * x @ turn + 5) - 1) < 1e-5


def test_what_has_nothing_in_common_is_near_zero():
    random = torch.Generator().manual_seed(0)
    x, y = torch.randn(2000, 5, generator=random), torch.randn(2000, 7, generator=random)
    assert linear_cka(x, y) < 0.02
    assert 0.2 < linear_cka(x, torch.cat([x, y], dim=1)) < 0.8
    assert linear_cka(x, torch.ones(2000, 3)) == 0


def test_both_ways_to_compute_it_agree():
    random = torch.Generator().manual_seed(0)
    x, y = torch.randn(20, 19, generator=random), torch.randn(20, 40, generator=random)
    wide = torch.cat([x, torch.zeros(20, 5)], dim=1)
    assert abs(linear_cka(x, y) - linear_cka(wide, y)) < 1e-9
