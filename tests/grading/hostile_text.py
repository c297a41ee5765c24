"""Things that students may write or print to make a page run, load or show what it should not."""

from __future__ import annotations

from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

RUN = "window.pwned = (window.pwned || 0) + 1"
AWAY = "https://example.org/stolen"

#: HTML that runs a script, or loads something, in a page that trusts it.
RUNS = {
    "script": f"<script>{RUN}</script>",
    "onerror": f'<img src="x" onerror="{RUN}">',
    "svg onload": f'<svg onload="{RUN}"></svg>',
    "details": f'<details open ontoggle="{RUN}"><summary>x</summary></details>',
    "autofocus": f'<input autofocus onfocus="{RUN}">',
    "frame": '<iframe srcdoc="<script>parent.pwned = 1</script>"></iframe>',
    "javascript frame": '<iframe src="javascript:void(parent.pwned = 1)"></iframe>',
    "animation": f'<style>@keyframes k{{}}</style><p style="animation-name:k" onanimationstart="{RUN}">x</p>',
    "video": f'<video><source onerror="{RUN}" src="x"></video>',
}
LOADS = {
    "image": f'<img src="{AWAY}.png">',
    "protocol": '<img src="//example.org/stolen.png">',
    "style": f"<style>@import url({AWAY}.css);</style>",
    "background": f'<p style="background:url({AWAY}.png)">x</p>',
    "link": f'<link rel="stylesheet" href="{AWAY}.css">',
    "refresh": f'<meta http-equiv="refresh" content="0; url={AWAY}">',
    "object": f'<object data="{AWAY}"></object>',
    "audio": f'<audio autoplay src="{AWAY}.mp3"></audio>',
    "form": f'<form action="{AWAY}"><button autofocus>Go on</button></form>',
    "table": f'<table background="{AWAY}.png"><tr><td>1</td></tr></table>',
    "base": f'<base href="{AWAY}/"><img src="local.png">',
}
#: HTML that a sanitizer may turn into one of the above.
TRICKS = {
    "broken quotes": f'<img title="--><img src=x onerror={RUN.replace(" ", "")}>',
    "namespace": f"<math><mtext><table><mglyph><style><img src=x onerror={RUN.replace(' ', '')}></style>",
    "nested": f"<scr<script>ipt>{RUN}</scr</script>ipt>",
    "noscript": f'<noscript><p title="</noscript><img src=x onerror={RUN.replace(" ", "")}>"></noscript>',
    "svg style": f"<svg></p><style><a id='</style><img src=1 onerror={RUN.replace(' ', '')}>'>",
    "case": f"<ScRiPt>{RUN}</sCrIpT>",
    "slash": f"<img/src=x/onerror={RUN.replace(' ', '')}>",
    "null": f"<scr\0ipt>{RUN}</scr\0ipt>",
    "entities": f'<a href="&#106;avascript:{RUN}">x</a>',
    "template": f"<template><script>{RUN}</script></template>",
    "comment": f"<!--><img src=x onerror={RUN.replace(' ', '')}>-->",
    "textarea": f"<textarea></textarea><script>{RUN}</script>",
    "end of page": f"</pre></main></body></html><script>{RUN}</script>",
    "jinja": "{{ 7 * 191 }}{% raw %}",
}
EVERYTHING = {**RUNS, **LOADS, **TRICKS}


def cells() -> list:
    """A student's cells, with each of these in every place that a page shows."""
    made = []
    for markup in EVERYTHING.values():
        outputs = [
            new_output("stream", name="stdout", text=markup),
            new_output("stream", name="stderr", text=f"\x1b[31m{markup}\x1b]8;;{AWAY}\x1b\\x\x1b]8;;\x1b\\"),
            new_output(
                "error", ename=markup, evalue=markup, traceback=[markup, f"\x1b[0;31m{markup}\x1b[0m"]
            ),
            *(
                new_output("display_data", data={mime: markup}, metadata={mime: {"alt": f'"{markup}'}})
                for mime in (
                    *("text/html", "text/markdown", "text/latex", "text/plain", "image/svg+xml"),
                    *(
                        "application/javascript",
                        "application/vnd.jupyter.widget-view+json",
                        "image/png",
                        markup,
                    ),
                )
            ),
        ]
        made.append(new_code_cell(f"x = '''\n{markup}\n'''", outputs=outputs))
        made.append(
            new_markdown_cell(f"{markup}\n\n> {markup}\n\n[{markup}](javascript:{RUN})\n\n![x]({AWAY})")
        )
    made.append(new_markdown_cell(f"$${LOADS['image']}\\href{{javascript:{RUN}}}{{x}}$$ \\url{{{AWAY}}}"))
    made.append(
        new_markdown_cell(f"![x](data:image/svg+xml,{RUNS['svg onload']}) <{AWAY}> [a]\n\n[a]: {AWAY}")
    )
    return made
