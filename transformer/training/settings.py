"""The settings of training in groups; each field is a key of a config. Imports no torch."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    optimizer: str
    lr: float
    weight_decay: float
    momentum: float = 0.95
    polar: str = "newton_schulz"  # how Muon finds the nearest orthogonal matrix
    beta1: float
    beta2: float
    eps: float


@dataclass(frozen=True, kw_only=True)
class ScheduleSettings:
    schedule: str
    warmup_steps: int | str  # "auto" is a twentieth of the run, at most 100
    decay_fraction: float
    final_lr_fraction: float


@dataclass(frozen=True, kw_only=True)
class LossSettings:
    label_smoothing: float
    r_drop: float


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(LossSettings, ScheduleSettings, OptimizerSettings):
    grad_clip: float
