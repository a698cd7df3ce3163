import numpy as np

from transformer.lessons.numpy_reference.layers import Layer


class Adam:
    """Kingma and Ba 2015 (arXiv:1412.6980), algorithm 1, for the parameters of the given layers.

    The running means start at 0, which makes them too small; dividing by 1 - beta^t corrects this.
    """

    def __init__(
        self,
        *layers: Layer,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        self.layers = layers
        self.lr, self.betas, self.eps = lr, betas, eps
        self.num_steps = 0
        self.means = [np.zeros_like(p) for layer in layers for p in layer.parameters.values()]
        self.squares = [np.zeros_like(mean) for mean in self.means]

    def step(self) -> None:
        """Changes the parameters in place."""
        self.num_steps += 1
        mean_beta, square_beta = self.betas
        parameters = [p for layer in self.layers for p in layer.parameters.values()]
        gradients = [layer.gradients[name] for layer in self.layers for name in layer.parameters]
        for parameter, gradient, mean, square in zip(
            parameters, gradients, self.means, self.squares, strict=True
        ):
            mean += (1 - mean_beta) * (gradient - mean)
            square += (1 - square_beta) * (gradient**2 - square)
            unbiased_mean = mean / (1 - mean_beta**self.num_steps)
            unbiased_square = square / (1 - square_beta**self.num_steps)
            parameter -= self.lr * unbiased_mean / (np.sqrt(unbiased_square) + self.eps)
