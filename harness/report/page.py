"""Writes results down as one HTML file: summary, kill matrix, and a timeline of each failure.

The file needs nothing else: style, script and stories stand in it, and it asks no network for
anything. All but the timelines can be read without the script. Equal results give equal bytes. What
is shown of a story is the script's business, see `page.js`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any, Final

from .results import Result
from .text import counted

#: Nothing but what stands in the file itself may be loaded or run.
_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data:; base-uri 'none'; form-action 'none'"
)
#: What a browser without scripts is told.
_PLAIN: Final = (
    ".failure[hidden] { display: block !important; } .needs-script { display: none !important; }"
)
#: A list of more failures than this is folded.
_FOLDED: Final = 12


def page(results: Sequence[Result], title: str = "Storm report") -> str:
    """Return the HTML file for these results, failures that nobody declared first."""
    failing = [each for each in results if each.violation or not each.as_declared]
    failing.sort(key=lambda each: each.as_declared)
    numbers = {id(each): number for number, each in enumerate(failing, 1)}
    body = [
        _head(results, title),
        '<main id="overview">',
        *_lists(failing, numbers),
        *_matrices(results, numbers),
        "</main>",
        *(_failure(each, number, len(failing)) for number, each in enumerate(failing, 1)),
        _foot(),
    ]
    stories = [
        f'<script type="application/json" id="story-{number}">{_embedded(each.story.to_json())}'
        "</script>"
        for number, each in enumerate(failing, 1)
        if each.story is not None
    ]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(title)}: {escape(_in_short(results))}</title>",
            f"<style>\n{_part('page.css')}</style>",
            # Without the script everything is shown at once.
            f"<noscript><style>{_PLAIN}</style></noscript>",
            "</head>",
            "<body>",
            *body,
            *stories,
            f"<script>\n{_part('page.js')}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


@cache
def _part(name: str) -> str:
    return files(__package__ or "").joinpath(name).read_text(encoding="utf-8")


def _embedded(value: Any) -> str:
    """Return JSON that cannot end the element it stands in, whatever texts it holds."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    if not _is_utf8(text):
        text = json.dumps(value, separators=(",", ":"), sort_keys=True)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _is_utf8(text: str) -> bool:
    """Tell whether a text can be written; half a character cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(text: str) -> str:
    """Return a text as HTML."""
    return escape(text.encode("utf-8", "replace").decode())


# --- the top --------------------------------------------------------------------------------------


def _in_short(results: Sequence[Result]) -> str:
    wrong = sum(not each.as_declared for each in results)
    if not results:
        return "nothing was run"
    if wrong:
        return f"{wrong} of {counted(len(results), 'cell')} not as declared"
    return f"{'all ' if len(results) > 1 else ''}{counted(len(results), 'cell')} as declared"


def _head(results: Sequence[Result], title: str) -> str:
    wrong = sum(not each.as_declared for each in results)
    variants = {(each.component, each.class_name) for each in results if _is_variant(each)}
    caught = {
        (each.component, each.class_name)
        for each in results
        if _is_variant(each) and each.expected and each.as_declared
    }
    figures = [
        (f"{len(results):,}", "cells"),
        (f"{len({(each.component, each.scenario) for each in results}):,}", "scenarios"),
        (f"{len(caught)} of {len(variants)}", "variants caught"),
        (f"{sum(each.schedules for each in results):,}", "schedules"),
        (f"{sum(each.virtual_seconds for each in results):,.6g} s", "of virtual time"),
    ]
    shown = "".join(f"<div><dt>{label}</dt><dd>{value}</dd></div>" for value, label in figures)
    state = "bad" if wrong else "good"
    mark = "✕" if wrong else "✓"
    return (
        f'<header class="top {state}"><div class="title">'
        f'<h1><a href="#">{_text(title)}</a></h1>'
        f'<p class="state"><span class="mark" aria-hidden="true">{mark}</span> '
        f"{_text(_in_short(results))}</p></div>"
        f'<dl class="figures">{shown}</dl>'
        '<button type="button" id="theme" class="needs-script" '
        'aria-label="Colours: as the system">Auto</button></header>'
    )


def _is_variant(result: Result) -> bool:
    return bool(result.subject) and result.class_name != result.subject


def _foot() -> str:
    return (
        "<footer><p>Written by faultloom. <code>python -m harness replay TOKEN --trace FILE</code> "
        "writes a run down for Perfetto (ui.perfetto.dev).</p></footer>"
    )


# --- lists of failures ----------------------------------------------------------------------------


def _lists(failing: Sequence[Result], numbers: dict[int, int]) -> Iterator[str]:
    for title, note, chosen in (
        (
            "Not as declared",
            "What these scenarios say is not what happened.",
            [each for each in failing if not each.as_declared],
        ),
        (
            "Caught as declared",
            "Broken variants and the failures that give them away.",
            [each for each in failing if each.as_declared],
        ),
    ):
        if not chosen:
            continue
        items = "".join(_card(each, numbers[id(each)]) for each in chosen)
        is_folded = len(chosen) > _FOLDED and chosen[0].as_declared
        listed = f'<ol class="cards">{items}</ol>'
        if is_folded:
            listed = f"<details><summary>Show {len(chosen)} failures</summary>{listed}</details>"
        yield (
            f'<section class="list"><h2>{title} <span class="count">{len(chosen)}</span></h2>'
            f'<p class="note">{note}</p>{listed}</section>'
        )


def _card(result: Result, number: int) -> str:
    state = "good" if result.as_declared else "bad"
    return (
        f'<li><a class="card {state}" href="#f{number}">'
        f'<span class="badge">{_text(result.verdict)}</span>'
        f'<span class="headline">{_text(result.headline)}</span>'
        f'<span class="who">{_text(result.name)} <span class="dim">{_text(result.component)}'
        "</span></span></a></li>"
    )


# --- the kill matrix ------------------------------------------------------------------------------


def _matrices(results: Sequence[Result], numbers: dict[int, int]) -> Iterator[str]:
    groups: dict[tuple[str, str], list[Result]] = {}
    for each in results:
        groups.setdefault((each.component, each.subject), []).append(each)
    if not groups:
        return
    yield '<section class="matrix"><h2>Kill matrix</h2>'
    yield (
        '<p class="legend"><span><i class="cell holds">·</i> holds, as it must</span>'
        '<span><i class="cell caught">●</i> caught, as it must</span>'
        '<span><i class="cell wrong">!</i> not as declared</span>'
        "<span>A row is a scenario, a column a class: first the reference, then its broken "
        "variants.</span></p>"
    )
    for (component, subject), group in groups.items():
        yield _matrix(component, subject, group, numbers)
    yield "</section>"


def _matrix(component: str, subject: str, group: Sequence[Result], numbers: dict[int, int]) -> str:
    columns = list(dict.fromkeys((each.class_name, each.row) for each in group))
    columns.sort(key=lambda column: column[0] != subject)
    rows = list(dict.fromkeys((each.scenario, each.case, each.claim) for each in group))
    cells = {(each.scenario, each.case, each.class_name): each for each in group}
    caught = {each.class_name for each in group if each.expected and each.as_declared}
    heads = []
    for name, row in columns:
        is_missed = bool(name) and name != subject and name not in caught
        label = f"{_text(name)}{f' <small>{_text(row)}</small>' if row else ''}"
        kind = "subject" if name == subject else "missed" if is_missed else "variant"
        title = f' title="{_text(name)}: no scenario here catches it"' if is_missed else ""
        heads.append(f'<th scope="col" class="{kind}"{title}><div><span>{label}</span></div></th>')
    lines = []
    for scenario, case, claim in rows:
        name = f"{_text(scenario)}{f' <small>{_text(case)}</small>' if case else ''}"
        shown = "".join(
            _cell(cells.get((scenario, case, column)), numbers) for column, _ in columns
        )
        lines.append(
            f'<tr><th scope="row" title="{_text(claim)}">{name}</th>{shown}<td class="fill"></td>'
            "</tr>"
        )
    where = f"{_text(component)}{' · ' if component and subject else ''}{_text(subject)}"
    # A slanted name needs room above it, and to the right of the last one.
    height = max(20, 16 + 6 * max(len(name) + len(row) for name, row in columns))
    return (
        f'<div class="grid" style="--head: {height}px"><table>'
        f"<caption>{where or 'Scenarios'}</caption><thead><tr>"
        f'<td></td>{"".join(heads)}<td class="fill"></td></tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _cell(result: Result | None, numbers: dict[int, int]) -> str:
    if result is None:
        return '<td><span class="cell none"></span></td>'
    counts = f"{result.violating:,} of {counted(result.schedules, 'schedule')}"
    said = f"{result.name}: {result.verdict}, declared {result.declared} ({counts})"
    kind, mark = ("wrong", "!")
    if result.as_declared:
        kind, mark = ("caught", "●") if result.expected else ("holds", "·")
    number = numbers.get(id(result))
    inner = f'<span aria-hidden="true">{mark}</span><span class="said">{_text(said)}</span>'
    if number is None:
        return f'<td><span class="cell {kind}" title="{_text(said)}">{inner}</span></td>'
    return f'<td><a class="cell {kind}" href="#f{number}" title="{_text(said)}">{inner}</a></td>'


# --- one failure ----------------------------------------------------------------------------------


def _failure(result: Result, number: int, total: int) -> str:
    before = f'<a href="#f{number - 1}" rel="prev">Previous</a>' if number > 1 else ""
    after = f'<a href="#f{number + 1}" rel="next">Next</a>' if number < total else ""
    state = "good" if result.as_declared else "bad"
    declared = (
        f"caught as declared by {result.declared}"
        if result.as_declared and result.expected
        else f"declared: {result.declared}"
    )
    row = f" ({result.row})" if result.row else ""
    with_class = f" with <b>{_text(result.class_name)}</b>{_text(row)}" if result.class_name else ""
    verdict = result.violation or result.explanation
    parts = [
        f'<article class="failure" id="f{number}" aria-labelledby="f{number}-title" hidden>',
        '<nav class="crumbs" aria-label="Failures"><a href="#">All results</a>',
        f"<span>Failure {number} of {total}</span>{before}{after}</nav>",
        f'<h2 id="f{number}-title" tabindex="-1">',
        f'<span class="badge {state}">{_text(result.verdict)}</span> {_text(result.headline)}</h2>',
        f'<p class="where"><b>{_text(result.scenario)}</b>{with_class}',
        f'<span class="dim"> · {_text(declared)} · {_text(result.path)}:{result.line}</span></p>',
    ]
    if result.claim:
        parts.append(f'<p class="claim">{_text(result.claim)}</p>')
    if result.story is not None:
        parts.append(f'<div class="story needs-script" data-story="story-{number}"></div>')
    elif result.violation:
        parts.append(
            '<p class="note">No timeline was recorded for this failure: the page has its full. '
            "Replay its token with --html to see it alone.</p>"
        )
    if verdict:
        parts.append(
            f'<details class="verdict"{"" if result.story else " open"}><summary>Verdict</summary>'
            f'<pre tabindex="0">{_text(verdict)}</pre></details>'
        )
    if result.token:
        parts.append(
            '<div class="replay"><span>Replay</span>'
            f"<code>python -m harness replay {_text(result.token)}</code>"
            '<button type="button" class="copy needs-script">Copy</button></div>'
        )
    parts.append("</article>")
    return "\n".join(parts)
