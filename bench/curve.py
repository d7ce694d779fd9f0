"""Draws what a request costs against the number of documents, for all engines.

`python -m bench.curve --json FILE --out docs/images/engine-curve.svg` reads what `bench.engine` wrote; if there is no
such file, it measures first, at sizes that make a curve, and writes it.
"""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

CURVE_SIZES = "1000,3000,10000,30000,100000,300000,1000000"
WIDTH_INCHES, HEIGHT_INCHES = 9.5, 5.0


@dataclass(frozen=True, kw_only=True)
class Style:
    """How an engine is drawn: engines asked one by one are solid, those asked in one call are dashed."""

    color: str
    marker: str


STYLES: Mapping[str, Style] = {
    "ours": Style(color="#c8102e", marker="o"),
    "tantivy": Style(color="#1b6ca8", marker="s"),
    "bm25s numba": Style(color="#2e8b57", marker="^"),
    "sparse_dot_topn": Style(color="#8a5a00", marker="D"),
    "linear_kernel and a sort": Style(color="#5c5c5c", marker="v"),
}
"""Told apart by shape too, for those who do not see the colours."""

BATCH = ", batch"
"""Ends the name of an engine that is asked in one call."""


def main(
    json_file: Annotated[Path, typer.Option("--json", help="What `bench.engine` wrote; made if there is none.")],
    out: Annotated[Path, typer.Option(help="The picture: .svg, .png or .pdf.")],
    sizes: Annotated[str, typer.Option(help="Numbers of documents, if it has to be measured.")] = CURVE_SIZES,
) -> None:
    """Draw what a request costs against the number of documents, for all engines."""
    say = Console(stderr=True, highlight=False)
    if not json_file.exists():
        say.print(f"There is no {json_file}: measuring.")
        measured = subprocess.run(
            [sys.executable, "-m", "bench.engine", "--sizes", sizes, "--json", str(json_file)], check=False
        )
        if measured.returncode:
            raise typer.Exit(measured.returncode)
    found = curves(json.loads(json_file.read_text()))
    draw(found, out)
    say.print(f"{out}: {len(found)} engines.")


def curves(result: Mapping[str, Any]) -> dict[str, list[tuple[int, float]]]:
    """Return for each engine its points: documents, and mean microseconds a request; by documents."""
    points: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for size in sorted(result["sizes"], key=lambda each: int(each["documents"])):
        for row in size["rows"]:
            points[row["name"]].append((size["documents"], row["latency"]["mean"]))
    return dict(points)


def draw(found: Mapping[str, list[tuple[int, float]]], out: Path) -> None:
    """Draw curves on two logarithmic axes, the same file from the same numbers."""
    import matplotlib as mpl

    mpl.use("Agg")  # no window
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FuncFormatter, NullLocator

    # Identifiers in the file come from the content, and text stays text: it can be searched, and a change can be read.
    with mpl.rc_context({"svg.hashsalt": "maillage", "svg.fonttype": "none", "font.size": 10}):
        figure, axes = plt.subplots(figsize=(WIDTH_INCHES, HEIGHT_INCHES), layout="constrained")
        for name, points in sorted(found.items(), key=lambda item: -item[1][-1][1]):
            style = STYLES[name.removesuffix(BATCH)]
            axes.plot(
                *zip(*points, strict=True),
                color=style.color,
                marker=style.marker,
                linestyle="--" if name.endswith(BATCH) else "-",
                linewidth=2.5 if name.startswith("ours") else 1.5,
                label=name,
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("documents")
        axes.set_ylabel("mean time of a request")
        axes.set_title("Ten best documents for a request of about 42 terms, one thread", loc="left")
        axes.set_xticks(sorted({documents for points in found.values() for documents, _ in points}))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
        axes.grid(which="major", color="#d8d8d8")
        axes.grid(which="minor", color="#f0f0f0")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside right upper", frameon=False)  # from slow to fast, as the curves end
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None)
        plt.close(figure)


def duration(microseconds: float) -> str:
    """Return a duration in the unit that people say it in."""
    if microseconds < 1_000:
        return f"{microseconds:g} µs"
    if microseconds < 1_000_000:
        return f"{microseconds / 1_000:g} ms"
    return f"{microseconds / 1_000_000:g} s"


if __name__ == "__main__":
    typer.run(main)
