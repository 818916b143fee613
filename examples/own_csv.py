"""A CSV of one's own: send it, find the rows whose labels look wrong, predict new rows.

    python examples/own_csv.py http://127.0.0.1:8080

The file is made here, so that the example needs nothing else: customers, some of whom leave, with holes in the data and
5 % of the labels wrong.
"""

from __future__ import annotations

import csv
import os
import random
import sys
from pathlib import Path

from hposvc.client import Client

ITERATIONS = int(os.environ.get("ITERATIONS", "300"))


def write_customers(path: Path, rows: int = 1000, seed: int = 0) -> None:
    """Customers: ``customer, age, city, since, visits, churned``."""
    chance = random.Random(seed)  # noqa: S311 - an example
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["customer", "age", "city", "since", "visits", "churned"])
        for i in range(rows):
            age, city, visits = chance.randint(18, 80), chance.choice(["Lima", "Oslo", "Rome"]), chance.randint(0, 30)
            leaves = visits < 12 + 6 * (city == "Oslo") - (age - 50) / 10
            if chance.random() < 0.05:
                leaves = not leaves
            age_or_hole = "" if chance.random() < 0.1 else age
            table.writerow(
                [f"c{i}", age_or_hole, city, f"20{chance.randint(10, 25)}-06-01", visits, "yes" if leaves else "no"]
            )


def main(url: str, folder: Path) -> None:
    """Everything, on the service at ``url``."""
    path = folder / "customers.csv"
    write_customers(path)
    with Client(url) as client:
        dataset = client.add_dataset(path, label="churned", id_column="customer")
        for column in dataset.columns or []:
            print(f"{column.name:10} {column.dtype:8} {column.role:8} {column.treatment}")
        job = client.submit(
            {"kind": "data_reweighting", "dataset": {"id": dataset.id}, "stop": {"iterations": ITERATIONS}}
        )
        result = client.wait(job.id, interval=0.2).result
        assert result is not None, client.job(job.id).error
        print(result["sentence"])
        suspicious = client.rows(job.id, limit=5)
        print(suspicious.select(["customer", "weight", "label", "predicted", "age", "city"]).to_pylist())
        new = folder / "new.csv"
        write_customers(new, rows=200, seed=1)
        found = client.predict(job.id, new)
        print(f"accuracy {found.score:.3f} on 200 customers that came later")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else Path())
