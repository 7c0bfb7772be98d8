/* SPDX-License-Identifier: MIT
 * What all pages have in common: the way text is escaped, the style, and the script that tells the values under the pointer.
 */
#include "train/report_internal.h"

#include "base/utf8.h"

#include <string.h>

void html_text(struct buffer *out, const char *text)
{
    const size_t len = strlen(text);
    for (size_t i = 0; i < len;) {
        uint32_t c;
        const int n = utf8_decode(text + i, len - i, &c);
        if (n <= 0) {
            buffer_append_text(out, "\xef\xbf\xbd"); /* U+FFFD */
            i++;
            continue;
        }
        if (c == '<')
            buffer_append_text(out, "&lt;");
        else if (c == '>')
            buffer_append_text(out, "&gt;");
        else if (c == '&')
            buffer_append_text(out, "&amp;");
        else if (c == '"')
            buffer_append_text(out, "&quot;");
        else if (c == '\'')
            buffer_append_text(out, "&#39;");
        else if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
            buffer_printf(out, "&#x%x;", c == 0x7f ? 0x2421 : 0x2400 + (unsigned)c);
        else if (c >= 0x80 && c < 0xa0)
            buffer_append_text(out, "\xef\xbf\xbd");
        else
            buffer_append(out, text + i, (size_t)n);
        i += (size_t)n;
    }
}

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
    "<meta name=\"color-scheme\" content=\"light dark\">"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; img-src data:\"><link rel=\"icon\" href=\"data:,\"><title>";

static const char style[] =
    "</title><style>\n"
    ":root{--bg:#fbfaf7;--card:#fff;--ink:#1d2327;--soft:#5c666d;--line:#e2dfd8;--a:#0b63a5;--b:#b8500f;--wait:#c0392b;"
    "--work:#1e7f4f;--warn:#8a4b00;--warnbg:#fff4e0}\n"
    "@media (prefers-color-scheme:dark){:root{--bg:#14181b;--card:#1c2226;--ink:#e8eaec;--soft:#a3adb5;--line:#343c42;"
    "--a:#6cb6f5;--b:#f5a15c;--wait:#ff7b6b;--work:#5fd197;--warn:#ffcb80;--warnbg:#33291a}}\n"
    "*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,sans-serif}\n"
    "main{max-width:1360px;margin:0 auto;padding:20px 16px 48px;display:grid;grid-template-columns:minmax(0,1fr);gap:16px}\n"
    "header{grid-column:1/-1}h1{font-size:1.5rem;line-height:1.25;margin:0;overflow-wrap:anywhere}"
    "h2{font-size:1.1rem;margin:0}p{margin:.4em 0}.sub{color:var(--soft);font-size:.9rem;margin:0 0 .6em}\n"
    "section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px;min-width:0}\n"
    "@media (min-width:900px){main{grid-template-columns:repeat(2,minmax(0,1fr))}.full{grid-column:1/-1}}\n"
    "dl.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(140px,1fr));gap:10px 16px;margin:14px 0 0}"
    "dt{color:var(--soft);font-size:.85rem}dd{margin:0;font-size:1.15rem;font-variant-numeric:tabular-nums}\n"
    ".chart{padding:8px 8px 26px 58px}.plot{position:relative;height:240px;border-left:1px solid var(--line);"
    "border-bottom:1px solid var(--line)}.plot svg{position:absolute;width:100%;height:100%;overflow:visible}\n"
    ".plot path{fill:none;vector-effect:non-scaling-stroke;stroke-linecap:round;stroke-linejoin:round}"
    ".grid{stroke:var(--line);stroke-width:1}.curve{stroke-width:1.8}.mark{stroke:var(--wait);stroke-width:1.5;"
    "stroke-dasharray:3 4}.curve.a{stroke:var(--a)}.curve.b{stroke:var(--b)}\n"
    ".plot span{position:absolute;color:var(--soft);font-size:12px;line-height:1;white-space:nowrap}"
    ".chart.two{padding-right:52px}.plot .r{left:100%;margin-left:8px;transform:translateY(-50%);color:var(--b)}"
    ".two .plot .y{color:var(--a)}\n"
    ".plot .y{right:100%;margin-right:8px;transform:translateY(-50%)}.plot .x{top:100%;margin-top:8px;"
    "transform:translateX(-50%)}\n"
    ".tip{position:absolute;top:6px;left:8px;background:var(--card);border:1px solid var(--line);border-radius:6px;"
    "padding:3px 8px;font-size:13px;white-space:pre;pointer-events:none;font-variant-numeric:tabular-nums}"
    ".tip.right{left:auto;right:8px}.at{position:absolute;top:0;bottom:0;width:1px;background:var(--soft);pointer-events:none}"
    "[hidden]{display:none}\n"
    ".named{display:inline-block}.key{display:inline-block;width:18px;height:3px;vertical-align:middle;margin:0 6px 0 12px}.key.a{background:var(--a)}"
    ".key.b{background:var(--b)}\n"
    ".rings{display:grid;grid-template-columns:repeat(auto-fit,minmax(260px,1fr));gap:16px;justify-items:center}"
    "figure{margin:0;width:100%;max-width:460px;text-align:center}figure svg{width:100%;height:auto}"
    "figcaption{color:var(--soft);font-size:.9rem}.rings path,.rings circle{stroke:var(--line);stroke-width:.6}"
    "path.wait,circle.wait{fill:var(--wait)}path.work,circle.work{fill:var(--work)}\n"
    ".ramp{display:inline-block;width:70px;height:10px;border:1px solid var(--line)}.ramp.wait{background:linear-gradient("
    "90deg,transparent,var(--wait))}.ramp.work{background:linear-gradient(90deg,transparent,var(--work))}\n"
    ".wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}"
    "th{text-align:left;color:var(--soft);font-weight:600}th,td{padding:4px 12px 4px 0;border-bottom:1px solid var(--line);"
    "vertical-align:top;overflow-wrap:anywhere}.settings td:first-child{white-space:nowrap}"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.3em 0;font:13px/1.45 ui-monospace,monospace}\n"
    "details{border-top:1px solid var(--line);padding:6px 0}summary{cursor:pointer}"
    "#notices{background:var(--warnbg);color:var(--warn)}#notices li,#notices p{overflow-wrap:anywhere}\n"
    "</style></head><body><main>\n";

