"""Report a finished run: what taggers predict before and after, which files were written, what it took."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tagbox.cli.output import Output
from tagbox.parallel.storage import Place

STOPPED = {
    "interrupted": "stopped by Ctrl-C; the best result so far is written",
    "request": "stopped on request; the best result so far is written",
    "patience": "stopped because the loss no longer improved",
    "non-finite": "the loss or its gradient is no longer a finite number; the last finite result is written. "
    "Try a smaller --lr",
}
"""Why a run ended before its last step, in words."""


def report_run(output: Output, manifest: Mapping[str, Any], written: Sequence[Place]) -> None:
    """Print what the manifest of a run says, and the files that were `written`."""
    for run in manifest["runs"]:
        _report_early_end(output, run)
    for query in silent_sources(manifest):
        output.print_note(
            f"{query} is not heard here: its file is silent (--unheard kept gives what is most like it)"
        )
    for query, tags_by_tagger in manifest["tags"].items():
        for tagger, tags in tags_by_tagger.items():
            output.print_result(_describe_change(manifest["probabilities"], query, tagger, tags))
    for path in written:
        output.print_result(path)
    if "noncommercial" in manifest.get("generator", {}).get("licence", "").lower():
        output.print_note("made with weights under a noncommercial licence, which covers this result too")
    for model in (*manifest["taggers"], *filter(None, [manifest.get("generator")])):
        output.print_detail(
            f"loaded {model['name']}, weights {model['weights'][:12]}, on {manifest['device']}"
        )
    took = ", ".join(f"{name} {seconds:.1f}" for name, seconds in manifest["seconds"].items())
    output.print_detail(f"seconds: {took}; peak memory: {peak_memory() / 1e9:.1f} GB")
    sys.stdout.flush()


def silent_sources(manifest: Mapping[str, Any]) -> list[str]:
    """Return the sources that were not heard anywhere in a recording that is not silent itself."""
    parts = manifest.get("presence", {}).get("parts", {})
    if manifest["settings"].get("unheard") != "silent" or not any(map(any, parts.values())):
        return []
    said = {each["source"] for each in manifest.get("corrections", ()) if each["kind"] == "absent"}
    return [query for query in manifest["tags"] if query not in said and not any(parts.get(query, (1,)))]


def peak_memory() -> float:
    """Return the most bytes that this process has held; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) if sys.platform == "darwin" else peak * 1024.0


def _describe_change(
    probabilities: Mapping[str, Mapping[str, Mapping[str, float]]],
    query: str,
    tagger: str,
    tags: Sequence[str],
) -> str:
    """Say what a tagger predicts for a query in the recording, in the result and in the residual."""
    result = query if query in probabilities else "result"
    signals = {"mixture": "recording", result: "result", "residual": "residual"}
    predicted = (
        f"{max(probabilities[signal][tagger][tag] for tag in tags):.2f} in the {name}"
        for signal, name in signals.items()
        if signal in probabilities
    )
    return f"{tagger} predicts {query}: {', '.join(predicted)}"


def _report_early_end(output: Output, run: Mapping[str, Any]) -> None:
    if run["stopped"] in STOPPED:
        line = f"{', '.join(run['sources'])}: step {run['steps']}: {STOPPED[run['stopped']]}"
        if run["stopped"] == "non-finite":
            output.print_error(line)
        else:
            output.print_note(line)
