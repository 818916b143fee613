"""The job a person posts: one model for HTTP, for YAML files, and for the runner.

Only ``kind`` and ``dataset`` are required. Every other field has a default that is good enough to be left
alone; the stored spec shows what was filled in. What a field means mathematically is in docs/solver.md.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, field_validator, model_validator

from hposvc.schema.capabilities import Device, Memory, need

Kind = Literal["data_reweighting", "regularization_tuning"]
Auto = Literal["auto"]

# Finite, because JSON decoders and YAML let NaN and infinities through.
Float = Annotated[float, Field(strict=True, allow_inf_nan=False)]  # a number, not a text or a truth value that reads so
PositiveFloat = Annotated[Float, Field(gt=0, le=1e12)]
NonNegativeFloat = Annotated[Float, Field(ge=0, le=1e12)]
Fraction = Annotated[Float, Field(gt=0, lt=1)]
Seed = Annotated[StrictInt, Field(ge=0, lt=2**31)]
ColumnName = Annotated[str, Field(min_length=1, max_length=200)]
DatasetId = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9:_.-]+$")]
Tag = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f]+$")]
Tags = Annotated[list[Tag], Field(max_length=20)]
JobName = Annotated[str, Field(min_length=1, max_length=200)]
Priority = Annotated[StrictInt, Field(ge=-1000, le=1000)]
Width = Annotated[StrictInt, Field(ge=1, le=65_536)]
Activation = Literal["relu", "gelu", "tanh"]
Dropout = Annotated[Float, Field(ge=0, lt=1)]


class SpecModel(BaseModel):
    """Base of every part of a spec: unknown fields are refused, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RandomSplit(SpecModel):
    """A seeded random split, stratified by class. The three fractions add up to one."""

    train: Fraction = 0.6
    validation: Fraction = 0.2
    test: Fraction = 0.2
    seed: Seed = 0

    @model_validator(mode="after")
    def _sums_to_one(self) -> RandomSplit:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + validation + test must be 1, not {total:g}")
        return self


class ColumnSplit(SpecModel):
    """A split that the data brings along: a column that says ``train``, ``validation`` or ``test`` for each row."""

    column: ColumnName


class FilesSplit(SpecModel):
    """Rows for validation and test from data sets of their own; those of ``dataset.id`` are all for training."""

    validation: DatasetId
    test: DatasetId


class LabelNoise(SpecModel):
    """Wrong labels planted in the training rows, to try things out. The solver never learns which rows."""

    rate: Fraction
    seed: Seed = 0


class DatasetSpec(SpecModel):
    """Which data, which columns of it, and how they are divided.

    ``label`` and ``id_column`` are by default those that the data set says, ``features`` all columns that have no other
    role. ``task`` makes classes or numbers of a label that could be either. ``categorical`` names features of an
    uploaded set whose numbers are codes, such as of places or products: they are taken as categories.
    """

    id: DatasetId
    label: ColumnName | None = None
    task: Literal["classification", "regression"] | None = None
    features: Annotated[list[ColumnName], Field(min_length=1, max_length=100_000)] | None = None
    categorical: Annotated[list[ColumnName], Field(min_length=1, max_length=10_000)] | None = None
    id_column: ColumnName | None = None
    split: RandomSplit | ColumnSplit | FilesSplit = RandomSplit()
    label_noise: LabelNoise | None = None

    @property
    def ids(self) -> list[str]:
        """All the data sets that are named: the one that is trained on first."""
        split = self.split
        return [self.id, split.validation, split.test] if isinstance(split, FilesSplit) else [self.id]


class LinearModel(SpecModel):
    """One affine map: softmax regression for classes, linear regression for numbers."""

    type: Literal["linear"] = "linear"


class MLPModel(SpecModel):
    """Fully connected layers with one activation between them.

    ``dropout`` is the probability that a hidden unit is left out of a training step; scores use all units.
    """

    type: Literal["mlp"]
    hidden: Annotated[list[Width], Field(min_length=1, max_length=16)] = [256]
    activation: Activation = "relu"
    dropout: Dropout = 0.0


