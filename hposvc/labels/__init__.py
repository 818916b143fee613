"""Which labels are wrong: a probability for every row, how many there are, and models that allow for them.

Knows arrays only. ``classes`` is for labels that are classes, ``numbers`` for those that are numbers.
"""
