# %% [markdown]
# # One strength per feature, as a notebook
# The cells open in any editor that knows `# %%`, and the file runs as a script:
#
#     pip install plotly
#     python examples/notebook.py http://127.0.0.1:8080

# %%
import os
import sys
from pathlib import Path

from plotly import graph_objects as go

from hposvc.client import Client

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path()
iterations = int(os.environ.get("ITERATIONS", "300"))
client = Client(url)

# %% Submit, and wait for the answer
job = client.submit(
    {
        "kind": "regularization_tuning",
        "name": "breast cancer, in a notebook",
        "dataset": {"id": "sklearn:breast_cancer"},
        "stop": {"iterations": iterations},
    }
)
job = client.wait(job.id, interval=0.2)
assert job.result is not None, job.error
print(job.result["sentence"])

# %% What happened: the loss on validation rows, and the norm of its hypergradient
columns = client.iterations(job.id, limit=100_000)
path = go.Figure()
path.add_scatter(x=columns.iteration, y=columns.upper_loss, name="upper loss")
path.add_scatter(x=columns.iteration, y=columns.hypergradient_norm, name="hypergradient norm", yaxis="y2")
path.update_layout(
    xaxis_title="iteration",
    yaxis_title="upper loss",
    yaxis2={"title": "hypergradient norm", "type": "log", "overlaying": "y", "side": "right"},
)
path.write_html(folder / "path.html", include_plotlyjs=True)

# %% What was found: which measurements are held back
strengths = sorted(job.result["strengths"], key=lambda row: row["strength"])
bars = go.Figure(
    go.Bar(x=[row["strength"] for row in strengths], y=[row["name"] for row in strengths], orientation="h")
)
bars.update_layout(xaxis_type="log", xaxis_title="strength")
bars.write_html(folder / "strengths.html", include_plotlyjs=True)

# %% The rows that the model is least sure of
unsure = client.rows(job.id, part="test").sort_by("label_probability").slice(0, 5)
print(unsure.select(["row_id", "label", "predicted", "label_probability"]).to_pylist())
client.close()