/* Points are "step:value" in order of step; the nearest of each curve is told. */
static const char script[] =
    "</main><script>\n"
    "for(const plot of document.querySelectorAll('.plot')){\n"
    "const tip=plot.querySelector('.tip'),at=plot.querySelector('.at'),first=+plot.dataset.first,last=+plot.dataset.last;\n"
    "const curves=[...plot.querySelectorAll('.curve')].map(c=>({name:c.dataset.name,points:c.dataset.points.split(' ')"
    ".filter(Boolean).map(p=>p.split(':'))})).filter(c=>c.points.length);\n"
    "const near=(points,step)=>{let a=0,b=points.length-1;while(a<b){const m=a+b>>1;if(+points[m][0]<step)a=m+1;else b=m}"
    "return a>0&&step-points[a-1][0]<points[a][0]-step?points[a-1]:points[a]};\n"
    "plot.addEventListener('pointermove',e=>{const box=plot.getBoundingClientRect(),x=Math.min(1,Math.max(0,(e.clientX-box.left)"
    "/box.width));\n"
    "tip.textContent=curves.map(c=>{const p=near(c.points,first+x*(last-first));return c.name+' '+p[1]+' at step '+p[0]})"
    ".join('\\n');\n"
    "tip.classList.toggle('right',x<.5);at.style.left=100*x+'%';tip.hidden=at.hidden=false});\n"
    "plot.addEventListener('pointerleave',()=>{tip.hidden=at.hidden=true});}\n"
    "</script></body></html>\n";

void html_begin(struct buffer *out, const char *title)
{
    buffer_append_text(out, head);
    html_text(out, title);
    buffer_append_text(out, style);
}

void html_end(struct buffer *out)
{
    buffer_append_text(out, script);
}
