"""The job a person posts: one model for HTTP, for YAML files, and for the runner.

Only ``kind`` is required, and ``dataset``, or ``problem`` for the kind ``custom``. Every other field has a default that
is good enough to be left alone; the stored spec shows what was filled in. What a field means mathematically is in
docs/solver.md.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StrictInt, field_validator, model_validator

from hposvc.formulas import Estimator, uncovered
from hposvc.schema.capabilities import Device, Memory, need
from hposvc.schema.described import Described

Kind = Literal["data_reweighting", "regularization_tuning", "custom"]
Per = Literal[
    "auto", "noise_matrix", "opinion", "posterior", "row", "class", "group", "model", "layer", "feature", "parameter"
]
Auto = Literal["auto"]

# Finite, because JSON decoders and YAML let NaN and infinities through.
Float = Annotated[float, Field(strict=True, allow_inf_nan=False)]  # a number, not a text or a truth value that reads so
PositiveFloat = Annotated[Float, Field(gt=0, le=1e12)]
NonNegativeFloat = Annotated[Float, Field(ge=0, le=1e12)]
Fraction = Annotated[Float, Field(gt=0, lt=1)]
Seed = Annotated[StrictInt, Field(ge=0, lt=2**31)]
ColumnName = Annotated[str, Field(min_length=1, max_length=200)]
DatasetId = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9:_.-]+$")]
ProblemName = Annotated[str, Field(min_length=3, max_length=200, pattern=r"^[A-Za-z_]\w*:[A-Za-z0-9_.-]+$")]
Tag = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f]+$")]
Tags = Annotated[list[Tag], Field(max_length=20)]
JobName = Annotated[str, Field(min_length=1, max_length=200)]
Priority = Annotated[StrictInt, Field(ge=-1000, le=1000)]
Width = Annotated[StrictInt, Field(ge=1, le=65_536)]
Activation = Literal["relu", "gelu", "tanh"]
Dropout = Annotated[Float, Field(ge=0, lt=1)]


class SpecModel(Described):
    """Base of every part of a spec: unknown fields are refused, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RandomSplit(SpecModel):
    """A seeded random split, stratified by class. The three fractions add up to one."""

    train: Fraction = 0.6
    """Fraction of the rows that the model learns from."""
    validation: Fraction = 0.2
    """Fraction of the rows that tune λ. `hyperparameters.selection` sets some of them aside."""
    test: Fraction = 0.2
    """Fraction of the rows that no step of the job uses. They measure the result."""
    seed: Seed = 0
    """Seed of the split, and of the choice of selection rows. The same seed gives the same rows."""

    @model_validator(mode="after")
    def _sums_to_one(self) -> RandomSplit:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + validation + test must be 1, not {total:g}")
        return self


class ColumnSplit(SpecModel):
    """A split that the data brings along: a column that says ``train``, ``validation`` or ``test`` for each row."""

    column: ColumnName
    """The column that says `train`, `validation` or `test` in each row. It is not a feature."""


class FilesSplit(SpecModel):
    """Rows for validation and test from data sets of their own; those of ``dataset.id`` are all for training."""

    validation: DatasetId
    """Id of the uploaded data set whose rows are all validation rows."""
    test: DatasetId
    """Id of the uploaded data set whose rows are all test rows."""


class LabelNoise(SpecModel):
    """Wrong labels planted in the training rows, to try things out. The solver never learns which rows."""

    rate: Fraction
    """Fraction of the training rows whose label is replaced by another class, each class equally likely."""
    seed: Seed = 0
    """Seed that chooses the rows and their wrong labels."""


class TrustedColumn(SpecModel):
    """A column that says of each row whether its label was checked: true, yes or 1 for a row that is right."""

    column: ColumnName
    """The column: `true`, `yes` or `1` for a row whose label was checked and is right. It is not a feature."""


