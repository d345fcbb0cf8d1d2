"""The page for people at `/docs`: what each model takes and gives, and a request to begin with. Whatever a model says is escaped."""

from html import escape
from string import Template
from typing import Any

from mlops.serving.models import Served
from mlops.serving.signatures import Column

_PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>$title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #ddd }
pre { background: #f4f4f4; padding: .8rem; overflow: auto; max-height: 24rem } code { font-family: ui-monospace, monospace }
</style>
<h1>$title</h1>
<p>Open Inference Protocol V2, KServe V1 and MLflow's scoring protocol. The same for programs: <a href="/openapi.json">openapi.json</a>.</p>
$models
</html>
""")
_MODEL = Template("""<h2 id="$name">$name</h2>
<p>Versions: $versions; the latest answers where a path names none.</p>
<h3>Takes</h3>
$inputs
<h3>Gives</h3>
$outputs
<h3>Ask</h3>
<pre><code>curl -H 'Content-Type: application/json' http://HOST:PORT/v2/models/$name/infer -d '$example'</code></pre>
""")


def page(models: dict[str, list[Served]]) -> str:
    """Return the page about the loaded versions by the names of their models."""
    title = escape(", ".join(models) or "No model is loaded")
    return _PAGE.substitute(title=title, models="\n".join(_model(name, versions) for name, versions in models.items()))


def _model(name: str, versions: list[Served]) -> str:
    signature = versions[-1].manifest.signature
    inputs = [(each.name, each.datatype, _allowed(each), "yes" if each.nullable else "no") for each in signature.inputs]
    outputs = [
        (each.name, each.datatype, list(each.shape), ", ".join(map(str, each.classes or ()))) for each in signature.outputs
    ]
    return _MODEL.substitute(
        name=escape(name),
        versions=escape(", ".join(each.version for each in versions)),
        inputs=_table(("column", "datatype", "values", "may be missing"), inputs),
        outputs=_table(("output", "datatype", "shape", "classes"), outputs),
        example=escape(versions[-1].example.decode().strip().replace("'", "'\\''"), quote=False),  # as a shell quotes it
    )


def _allowed(column: Column) -> str:
    if column.values is not None:
        return ", ".join(map(str, column.values))
    bounds = [("at least", column.min), ("at most", column.max)]
    return ", ".join(f"{words} {bound:g}" for words, bound in bounds if bound is not None)


def _table(heads: tuple[str, ...], rows: list[Any]) -> str:
    lines = ["".join(f"<th>{escape(head)}</th>" for head in heads)]
    lines += ["".join(f"<td>{escape(str(cell))}</td>" for cell in row) for row in rows]
    return "<table>" + "\n".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
