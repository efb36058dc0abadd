"""Gradients of a run: backpropagation through time, finite-difference checks, gradient flow."""

from lstm_cli.engine.grad.differences import Margin, check
from lstm_cli.engine.grad.gradient_flow import GradientFlow, through_time
from lstm_cli.engine.grad.steps import Gradients, LayerGradient, grad

__all__ = ["GradientFlow", "Gradients", "LayerGradient", "Margin", "check", "grad", "through_time"]

backward = grad  # deprecated: its name in 0.1