class DatasetSpec(SpecModel):
    """Which data, which columns of it, and how the rows are divided."""

    id: DatasetId
    """Id of an uploaded data set (`ds_…`) or of a bundled one, such as `sklearn:digits`. `GET /v1/datasets` and `hposvc
    data list` show them.
    """
    label: ColumnName | None = None
    """The column to predict. null: the label of the data set; a data set without one is refused."""
    task: Literal["classification", "regression"] | None = None
    """Whether the label holds classes or numbers. null: text, booleans and at most 50 different whole numbers are
    classes; other numbers are numbers.
    """
    features: Annotated[list[ColumnName], Field(min_length=1, max_length=100_000, fail_fast=True)] | None = None
    """The columns to learn from. null: all columns that have no other role."""
    categorical: Annotated[list[ColumnName], Field(min_length=1, max_length=10_000, fail_fast=True)] | None = None
    """Features of an uploaded data set whose numbers are codes, such as of places or products: each value becomes a
    feature of its own. null: numbers are amounts.
    """
    id_column: ColumnName | None = None
    """The column that names the rows in results; its values must differ. null: the id column of the data set; without
    one, rows are numbered from 0.
    """
    split: RandomSplit | ColumnSplit | FilesSplit = RandomSplit()
    """Which rows are for training, validation and test. By default 60 %, 20 % and 20 % at random."""
    trusted: Literal["split", "unknown", "reviewed"] | TrustedColumn = "split"
    """Which labels are known to be right. `split`: those of the validation and test rows. `unknown`: none; labels are
    judged by models that have not seen them. `reviewed`: those that people confirmed or corrected in the reviews that
    made the data set; a fraction `split.test` of these rows tests, the others validate, and all rows that nobody
    checked are training rows. Reviewed rows were picked because their labels looked wrong. So models learn from them,
    but nothing about the other rows is judged by them. An object with `column`: those that the column marks, which
    should be like the others. Only for `data_reweighting`.
    """
    unlabelled: Literal["refuse", "leave_out"] | None = None
    """What becomes of rows of an uploaded data set that have no label. `refuse`: the job is refused. `leave_out`: it is
    computed without them, and can predict them afterwards. null: what was said at the upload, by default `refuse`.
    """
    label_noise: LabelNoise | None = None
    """Wrong labels to plant in the training rows, to see whether the job finds them; only for classes. null: none."""

    @property
    def ids(self) -> list[str]:
        """All the data sets that are named: the one that is trained on first."""
        split = self.split
        return [self.id, split.validation, split.test] if isinstance(split, FilesSplit) else [self.id]

    @property
    def uploads(self) -> list[str]:
        """Those of them that somebody uploaded."""
        return [name for name in self.ids if name.startswith("ds_")]


class LinearModel(SpecModel):
    """One affine map: softmax regression for classes, linear regression for numbers."""

    type: Literal["linear"] = "linear"
    """One layer without hidden units."""


class MLPModel(SpecModel):
    """Fully connected layers with one activation between them."""

    type: Literal["mlp"]
    """A multilayer perceptron."""
    hidden: Annotated[list[Width], Field(min_length=1, max_length=16)] = Field([256])
    """Units of each hidden layer, from the input to the output."""
    activation: Activation = "relu"
    """Function between two layers."""
    dropout: Dropout = 0.0
    """Probability that a hidden unit is left out of a lower step; scores use all units. 0: no dropout."""


class CNNModel(SpecModel):
    """Convolutions on images, each followed by the activation and by averages over 2 × 2 pixels, then an MLP."""

    type: Literal["cnn"]
    """A convolutional network. The data set must hold images."""
    channels: Annotated[list[Width], Field(min_length=1, max_length=16)] = Field([16, 32])
    """Output channels of each convolution. Each convolution halves height and width, so an image of 8 × 8 pixels allows
    three.
    """
    kernel: Literal[3, 5, 7] = 3
    """Height and width of a convolution's kernel, in pixels. Zeros around the image keep its size."""
    hidden: Annotated[list[Width], Field(max_length=16)] = Field([64])
    """Units of each fully connected hidden layer after the convolutions; an empty list for none."""
    activation: Activation = "relu"
    """Function after each convolution and between fully connected layers."""
    dropout: Dropout = 0.0
    """Probability that an input of a fully connected layer is left out of a lower step; scores use all inputs. 0: no
    dropout.
    """


ModelSpec = Annotated[LinearModel | MLPModel | CNNModel, Field(discriminator="type")]

ClassName = Annotated[str, Field(min_length=1, max_length=200, coerce_numbers_to_str=True)]  # YAML reads 3 as a number


