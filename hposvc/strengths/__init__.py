"""How strongly to regularize linear models: few hyperparameters, judged on held-out rows, and averaged."""