class CNNModel(SpecModel):
    """Convolutions on images, each followed by the activation and by averages over 2 × 2 pixels, then an MLP.

    A convolution has ``kernel`` × ``kernel`` weights per pair of channels and keeps the size of the image by zeros
    around it. ``dropout`` is the probability that an input of a fully connected layer is left out of a training step.
    """

    type: Literal["cnn"]
    channels: Annotated[list[Width], Field(min_length=1, max_length=16)] = [16, 32]
    kernel: Literal[3, 5, 7] = 3
    hidden: Annotated[list[Width], Field(max_length=16)] = [64]
    activation: Activation = "relu"
    dropout: Dropout = 0.0


ModelSpec = Annotated[LinearModel | MLPModel | CNNModel, Field(discriminator="type")]

ClassName = Annotated[str, Field(min_length=1, max_length=200, coerce_numbers_to_str=True)]  # YAML reads 3 as a number


class CrossEntropyLoss(SpecModel):
    """Negative log-likelihood of the class, times the weight of the class. Without `loss`, that of classes.

    ``balanced`` weighs class c by n / (k · n_c) for n_c of n training rows in k classes. Given weights are 1 where a
    class is not named, and only their ratios matter: they are scaled to a mean of 1 over the training rows.
    """

    type: Literal["cross_entropy"]
    class_weights: Literal["balanced"] | Annotated[dict[ClassName, PositiveFloat], Field(min_length=1)] | None = None


class SquaredErrorLoss(SpecModel):
    """(prediction − target)², the target standardized by the training rows. Without `loss`, that of numbers."""

    type: Literal["squared_error"]


class HuberLoss(SpecModel):
    """Squared error up to an error of ``delta``, growing as a line beyond: outliers pull less.

    ``delta`` is in standard deviations of the training rows' targets.
    """

    type: Literal["huber"]
    delta: PositiveFloat = 1.0


LossSpec = Annotated[CrossEntropyLoss | SquaredErrorLoss | HuberLoss, Field(discriminator="type")]


class HyperparametersSpec(SpecModel):
    """What is tuned: λ per row, class or group (reweighting), per model, layer, feature or parameter (regularization).

    ``group_column`` names the column whose values are the groups, or several whose combinations are; they are no
    features unless ``dataset.features`` has them.
    ``penalty`` is ½ w² per weight (``l2``), √(w² + ε²) − ε with ε = 0.01 (``l1``), or both (``elastic_net``), each with
    strengths of its own. ``shrinkage`` is ρ of ρ‖λ − λ₀‖², added to the upper loss, λ₀ being where λ starts.
    ``selection`` is the fraction of the validation rows that never enters the hypergradient and decides which iterate
    is the answer.
    """

    per: Literal["row", "class", "group", "model", "layer", "feature", "parameter"] | None = None
    group_column: ColumnName | Annotated[list[ColumnName], Field(min_length=1, max_length=16)] | None = None
    penalty: Literal["l2", "l1", "elastic_net"] = "l2"
    initial: Float | Auto = "auto"
    shrinkage: NonNegativeFloat | Auto = "auto"
    selection: Annotated[Float, Field(ge=0, lt=1)] | Auto = "auto"

    @property
    def group_columns(self) -> tuple[str, ...]:
        """The columns of ``group_column``, none of them if there are no groups."""
        if self.group_column is None:
            return ()
        return (self.group_column,) if isinstance(self.group_column, str) else tuple(self.group_column)

    @field_validator("initial")
    @classmethod
    def _finite(cls, value: float | Auto) -> float | Auto:
        if value != "auto" and not -50 <= value <= 50:
            raise ValueError("must be 'auto' or a number between -50 and 50 (λ is on a logarithmic scale)")
        return value


class ScheduleSpec(SpecModel):
    """How a learning rate changes over the job: from its full value to ``final`` times that at the last iteration."""

    kind: Literal["constant", "cosine", "exponential"] = "constant"
    final: Annotated[Float, Field(gt=0, le=1)] = 0.01


class LowerSpec(SpecModel):
    """How the model is trained between two upper steps."""

    learning_rate: PositiveFloat | Auto = "auto"
    momentum: Annotated[Float, Field(ge=0, lt=1)] = 0.0
    steps: Annotated[StrictInt, Field(ge=1, le=10_000)] = 1
    batch_size: Annotated[StrictInt, Field(ge=2, le=10_000_000)] | None = None
    weight_decay: NonNegativeFloat | Auto = "auto"
    schedule: ScheduleSpec = ScheduleSpec()


