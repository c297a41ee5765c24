"""Building blocks of the neural topics: shapes, and errors that say what to do."""

import numpy as np
import pytest
import torch
from torch import nn

from coursekit.nn import check_rows, mlp


def test_an_mlp_is_the_composition_of_its_layers():
    """Against the matrix products written out in numpy."""
    net = mlp(3, 2, hidden=(5, 4), activation=nn.Tanh).double()
    x = torch.tensor(np.random.default_rng(0).standard_normal((7, 3)))
    (a, p), (b, q), (c, r) = [
        (layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in net[::2]
    ]
    by_hand = np.tanh(np.tanh(x.numpy() @ a.T + p) @ b.T + q) @ c.T + r
    np.testing.assert_allclose(net(x).detach().numpy(), by_hand, atol=1e-14)


def test_no_hidden_layer_is_an_affine_map():
    assert [type(layer) for layer in mlp(3, 2, hidden=())] == [nn.Linear]


@pytest.mark.parametrize("widths", [(0, 2, (4,)), (2, 0, (4,)), (2, 2, (0,)), (2, 2, (1.5,))])
def test_widths_are_checked(widths):
    with pytest.raises(ValueError, match="expected whole numbers of at least 1"):
        mlp(widths[0], widths[1], hidden=widths[2])


def test_good_rows_come_back_as_they_are():
    x = torch.zeros(4, 2)
    assert check_rows(x, 2, like=torch.zeros(1)) is x


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((2, 2)), TypeError, "got ndarray, expected a torch tensor"),
        (torch.zeros(2), ValueError, r"got shape \(2,\), expected \(n, 2\)"),
        (torch.zeros(2, 3), ValueError, r"got shape \(2, 3\)"),
        (torch.zeros(2, 2, dtype=torch.int64), TypeError, "got torch.int64"),
        (torch.zeros(2, 2, dtype=torch.float64), TypeError, "expected torch.float32, as the module has"),
        (torch.tensor([[0.0, 0.0], [torch.nan, 1.0]]), ValueError, "row 1 holds NaN"),
        (torch.tensor([[torch.inf, 0.0]]), ValueError, "row 0 holds NaN or infinity"),
    ],
)
def test_bad_rows_are_refused(x, error, message):
    with pytest.raises(error, match=message):
        check_rows(x, 2, like=torch.zeros(1), name="query")
