"""The most that a posted document may hold. Reading and checking it takes time in proportion to its size."""

MAX_DEPTH = 32
MAX_VALUES = 120_000  # values and keys together; a job may name 100,000 columns
MAX_MEMBERS = 2_000  # of one object; a label has at most 1,000 classes
MAX_KEY = 500  # characters; names of columns and classes have at most 200
MAX_BITS = 1100  # of a whole number; the largest that a float can hold has 1024

NESTED = f"The body is nested deeper than {MAX_DEPTH} levels."
TOO_MANY = f"The body holds more than {MAX_VALUES:,} values."
TOO_WIDE = f"The body has an object with more than {MAX_MEMBERS:,} fields."
LONG_KEY = f"The body has a key of more than {MAX_KEY} characters."
