"""The notebook examples/tutorial.ipynb: run without Jupyter, and shown as a page of the site.

python docs/run_notebook.py       # runs it and writes its outputs into it
"""

import base64
import contextlib
import io
import json
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).parents[1] / "examples" / "tutorial.ipynb"


def executed(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook with the printed text and the figures of each cell; a cell's last expression is not displayed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names: dict[str, Any] = {}
    cells, count = [], 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            count += 1
            with contextlib.redirect_stdout(io.StringIO()) as text:
                exec(compile("".join(cell["source"]), f"cell {count}", "exec"), names)
            outputs: list[dict[str, Any]] = []
            if text.getvalue():
                printed = text.getvalue().splitlines(keepends=True)
                outputs.append({"name": "stdout", "output_type": "stream", "text": printed})
            for number in pyplot.get_fignums():
                picture = io.BytesIO()
                pyplot.figure(number).savefig(picture, dpi=80, metadata={"Software": None})
                data = {"image/png": base64.b64encode(picture.getvalue()).decode()}
                outputs.append({"data": data, "metadata": {}, "output_type": "display_data"})
            pyplot.close("all")
            cell = cell | {"execution_count": count, "outputs": outputs}
        cells.append(cell)
    return notebook | {"cells": cells}


def page(notebook: dict[str, Any], folder: Path) -> str:
    """The notebook in Markdown; its figures are written into `folder`."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            if output["output_type"] == "stream":
                parts.append(f"```text\n{''.join(output['text'])}```")
            else:
                name = f"tutorial-{cell['id']}.png"
                (folder / name).write_bytes(base64.b64decode(output["data"]["image/png"]))
                parts.append(f"![{cell['id']}]({name})")
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Run the notebook and keep its outputs."""
    notebook = json.loads(NOTEBOOK.read_text())
    NOTEBOOK.write_text(json.dumps(executed(notebook), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
