"""hposvc tunes thousands of hyperparameters at once by gradient: bilevel jobs, posted, solved on workers, watched."""

__version__ = "0.1.0"