class CrossEntropyLoss(SpecModel):
    """Negative log-likelihood of the class, times the weight of the class. The default for classes."""

    type: Literal["cross_entropy"]
    """−s_c log p_c for a row of class c with predicted probability p_c and class weight s_c."""
    class_weights: Literal["balanced"] | Annotated[dict[ClassName, PositiveFloat], Field(min_length=1)] | None = None
    """The weight s_c of each class, by name; classes that are not named have weight 1. Only ratios matter: weights are
    scaled to a mean of 1 over the training rows. `balanced`: n / (k · n_c) for n_c of n training rows in class c, of k
    classes. null: all 1.
    """


class SquaredErrorLoss(SpecModel):
    """The squared error. The default for numbers."""

    type: Literal["squared_error"]
    """(prediction − target)². The target is standardized by the training rows."""


class HuberLoss(SpecModel):
    """Squared error up to an error of ``delta``, a line beyond: outliers pull less."""

    type: Literal["huber"]
    """r² for an error r of at most `delta`, and 2δ|r| − δ² beyond. The target is standardized by the training rows."""
    delta: PositiveFloat = 1.0
    """δ: the error at which the loss turns into a line, in standard deviations of the training rows' targets."""


LossSpec = Annotated[CrossEntropyLoss | SquaredErrorLoss | HuberLoss, Field(discriminator="type")]


class HyperparametersSpec(SpecModel):
    """What is tuned: what λ stands for, where it starts, and what keeps it from fitting the validation rows."""

    per: Per | None = None
    """What one entry of λ stands for.

    For data_reweighting, three kinds start at an analysis of the labels: `noise_matrix` (how often rows of one class
    were given the label of another), `opinion` (a weight for each label and each tenth of the probability that it is
    right) and `posterior` (a weight for each row, which starts at that probability). `auto` tries these on held-out
    trusted rows and takes the best. `row`, `class` and `group` give each of them a weight that starts at ½, without an
    analysis.

    For regularization_tuning: `model`, `layer`, `feature` or `parameter`.

    null: `auto` for data_reweighting; for regularization_tuning `feature`, and `layer` if the model is a cnn. With
    null, a linear model is also regularized by few hyperparameters (ridge, lasso, adaptive lasso), and the average of
    these models is handed over.
    """
    group_column: ColumnName | Annotated[list[ColumnName], Field(min_length=1, max_length=16)] | None = None
    """The column whose values are the groups, or several columns whose combinations are: 2 to 10,000 groups. Required
    for `per: group`, refused otherwise. The columns are not features unless `dataset.features` names them.
    """
    penalty: Literal["l2", "l1", "elastic_net"] = "l2"
    """The penalty ρ(w) of each parameter, for regularization_tuning. `l2`: ½ w². `l1`: √(w² + ε²) − ε with ε = 0.01.
    `elastic_net`: both, each with strengths of its own.
    """
    initial: Float | Auto = "auto"
    """The value at which every λ starts, -50 to 50. A weight is σ(λ), a strength is e^λ. `auto`: at the analysis of the
    labels, or 0 (a weight of ½) where there is none; for regularization_tuning the logarithm of one strength for all
    parameters, measured on held-out rows before the first iteration.
    """
    shrinkage: NonNegativeFloat | Auto = "auto"
    """ρ of the term ρ‖λ − λ₀‖² of the upper loss, which keeps λ near its start λ₀. `auto`: 0.001 where λ starts at the
    labels, 0 for other weights, 0.01 for strengths.
    """
    selection: Annotated[Float, Field(ge=0, lt=1)] | Auto = "auto"
    """Fraction of the validation rows that are selection rows: no hypergradient sees them, and they choose the best
    iteration and the candidate. `auto`: 0.3 if that gives at least 30 selection rows, otherwise 0. With 0, the upper
    loss chooses the best iteration, and the tuned candidate is the result.
    """

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
    """How a learning rate changes from the first iteration to the last."""

    kind: Literal["constant", "cosine", "exponential"] = "constant"
    """`constant`: the full rate throughout. `cosine`: down to `final` along half a cosine. `exponential`: down to
    `final` by the same factor in each iteration.
    """
    final: Annotated[Float, Field(gt=0, le=1)] = 0.01
    """Rate at the last iteration (`stop.iterations`), as a fraction of the full rate. Not used with `constant`."""


