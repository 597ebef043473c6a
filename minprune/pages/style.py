"""The look of pages: light or dark as the reader's system is, one column that fits a phone."""

STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1b1f24;--soft:#57606a;--rule:#d0d7de;--card:#f6f8fa;
--keep:#0072b2;--gone:#d55e00;--whole:#e4e8ec}
@media(prefers-color-scheme:dark){:root{--paper:#12161b;--ink:#e6edf3;--soft:#9aa5b1;--rule:#30363d;--card:#1b2128;
--keep:#56b4e9;--gone:#e69f00;--whole:#2a313a}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:46rem;padding:1.2rem 1rem 4rem;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.5rem;line-height:1.25;margin:.4rem 0}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}
h3{font-size:1rem;margin:1.2rem 0 .3rem}p{margin:.5rem 0}.soft{color:var(--soft)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.7rem;margin:1rem 0}
.card{background:var(--card);border:1px solid var(--rule);border-radius:6px;padding:.6rem .8rem}
.card b{display:block;font-size:1.3rem}.card span{color:var(--soft);font-size:.85rem}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .7rem .3rem 0;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap}
th:first-child,td:first-child{text-align:left}
.facts td{white-space:normal;vertical-align:top}.facts td:last-child{text-align:left;word-break:break-all}
.facts td:first-child{overflow-wrap:normal;min-width:7rem}
svg{display:block;width:100%;max-width:34rem;height:auto;margin:.3rem 0 .8rem}
svg text{font:12px system-ui,sans-serif}.ink{fill:var(--ink)}svg .soft{fill:var(--soft)}
.keep{fill:var(--keep)}.gone{fill:var(--gone)}.whole{fill:var(--whole);stroke:var(--rule)}
.line{fill:none;stroke:var(--keep);stroke-width:2}.axis{stroke:var(--rule)}
.key i{display:inline-block;width:.8em;height:.8em;margin:0 .3em 0 .9em}.key .k{background:var(--keep)}
.key .g{background:var(--gone)}
pre{background:var(--card);border:1px solid var(--rule);border-radius:6px;padding:.7rem;overflow-x:auto;
font-size:.85rem;white-space:pre-wrap}
details{margin:.4rem 0}summary{cursor:pointer}
"""
