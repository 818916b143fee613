"""How good is what a job returns, beside what people would do instead? See ``__main__``."""