class LowerSpec(SpecModel):
    """How the model is trained between two upper steps: gradient descent with momentum."""

    learning_rate: PositiveFloat | Auto = "auto"
    """Step size for the parameters w. `auto`: 1/L, or 1/(2L) with batches, where L is the largest curvature of the
    lower loss. L is measured at the start and again every 5 iterations. With batches or dropout, the largest L that was
    measured is forgotten by 2 % each time, because another batch may curve more.
    """
    momentum: Annotated[Float, Field(ge=0, lt=1)] = 0.0
    """Share of the previous step that is added to the next one. 0: plain gradient descent."""
    steps: Annotated[StrictInt, Field(ge=1, le=10_000)] = 1
    """Lower steps in one iteration. `solver.estimator: one_step` needs 1."""
    batch_size: Annotated[StrictInt, Field(ge=2, le=10_000_000)] | None = None
    """Training rows in one lower step. Each epoch is a new random order of the rows, cut into whole batches. null: all
    training rows.
    """
    weight_decay: NonNegativeFloat | Auto = "auto"
    """c of the term (c/2)‖W‖² of the lower loss, over weights without biases. `auto`: 1/n with n training rows for
    data_reweighting, 0 for regularization_tuning.
    """
    schedule: ScheduleSpec = ScheduleSpec()
    """How the learning rate changes over the iterations. By default it does not."""