class UpperSpec(SpecModel):
    """How λ moves along the hypergradient."""

    optimizer: Literal["adam", "momentum", "sgd"] = "adam"
    learning_rate: PositiveFloat | Auto = "auto"
    bounds: tuple[Float, Float] | None = None
    clip_norm: PositiveFloat | None = None
    schedule: ScheduleSpec = ScheduleSpec()

    @field_validator("bounds")
    @classmethod
    def _ordered(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not -1e6 <= value[0] < value[1] <= 1e6:
            raise ValueError("must be two finite numbers, the lower one first")
        return value


class ImplicitSpec(SpecModel):
    """How the implicit estimator inverts the lower Hessian: ``terms`` of a Neumann series, or of conjugate gradient."""

    method: Literal["neumann", "cg"] = "neumann"
    terms: Annotated[StrictInt, Field(ge=1, le=10_000)] = 10


class DynamicInitializationSpec(SpecModel):
    """The lower start is learned too, by gradient descent with this learning rate."""

    learning_rate: PositiveFloat


class GdaSpec(SpecModel):
    """Gradient descent aggregation: lower step k descends α_k f + (1 − α_k) F with α_k = alpha_init · alpha_decay^k."""

    alpha_init: Fraction = 0.5
    alpha_decay: Annotated[Float, Field(gt=0, le=1)] = 1.0


class SolverSpec(SpecModel):
    """The hypergradient and the two optimizers around it.

    ``one_step`` differentiates the single lower step of an iteration, ``unrolled`` the last ``truncate`` of
    ``lower.steps`` (all of them by default), ``implicit`` the solution that the steps approach. ``certify_every`` n
    stores the error of every n-th hypergradient, by its change at twice the radius or against the exact oracle.
    """

    estimator: Literal["one_step", "unrolled", "implicit"] = "one_step"
    truncate: Annotated[StrictInt, Field(ge=1, le=10_000)] | None = None
    implicit: ImplicitSpec | None = None
    oracle: Literal["finite_difference", "exact"] = "finite_difference"
    radius: PositiveFloat | Auto = "auto"
    lower: LowerSpec = LowerSpec()
    upper: UpperSpec = UpperSpec()
    dynamic_initialization: DynamicInitializationSpec | None = None
    gda: GdaSpec | None = None
    certify_every: Annotated[StrictInt, Field(ge=0, le=1_000_000)] = 0
    certify_against: Literal["wider_radius", "exact"] = "wider_radius"
    dtype: Literal["float32", "float64"] = "float32"
    seed: Seed = 0

    @model_validator(mode="after")
    def _covered_by_a_formula(self) -> SolverSpec:
        """Refuse what no formula covers, rather than compute something that is not a hypergradient."""
        steps, truncate = self.lower.steps, self.truncate
        if self.estimator == "one_step" and steps != 1:
            raise ValueError(
                f"estimator: one_step differentiates one lower step, not {steps}; use estimator: unrolled "
                "(with truncate: 1 to count only the last step)"
            )
        if truncate is not None and self.estimator != "unrolled":
            raise ValueError(f"truncate: only the unrolled estimator is truncated, not {self.estimator}; leave it out")
        if truncate is not None and truncate > steps:
            raise ValueError(f"truncate: cannot count {truncate} of {steps} lower steps; lower it or raise lower.steps")
        if self.implicit is not None and self.estimator != "implicit":
            raise ValueError(f"implicit: belongs to estimator: implicit, not {self.estimator}; leave it out")
        if self.dynamic_initialization is not None:
            if self.estimator == "implicit":
                raise ValueError(
                    "dynamic_initialization: the solution of the lower level does not depend on its start; "
                    "use estimator: unrolled"
                )
            if truncate is not None and truncate < steps:
                raise ValueError("dynamic_initialization: differentiates back to the start; leave truncate out")
        if self.gda is not None and self.estimator == "implicit":
            raise ValueError(
                "gda: implicit assumes a solution of the lower level, which gda does not seek; use estimator: unrolled"
            )
        if self.certify_against == "exact" and not self.certify_every:
            raise ValueError("certify_against: nothing is certified while certify_every is 0; set it to 100, say")
        return self


class StopSpec(SpecModel):
    """When a job is done; the first rule that holds ends it, and the result says which."""

    iterations: Annotated[StrictInt, Field(ge=1, le=10_000_000)] = 500
    max_seconds: PositiveFloat | None = None
    patience: Annotated[StrictInt, Field(ge=1, le=10_000_000)] | None = None
    min_delta: NonNegativeFloat = 0.0
    hypergradient_tolerance: PositiveFloat | None = None


class ResourcesSpec(SpecModel):
    """What the job is computed on. ``device``: ``auto`` is that of whichever worker takes the job, ``cpu`` and ``cuda``
    wait for a worker that offers it. ``memory``: ``large`` waits for a worker with 16 GiB or more, ``huge`` for one
    with 64; it is the GPU's own for ``cuda``.
    """

    device: Device = "auto"
    memory: Memory = "standard"

    @property
    def needs(self) -> str:
        """The name of what the job needs of a worker."""
        return need(self.device, self.memory)


class JobSpec(SpecModel):
    """A bilevel job: tune λ above, train the model below.

    ``time_limit`` is how many seconds an attempt may take on a worker, refits included, before the job fails as
    ``timed_out``, with a checkpoint; ``stop.max_seconds`` only ends the iterations, and gives a result.
    ``checkpoint_every`` is a number of iterations; by default a checkpoint is written every two seconds, and less often
    where writing takes more than a fiftieth of the time.
    """

    kind: Kind
    name: JobName | None = None
    tags: Tags = []
    dataset: DatasetSpec
    model: ModelSpec = LinearModel()
    loss: LossSpec | None = None
    hyperparameters: HyperparametersSpec = HyperparametersSpec()
    solver: SolverSpec = SolverSpec()
    stop: StopSpec = StopSpec()
    checkpoint_every: Annotated[StrictInt, Field(ge=1, le=10_000_000)] | Auto = "auto"
    resources: ResourcesSpec = ResourcesSpec()
    priority: Priority = 0
    max_attempts: Annotated[StrictInt, Field(ge=1, le=20)] = 3
    time_limit: PositiveFloat | None = None

    @model_validator(mode="after")
    def _per_fits_kind(self) -> JobSpec:
        allowed = PER[self.kind]
        per = self.hyperparameters.per
        if per is not None and per not in allowed:
            raise ValueError(
                f"hyperparameters.per: {per!r} does not fit {self.kind}; choose one of {', '.join(allowed)}"
            )
        return self

    @model_validator(mode="after")
    def _hyperparameters_fit_kind(self) -> JobSpec:
        settings = self.hyperparameters
        if settings.per == "group" and settings.group_column is None:
            raise ValueError("hyperparameters.group_column: is required for per: group; name the column of the groups")
        if settings.group_column is not None and settings.per != "group":
            raise ValueError("hyperparameters.group_column: belongs to per: group; leave it out")
        if settings.penalty != "l2" and self.kind != "regularization_tuning":
            raise ValueError(f"hyperparameters.penalty: {self.kind} tunes weights of rows, no penalty; leave it out")
        return self

    @model_validator(mode="after")
    def _conjugate_gradient_needs_convexity(self) -> JobSpec:
        implicit = self.solver.implicit
        if implicit is not None and implicit.method == "cg" and self.model.type != "linear":
            raise ValueError(
                "solver.implicit.method: cg needs a convex lower level, which only model.type: linear has; use neumann"
            )
        return self

    @model_validator(mode="after")
    def _pixels_have_no_weights_of_their_own(self) -> JobSpec:
        if self.model.type == "cnn" and self.hyperparameters.per == "feature":
            raise ValueError(
                "hyperparameters.per: 'feature' does not fit model.type: cnn, whose weights every pixel shares; "
                "use layer, model or parameter"
            )
        return self

    @model_validator(mode="after")
    def _implicit_needs_one_objective(self) -> JobSpec:
        if self.model.type != "linear" and self.model.dropout and self.solver.estimator == "implicit":
            raise ValueError(
                "model.dropout: the implicit estimator differentiates the solution of one objective, and dropout makes "
                "another of each step; set dropout: 0, or use solver.estimator: one_step or unrolled"
            )
        return self

    @property
    def per(self) -> str:
        """The granularity of λ, with the default of the kind and the model filled in."""
        if self.kind == "regularization_tuning" and self.model.type == "cnn":
            return self.hyperparameters.per or "layer"
        return self.hyperparameters.per or PER[self.kind][0]


# The granularities of λ that each kind knows; the first is its default.
PER: dict[Kind, tuple[str, ...]] = {
    "data_reweighting": ("row", "class", "group"),
    "regularization_tuning": ("feature", "model", "layer", "parameter"),
}