class UpperSpec(SpecModel):
    """How λ moves along the hypergradient."""

    optimizer: Literal["adam", "momentum", "sgd"] = "adam"
    """Rule for the upper step. `adam`: Adam. `momentum`: gradient descent with momentum 0.9. `sgd`: gradient descent.
    """
    learning_rate: PositiveFloat | Auto = "auto"
    """Step size for λ, which is on a logarithmic scale: a step of 0.1 changes a strength by 10 %. `auto`: 0.1 for adam;
    for momentum and sgd 0.1 divided by the largest entry of the first hypergradient, so that the first step moves no
    entry of λ by more than 0.1.
    """
    bounds: tuple[Float, Float] | None = None
    """Lowest and highest value of every λ, each between -1e6 and 1e6; after each step, λ is moved back between them.
    null: no bounds.
    """
    clip_norm: PositiveFloat | None = None
    """Largest norm of the hypergradient in an upper step; a longer one is scaled down to it. The recorded norm is the
    one before. null: never scaled.
    """
    schedule: ScheduleSpec = ScheduleSpec()
    """How the learning rate changes over the iterations. By default it does not."""

    @field_validator("bounds")
    @classmethod
    def _ordered(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not -1e6 <= value[0] < value[1] <= 1e6:
            raise ValueError("must be two finite numbers, the lower one first")
        return value


class ImplicitSpec(SpecModel):
    """How the implicit estimator inverts the lower Hessian."""

    method: Literal["neumann", "cg"] = "neumann"
    """How the lower Hessian is inverted. `neumann`: a Neumann series with the lower learning rate. `cg`: conjugate
    gradient, only for `model.type: linear`.
    """
    terms: Annotated[StrictInt, Field(ge=1, le=10_000)] = 10
    """Terms of the series, or steps of conjugate gradient. Each costs one product with the lower Hessian; more are more
    exact.
    """


class DynamicInitializationSpec(SpecModel):
    """The start of the lower level is learned too, by gradient descent."""

    learning_rate: PositiveFloat
    """Step size for the start of the lower level."""


class GdaSpec(SpecModel):
    """Gradient descent aggregation: lower step k descends α_k f + (1 − α_k) F with α_k = alpha_init · alpha_decay^k."""

    alpha_init: Fraction = 0.5
    """α of the first lower step of an iteration: the share of the lower loss."""
    alpha_decay: Annotated[Float, Field(gt=0, le=1)] = 1.0
    """Factor of α from one lower step to the next. 1: α stays the same."""


class SolverSpec(SpecModel):
    """How the hypergradient is computed, and the two optimizers around it."""

    estimator: Estimator = "one_step"
    """What the hypergradient differentiates. `one_step`: the single lower step of an iteration. `unrolled`: the last
    `truncate` of `lower.steps`. `implicit`: the solution of the lower level, by the implicit function theorem.
    """
    truncate: Annotated[StrictInt, Field(ge=1, le=10_000)] | None = None
    """How many of the last lower steps `unrolled` differentiates, at most `lower.steps`. null: all of them."""
    implicit: ImplicitSpec | None = None
    """Settings of `estimator: implicit`. null: 10 terms of a Neumann series."""
    oracle: Literal["auto", "finite_difference", "exact"] = "auto"
    """How products with second derivatives are computed. `finite_difference`: from the difference of two gradients.
    `exact`: by double backward. `auto`: exact for linear models and for relu, whose kinks finite differences cross. For
    other networks finite differences, which are held against an exact product at iterations 0 and 20 and then every
    100: if they are off by more than 0.1 % at the best radius, exact from there on. With a `radius`, finite
    differences. `oracle` of the result says which was used last.
    """
    radius: PositiveFloat | Auto = "auto"
    """Norm of the move of the parameters in a finite difference; not used by `oracle: exact`. `auto`: ½ ε^(1/3) (1 +
    ‖w‖) with the machine epsilon ε of `dtype`, times the power of two that comes closest to an exact product, sought
    at iterations 0 and 20 and then every 100.
    """
    lower: LowerSpec = LowerSpec()
    """How the model is trained in each iteration."""
    upper: UpperSpec = UpperSpec()
    """How λ moves in each iteration."""
    dynamic_initialization: DynamicInitializationSpec | None = None
    """Learn the start of the lower level too: every iteration begins from it. Not with `estimator: implicit`. null: an
    iteration continues with the parameters of the one before.
    """
    gda: GdaSpec | None = None
    """Mix the upper loss into the lower steps (gradient descent aggregation). Not with `estimator: implicit`. null:
    lower steps descend the lower loss alone.
    """
    certify_every: Annotated[StrictInt, Field(ge=0, le=1_000_000)] | Auto = "auto"
    """Measure the relative error of every n-th hypergradient; it is recorded as `fd_relative_error`. `auto`: about ten
    times in a run, every 20 to 1000 iterations. 0: never.
    """
    certify_against: Literal["exact", "wider_radius"] = "exact"
    """What the whole hypergradient is compared with. `exact`: the exact oracle. `wider_radius`: the same oracle with
    twice the radius. Either is taken twice, from parameters that are two roundings off: the error counts rounding, too.
    """
    dtype: Literal["float32", "float64"] = "float32"
    """Precision of all computations. `float64` is computed on the CPU, by a worker with a GPU, too."""
    seed: Seed = 0
    """Seed of the initial model, the order of batches and dropout. On the CPU, the same spec and seed give the same
    numbers.
    """

    @model_validator(mode="after")
    def _covered_by_a_formula(self) -> SolverSpec:
        """Refuse what no formula covers, rather than compute something that is not a hypergradient."""
        reason = uncovered(
            self.estimator,
            steps=self.lower.steps,
            truncate=self.truncate,
            dynamic_initialization=self.dynamic_initialization is not None,
            aggregation=self.gda is not None,
        )
        if reason is not None:
            raise ValueError(reason)
        if self.truncate is not None and self.estimator != "unrolled":
            raise ValueError(f"truncate: only the unrolled estimator is truncated, not {self.estimator}; leave it out")
        if self.implicit is not None and self.estimator != "implicit":
            raise ValueError(f"implicit: belongs to estimator: implicit, not {self.estimator}; leave it out")
        return self


class StopSpec(SpecModel):
    """When the iterations end: at the first rule that holds. ``stopped_by`` of the result names it.

    Two have no setting: ``zero_hypergradient`` ends a run whose hypergradient was exactly zero ten times in a row, and
    ``request`` one that somebody asked to finish.
    """

    iterations: Annotated[StrictInt, Field(ge=1, le=10_000_000)] = 500
    """The most iterations. Schedules of learning rates reach their end here."""
    max_seconds: PositiveFloat | None = None
    """Seconds of iterations, added up over pauses and retries from a checkpoint; loading and refits do not count. The
    job then refits and gives its result. null: no limit. `time_limit` is the limit that fails the job.
    """
    patience: Annotated[StrictInt, Field(ge=1, le=10_000_000)] | None = None
    """Stop after this many iterations in a row without progress of the upper loss, the one that λ reduces: it must fall
    by more than `min_delta` below its value at the last progress. The best iteration is chosen by another loss, the
    selection loss, where there are selection rows. null: never.
    """
    min_delta: NonNegativeFloat = 0.0
    """How much lower the upper loss must be to count as progress for `patience`. 0: any decrease counts."""
    hypergradient_tolerance: PositiveFloat | None = None
    """Stop when the norm of the hypergradient, before `clip_norm`, is at most this. null: never."""


class ResourcesSpec(SpecModel):
    """What the job needs of a worker."""

    device: Device = "auto"
    """`cpu` and `cuda` wait for a worker that offers it. `auto`: the device of whichever worker takes the job."""
    memory: Memory = "standard"
    """`large` waits for a worker with 16 GiB of memory or more, `huge` for 64 GiB; with `device: cuda`, of the GPU.
    `standard`: any worker.
    """

    @property
    def needs(self) -> str:
        """The name of what the job needs of a worker."""
        return need(self.device, self.memory)


class JobSpec(SpecModel):
    """A bilevel job: tune the hyperparameters λ, train a model below."""

    kind: Kind
    """What is tuned. `data_reweighting`: the weights of training rows, classes or groups. `regularization_tuning`: the
    strengths of a penalty on the parameters. `custom`: the λ of a problem that is installed on the workers.
    """
    name: JobName | None = None
    """A name for people; several jobs may have the same. null: none."""
    tags: Tags = Field([])
    """Short texts to find the job again by. By default none."""
    dataset: DatasetSpec | None = None
    """Which data, which columns of it, and how the rows are divided. Required for all kinds but `custom`, which has no
    data set.
    """
    problem: ProblemName | None = None
    """The name of an installed problem, such as `my_package:few_shot`; `GET /v1/problems` and `hposvc problems` list
    them. Required for `kind: custom`, refused otherwise.
    """
    parameters: dict[str, Any] = Field({})
    """The parameters of the problem, which says what it takes: `parameters` in `GET /v1/problems` is their JSON Schema.
    """
    model: ModelSpec = LinearModel()
    """The model that the lower level trains. By default a linear one."""
    loss: LossSpec | None = None
    """The loss of a row, at both levels. null: `cross_entropy` for classes, `squared_error` for numbers. Scores do not
    depend on it: accuracy, and R² for numbers.
    """
    hyperparameters: HyperparametersSpec = HyperparametersSpec()
    """What λ is, where it starts, and what keeps it from fitting the validation rows."""
    solver: SolverSpec = SolverSpec()
    """How the hypergradient is computed, and how the model and λ move."""
    stop: StopSpec = StopSpec()
    """When the iterations end. The result is computed after that."""
    checkpoint_every: Annotated[StrictInt, Field(ge=1, le=10_000_000)] | Auto = "auto"
    """Iterations between two checkpoints. If a worker is lost, what was computed since the last one is computed again.
    `auto`: every two seconds, and less often where writing would take more than 2 % of the time.
    """
    resources: ResourcesSpec = ResourcesSpec()
    """What the job needs of a worker. By default any worker will do."""
    priority: Priority = 0
    """Among queued jobs of a tenant, those of higher priority start first; of equal ones, those submitted first.
    Running jobs are not interrupted.
    """
    max_attempts: Annotated[StrictInt, Field(ge=1, le=20)] = 3
    """The job fails when this many attempts were lost: their worker stopped responding, or the process crashed. An
    error of the job itself, such as divergence, fails it at once. A retry counts from zero.
    """
    time_limit: PositiveFloat | None = None
    """Seconds that one attempt may take on a worker, refits included. Then the job fails as `timed_out`, and keeps its
    checkpoint: a retry goes on from there for as long again. null: no limit. `stop.max_seconds` ends the iterations
    with a result.
    """

    @model_validator(mode="after")
    def _is_about_data_or_a_problem(self) -> JobSpec:
        if self.kind != "custom":
            if self.dataset is None:
                raise ValueError(f"dataset: is required for kind: {self.kind}; name a data set, {{id: …}}")
            if self.problem is not None or self.parameters:
                field = "parameters" if self.problem is None else "problem"
                raise ValueError(f"{field}: belongs to kind: custom; leave it out")
            return self
        if self.problem is None:
            raise ValueError("problem: is required for kind: custom; name an installed problem, package:name")
        for field in sorted(OF_DATA - {"resources"}):
            if getattr(self, field) not in (None, type(self).model_fields[field].default):
                raise ValueError(f"{field}: an own problem brings its own; leave it out, and see its parameters")
        if self.solver.lower.weight_decay != "auto":
            raise ValueError("solver.lower.weight_decay: the loss of an own problem has it or not; leave it out")
        if self.resources != ResourcesSpec():
            raise ValueError(
                "resources: a job of kind: custom runs where its problem is installed, on any machine; leave it out"
            )
        return self

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
    def _trusted_rows_fit(self) -> JobSpec:
        if self.dataset is None:
            return self
        trusted, per = self.dataset.trusted, self.per
        if trusted == "split":
            return self
        if self.kind != "data_reweighting":
            raise ValueError("dataset.trusted: belongs to kind: data_reweighting; leave it out")
        if trusted == "unknown" and per not in ("auto", "noise_matrix"):
            raise ValueError(
                f"hyperparameters.per: {per!r} is tuned against rows that are known to be right, and dataset.trusted "
                "is unknown; use auto or noise_matrix, or say which rows are right"
            )
        if trusted != "unknown" and not isinstance(self.dataset.split, RandomSplit):
            raise ValueError(
                "dataset.trusted: a review, or a column of checked rows, needs a random split; leave out split.column, "
                "or let its validation rows be the checked ones"
            )
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
    def _gpus_compute_in_float32(self) -> JobSpec:
        if self.resources.device == "cuda" and self.solver.dtype == "float64":
            raise ValueError(
                "solver.dtype: float64 is computed on the CPU only; use float32, or resources.device: auto or cpu"
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
    def data(self) -> DatasetSpec:
        """The data set. Raises ValueError: an own problem has none."""
        if self.dataset is None:
            raise ValueError(f"a job of kind: {self.kind} has no data set")
        return self.dataset

    @property
    def split(self) -> RandomSplit | ColumnSplit | FilesSplit | None:
        """How its rows are divided; None for an own problem."""
        return None if self.dataset is None else self.dataset.split

    @property
    def subject(self) -> str:
        """What the job is about: the id of its data set, or the name of its problem."""
        return self.data.id if self.problem is None else self.problem

    def said(self, **options: Any) -> dict[str, Any]:
        """The spec as JSON, without what its kind does not have. ``options`` are those of ``model_dump``."""
        foreign = {"problem", "parameters"} if self.problem is None else OF_DATA
        return self.model_dump(mode="json", exclude=foreign, **options)

    @property
    def uploads(self) -> list[str]:
        """The uploaded data sets that it names."""
        return [] if self.dataset is None else self.dataset.uploads

    @property
    def needs(self) -> str:
        """The name of what the job needs of a worker: see ``hposvc.schema.capabilities``."""
        return self.resources.needs if self.problem is None else self.problem

    @property
    def per(self) -> str:
        """The granularity of λ, with the default of the kind and the model filled in; empty for an own problem."""
        if self.kind == "custom":
            return ""
        if self.kind == "regularization_tuning" and self.model.type == "cnn":
            return self.hyperparameters.per or "layer"
        return self.hyperparameters.per or PER[self.kind][0]


# The parts of a spec that a job of kind ``custom`` does not have.
OF_DATA = {"dataset", "model", "loss", "hyperparameters", "resources"}

# The kinds of λ that start at an analysis of the labels.
FROM_LABELS = ("auto", "noise_matrix", "opinion", "posterior")

# The granularities of λ that each kind knows; the first is its default.
PER: dict[Kind, tuple[str, ...]] = {
    "data_reweighting": ("auto", "noise_matrix", "opinion", "posterior", "row", "class", "group"),
    "regularization_tuning": ("feature", "model", "layer", "parameter"),
    "custom": (),
}
